import { expect, test } from "@jest/globals";
import calculateSlot from "cluster-key-slot";
import { bookingKey, createShards, waitingKey } from "./keys.ts";

test("one shard has the tag {calendly:0}", () => {
  expect(createShards(1).all).toEqual([{ index: 0, tag: "{calendly:0}" }]);
});

test.each([2, 3, 4, 16])("the slots of %i shards are spread evenly over the cluster", (count) => {
  const parts = createShards(count).all.map(({ tag }) => Math.floor((calculateSlot(tag) * count) / 16_384));
  expect(parts).toEqual(Array.from({ length: count }, (_, index) => index));
});

test("an id always belongs to the same shard, and all of its keys to one slot", () => {
  const shards = createShards(4);
  for (const id of ["8a9b7c6d-1e2f-4031-8abc-d4e5f6071101", "AHT4VZ5PQYFOSTFB", "x"]) {
    const shard = shards.of(id);
    expect(createShards(4).of(id)).toEqual(shard);
    expect(calculateSlot(bookingKey(shard, id))).toBe(calculateSlot(waitingKey(shard, id)));
  }
});

test("ids are spread over all shards", () => {
  const shards = createShards(4);
  const counts = [0, 0, 0, 0];
  for (let id = 0; id < 4_000; id++)
    counts[shards.of(`invitee-${id}`).index] = (counts[shards.of(`invitee-${id}`).index] ?? 0) + 1;
  for (const count of counts) expect(count).toBeGreaterThan(800);
});
