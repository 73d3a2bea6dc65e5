-- Says that a consumer of a group lives, and lets it take, or keep, the reading of the shard's outcomes.
--   lease      string: who reads
--   members    sorted set: consumers by when they were last heard of, in ms
--   holder     the consumer
--   lease_ms   after which a reader that is not heard of has lost it
--   wants      1 to take what nobody holds
-- Replies {1 while it holds the lease, else 0; number of live consumers}.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZADD', members, now, holder)
redis.call('ZREMRANGEBYSCORE', members, '-inf', now - 3 * lease_ms)
local live = redis.call('ZCARD', members)
local by = redis.call('GET', lease)
if by == holder or (not by and wants == '1') then
  redis.call('SET', lease, holder, 'PX', lease_ms)
  return { 1, live }
end
return { 0, live }
