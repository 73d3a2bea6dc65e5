/** Node 24 strips the types itself, so jest needs no transformer. */
export default {
  testEnvironment: "node",
  transform: {},
  extensionsToTreatAsEsm: [".ts"],
  roots: ["<rootDir>/packages", "<rootDir>/apps", "<rootDir>/test"],
  testMatch: ["**/*.test.ts"],
  modulePathIgnorePatterns: ["/dist/"],
  testTimeout: 180_000,
  // Each file has servers of its own, so that `--maxWorkers=2` works too, on a machine with more than two cores.
  maxWorkers: 1,
  // Of the tests that say that they may run side by side.
  maxConcurrency: 2,
};
