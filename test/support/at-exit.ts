const ends = new Set<() => void>();
// One listener for all: Node takes many of them for a leak.
process.on("exit", () => {
  for (const end of ends) end();
});

/** Has something done when the process of the tests ends, however that comes about, until it is taken back. */
export const atExit = {
  add: (end: () => void): void => void ends.add(end),
  remove: (end: () => void): void => void ends.delete(end),
};
