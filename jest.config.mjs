/** Node 24 strips the types itself, so jest needs no transformer. */
export default {
  testEnvironment: "node",
  transform: {},
  extensionsToTreatAsEsm: [".ts"],
  roots: ["<rootDir>/packages", "<rootDir>/apps", "<rootDir>/test"],
  testMatch: ["**/*.test.ts"],
  modulePathIgnorePatterns: ["/dist/"],
  testTimeout: 180_000,
  // Each file has servers of its own, and most of them wait most of the time.
  maxWorkers: 2,
  testSequencer: "<rootDir>/jest.sequencer.mjs",
  // Of the tests that say that they may run side by side.
  maxConcurrency: 2,
};
