-- Writes down that a booking is expected. Announcing again moves the end, while it is waited for.
--   expectation  hash {reference, until, announced_at, state, booking_id, settled_at}
--   due          sorted set: references by the time until which they are waited for
--   reference    that the booking will bear
--   until_ms     in ms
--   now          in ms
--   expires_at   in ms: when what is written here is dropped
-- Replies nothing.
local state = redis.call('HGET', expectation, 'state')
if not state then
  redis.call('HSET', expectation, 'reference', reference, 'announced_at', now, 'state', 'waiting')
end
if not state or state == 'waiting' then
  redis.call('HSET', expectation, 'until', until_ms)
  redis.call('ZADD', due, until_ms, reference)
  redis.call('PEXPIREAT', expectation, expires_at)
end
