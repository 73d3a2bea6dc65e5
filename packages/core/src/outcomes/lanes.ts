/** How a try to work on an item ended: done with, or to be tried again after that time. */
export type Worked = "done" | { readonly againAfterMs: number };

/** Works on items in parallel, but on those of one lane one after the other, in the order they came. */
export interface Lanes<Item> {
  push(lane: string, item: Item): void;
  /** Items that are not done with. */
  readonly size: number;
  /** Resolves once there are fewer than `most` items. */
  untilFewerThan(most: number): Promise<void>;
  /** Begins nothing any more. Resolves when what is being worked on has come to an end. */
  close(): Promise<void>;
}

export function createLanes<Item>(ports: {
  /** Items worked on at once. */
  readonly concurrency: number;
  /** Must not reject. */
  readonly work: (item: Item) => Promise<Worked>;
}): Lanes<Item> {
  const { concurrency, work } = ports;
  const lanes = new Map<string, Item[]>();
  const ready: string[] = [];
  const timers = new Set<NodeJS.Timeout>();
  let waiting: { readonly most: number; readonly resolve: () => void }[] = [];
  let size = 0;
  let running = 0;
  let isClosed = false;
  const ended = Promise.withResolvers<void>();

  function pump(): void {
    while (!isClosed && running < concurrency) {
      const lane = ready.shift();
      if (lane === undefined) return;
      running += 1;
      void run(lane);
    }
  }

  async function run(lane: string): Promise<void> {
    const items = lanes.get(lane) ?? [];
    const [item] = items;
    const worked = item === undefined ? "done" : await work(item);
    running -= 1;
    if (worked === "done") {
      items.shift();
      size -= 1;
      if (items.length === 0) lanes.delete(lane);
      else ready.push(lane);
      for (const { most, resolve } of waiting) if (size < most) resolve();
      waiting = waiting.filter(({ most }) => size >= most);
    } else if (!isClosed) {
      const timer = setTimeout(() => {
        timers.delete(timer);
        ready.push(lane);
        pump();
      }, worked.againAfterMs);
      timers.add(timer);
    }
    if (isClosed && running === 0) ended.resolve();
    pump();
  }

  return {
    push(lane, item) {
      size += 1;
      const items = lanes.get(lane);
      if (items !== undefined) {
        items.push(item);
        return;
      }
      lanes.set(lane, [item]);
      ready.push(lane);
      pump();
    },
    get size() {
      return size;
    },
    async untilFewerThan(most) {
      if (size < most || isClosed) return;
      await new Promise<void>((resolve) => waiting.push({ most, resolve }));
    },
    async close() {
      isClosed = true;
      for (const timer of timers) clearTimeout(timer);
      for (const { resolve } of waiting) resolve();
      if (running === 0) ended.resolve();
      await ended.promise;
    },
  };
}
