import { expect, test } from "@jest/globals";
import type { Redis } from "../redis/connect.ts";
import { createFlow } from "./flow.ts";

/** Takes what is written, when it is let. */
function slowRedis() {
  const written: [string, number][] = [];
  let letGo: () => void = () => {};
  const step = {
    hincrby(_key: string, what: string, by: number) {
      written.push([what, by]);
      return step;
    },
    expire: () => step,
    exec: () => new Promise<void>((resolve) => (letGo = resolve)),
  };
  return { redis: { multi: () => step } as unknown as Redis, written, letGo: () => letGo() };
}

test("what is counted while the counts are written down is not lost", async () => {
  const { redis, written, letGo } = slowRedis();
  const flow = createFlow(redis, () => 60_000);
  flow.count("accepted", 3);
  flow.count("published", 2);
  const flushing = flow.flush();
  flow.count("published", 5);
  letGo();
  await new Promise(setImmediate);
  letGo();
  await flushing;
  expect(written).toEqual([
    ["accepted", 3],
    ["published", 7],
  ]);
});
