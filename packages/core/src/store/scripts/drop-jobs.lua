-- Drops jobs of a BullMQ queue that have ended so, and are not tried again.
--   ended       sorted set: ids of the jobs that are completed, or that have failed
--   job_prefix  what begins the key of a job
--   rest        ids
-- Replies how many it dropped. What is remembered of their identities stays, unlike with BullMQ's `clean` and `remove`: what
-- Calendly repeats is no new delivery because the first one's job is gone. Jobs here have no parents, children or logs.
local dropped = 0
for _, id in ipairs(rest) do
  if redis.call('ZREM', ended, id) == 1 then
    redis.call('DEL', job_prefix .. id)
    dropped = dropped + 1
  end
end
return dropped
