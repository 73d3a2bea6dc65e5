-- Gives the reading of a shard's outcomes back.
--   lease      string: who reads
--   members    sorted set: consumers by when they were last heard of
--   holder     the consumer
--   is_ending  1 when the consumer itself ends
-- Replies nothing.
if redis.call('GET', lease) == holder then
  redis.call('DEL', lease)
end
if is_ending == '1' then
  redis.call('ZREM', members, holder)
end
