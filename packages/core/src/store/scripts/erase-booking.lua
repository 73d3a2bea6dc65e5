-- Forgets a booking for good and tells so: all or nothing.
--   booking        hash {version, record, lookups}
--   erased         string: there when the booking was erased
--   outcomes       stream
--   unfinished     sorted set: ids that something is still to be asked for
--   incomplete     sorted set: ids whose missing part was asked for in vain
--   lookup         sorted set by which bookings are found
--   lookup_expiry  sorted set: a booking's members of it, one a line, by when they are dropped
--   id             of the booking
--   now            in ms
--   rest           id, type, subject, event of the outcome
-- Replies 1 when it was there, else 0.
redis.call('SET', erased, now, 'NX')
redis.call('ZREM', unfinished, id)
redis.call('ZREM', incomplete, id)
local lookups = redis.call('HGET', booking, 'lookups')
if lookups then
  redis.call('ZREM', lookup_expiry, lookups)
  for member in string.gmatch(lookups, '[^\n]+') do
    redis.call('ZREM', lookup, member)
  end
end
if redis.call('DEL', booking) == 0 then
  return 0
end
redis.call('XADD', outcomes, '*', 'id', rest[1], 'type', rest[2], 'subject', rest[3], 'event', rest[4])
return 1
