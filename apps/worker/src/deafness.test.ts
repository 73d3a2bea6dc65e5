import type { Consumer } from "@calendly-worker/core/queues/consumer";
import type { QueueLoad } from "@calendly-worker/core/store/queue-load";
import { beforeEach, expect, test } from "@jest/globals";
import { createDeafness, LOOKS } from "./deafness.ts";

let begun: number;
let isListening: boolean;
let load: Partial<QueueLoad> | Error;

beforeEach(() => {
  begun = 5;
  isListening = true;
  load = { waiting: 1, isHeld: false };
});

/** What so many looks in a row say, each after something was done. */
async function looks(count: number, before: (look: number) => void = () => {}): Promise<(string | undefined)[]> {
  const consumer = { queue: "deliveries", begun: () => begun, isListening: () => isListening } as Consumer;
  const deafness = createDeafness({
    consumers: () => [consumer],
    load: async () => {
      if (load instanceof Error) throw load;
      return load as QueueLoad;
    },
    afterMs: 60_000,
  });
  const said: (string | undefined)[] = [];
  for (let look = 1; look <= count; look++) {
    before(look);
    said.push(await deafness.look());
  }
  return said;
}

const never = (count: number) => Array.from({ length: count }, () => undefined);

test("is deaf when a job has waited for the whole time and none was begun, and not before", async () => {
  expect(await looks(LOOKS + 1)).toEqual([...never(LOOKS), "deliveries"]);
});

interface Seen {
  readonly begun?: number;
  readonly isListening?: boolean;
  readonly load?: Partial<QueueLoad> | Error;
}

const waiting = (count: number) => ({ waiting: count, isHeld: false });

test.each<[string, (look: number) => Seen]>([
  ["a job is begun now and then", (look) => ({ begun: Math.floor(look / 5) })],
  ["nothing waits now and then", (look) => ({ load: waiting(look % 7 === 0 ? 0 : 1) })],
  ["the queue is held", () => ({ load: { waiting: 9, isHeld: true } })],
  ["all places are taken", () => ({ isListening: false })],
  ["Redis is away now and then", (look) => ({ load: look % 9 === 0 ? new Error("away") : waiting(1) })],
  ["Redis is away", () => ({ load: new Error("away") })],
])("is not deaf while %s", async (_why, seen) => {
  const said = await looks(LOOKS * 4, (look) => {
    ({ begun = 5, isListening = true, load = waiting(1) } = seen(look));
  });
  expect(said).toEqual(never(LOOKS * 4));
});
