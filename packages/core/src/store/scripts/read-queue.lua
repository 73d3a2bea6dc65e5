-- Says how much a BullMQ queue holds and how old its oldest job is, without reading what the jobs carry.
--   wait       list, the next job last
--   active     list
--   delayed    sorted set by when a job is due
--   failed     sorted set
--   meta       hash {paused, concurrency}
--   limiter    string: jobs begun in this window, there while the window lasts
--   job_prefix what begins the key of a job, a hash with the field timestamp
--   most       jobs that may be begun in a window; 0 where there is no limit but a hold
--   examined   how many of the delayed jobs are looked at from either end
-- Replies {waiting, active, delayed, failed, whether it is paused, whether nothing more may be begun now, ms at which the
-- oldest job was added or 0}. The oldest of the waiting ones is among the next few, as only heartbeats go before those that
-- came first; of the delayed ones it is that among those that are due first and last.
local oldest = 0
local function look_at(ids)
  for _, id in ipairs(ids) do
    local added = tonumber(redis.call('HGET', job_prefix .. id, 'timestamp') or '0')
    if added > 0 and (oldest == 0 or added < oldest) then
      oldest = added
    end
  end
end
look_at(redis.call('LRANGE', wait, -10, -1))
look_at(redis.call('LRANGE', active, 0, -1))
local delayed_count = redis.call('ZCARD', delayed)
if delayed_count > 2 * examined then
  look_at(redis.call('ZRANGE', delayed, 0, examined - 1))
  look_at(redis.call('ZRANGE', delayed, -examined, -1))
else
  look_at(redis.call('ZRANGE', delayed, 0, -1))
end
local active_count = redis.call('LLEN', active)
local is_paused = redis.call('HEXISTS', meta, 'paused')
local begun = tonumber(redis.call('GET', limiter) or '0')
local is_limited = begun > 0 and redis.call('PTTL', limiter) ~= 0 and (tonumber(most) == 0 or begun >= tonumber(most))
local together = tonumber(redis.call('HGET', meta, 'concurrency') or '0')
local is_maxed = together > 0 and active_count >= together
return {
  redis.call('LLEN', wait),
  active_count,
  delayed_count,
  redis.call('ZCARD', failed),
  is_paused,
  (is_paused == 1 or is_limited or is_maxed) and 1 or 0,
  oldest,
}
