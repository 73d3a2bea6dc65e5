import { expect, test } from "@jest/globals";
import { findFaults, UnsafeRedisError } from "./safety.ts";

const SAFE = "# Server\r\nredis_version:7.0.15\r\nrole:master\r\nmaxmemory_policy:noeviction\r\naof_enabled:1\r\n";
const namesOf = (info: string) => findFaults(info).map(({ name }) => name);

test("a primary of version 7 with an append-only file that evicts nothing is safe", () => {
  expect(namesOf(SAFE)).toEqual([]);
});

test.each([
  ["version", "redis_version:7.0.15", "redis_version:6.2.14"],
  ["replica", "role:master", "role:slave"],
  ["eviction", "maxmemory_policy:noeviction", "maxmemory_policy:allkeys-lru"],
  ["persistence", "aof_enabled:1", "aof_enabled:0"],
])("a fault of %s is found", (name, sound, faulty) => {
  expect(namesOf(SAFE.replace(sound, faulty))).toEqual([name]);
});

test("a Redis that tells nothing is not taken to be safe", () => {
  expect(namesOf("")).toEqual(["version", "replica", "eviction", "persistence"]);
});

test("the message says what is wrong, how to mend it and how to allow it", () => {
  const { message, faults } = new UnsafeRedisError(findFaults(SAFE.replace("noeviction", "allkeys-lru")));
  expect(faults).toEqual(["eviction"]);
  expect(message).toContain("maxmemory-policy is allkeys-lru");
  expect(message).toContain("CONFIG SET maxmemory-policy noeviction");
  expect(message).toContain("REDIS_ALLOW_UNSAFE=eviction");
});
