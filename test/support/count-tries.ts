import type { Redis } from "@calendly-worker/core/redis/connect";

/** In one step, so that none of the jobs is being tried meanwhile: that try would be counted upon it. */
const COUNT_TRIES = `
local counted = {}
for _, job in ipairs(redis.call("ZRANGE", KEYS[1] .. ":delayed", 0, -1)) do
  local key = KEYS[1] .. ":" .. job
  if redis.call("HEXISTS", key, "atm") == 1 then
    redis.call("HSET", key, "atm", ARGV[1])
    counted[#counted + 1] = job
  end
end
return counted
`;

/**
 * Makes of the jobs of a queue that failed and wait for their next try such as were tried that often: all tries of
 * one take hours or days. BullMQ counts them in the field "atm".
 *
 * @param queue its key, as `{calendly:0}:sweeps`
 * @returns the ids of those jobs
 */
export async function countTries(redis: Redis, queue: string, tries: number): Promise<string[]> {
  return (await redis.eval(COUNT_TRIES, 1, queue, tries)) as string[];
}
