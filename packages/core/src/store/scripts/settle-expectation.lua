-- Ends an expectation: completed by a booking, or expired, which is told in the stream. All or nothing.
--   expectation  hash {reference, until, announced_at, state, booking_id, settled_at}
--   due          sorted set: references by the time until which they are waited for
--   counts       hash completed, expired
--   outcomes     stream
--   reference    that the booking bears
--   booking_id   of the booking that completes it; empty where none has come
--   now          in ms
--   rest         id, type, subject, event of the outcome where none has come
-- Replies 1 when this ended it; 0 when there is none, or when it has ended.
local state = redis.call('HGET', expectation, 'state')
if not state then
  redis.call('ZREM', due, reference)
  return 0
end
if state ~= 'waiting' then
  -- Whoever ends what is due goes on until nothing is.
  redis.call('ZREM', due, reference)
  -- It came too late, and is worth knowing.
  if booking_id ~= '' then
    redis.call('HSETNX', expectation, 'booking_id', booking_id)
  end
  return 0
end
if booking_id == '' then
  -- Its end may have been moved since.
  local score = redis.call('ZSCORE', due, reference)
  if score and tonumber(score) > tonumber(now) then
    return 0
  end
end
local ended = booking_id ~= '' and 'completed' or 'expired'
redis.call('HSET', expectation, 'state', ended, 'settled_at', now)
redis.call('HINCRBY', counts, ended, 1)
redis.call('ZREM', due, reference)
if booking_id ~= '' then
  redis.call('HSET', expectation, 'booking_id', booking_id)
else
  redis.call('XADD', outcomes, '*', 'id', rest[1], 'type', rest[2], 'subject', rest[3], 'event', rest[4])
end
return 1
