-- Writes a booking and appends its new outcomes to the stream: both or neither.
--   booking           hash {version, record, lookups}
--   outcomes          stream
--   unfinished        sorted set: ids that something is still to be asked for, by when to look after it
--   incomplete        sorted set: ids whose missing part was asked for in vain
--   erased            string: there when the booking was erased
--   lookup            sorted set by which bookings are found, all of one score
--   lookup_expiry     sorted set: a booking's members of it, one a line, by when they are dropped
--   id                of the booking
--   expected_version  version that the change was computed from; 0 for a booking that does not exist
--   record            the booking as JSON
--   lookups           its members of the set, one a line
--   expires_at        in ms
--   now               in ms
--   look_at           in ms: when to look whether somebody asks for what is missing; empty when nothing is
--   has_hole          1 while an invitee of the chain is unknown, else 0
--   rest              id, type, subject, event of each outcome
-- Replies "written"; "conflict" when the version is another by now, "erased" when the booking was erased: nothing is
-- written then.
if redis.call('EXISTS', erased) == 1 then
  return 'erased'
end
if (redis.call('HGET', booking, 'version') or '0') ~= expected_version then
  return 'conflict'
end

local function drop(members)
  redis.call('ZREM', lookup_expiry, members)
  for member in string.gmatch(members, '[^\n]+') do
    redis.call('ZREM', lookup, member)
  end
end

for _, old in ipairs(redis.call('ZRANGEBYSCORE', lookup_expiry, '-inf', now, 'LIMIT', 0, 20)) do
  drop(old)
end
local before = redis.call('HGET', booking, 'lookups')
if before ~= lookups then
  if before then
    drop(before)
  end
  for member in string.gmatch(lookups, '[^\n]+') do
    redis.call('ZADD', lookup, 0, member)
  end
end
if lookups ~= '' then
  redis.call('ZADD', lookup_expiry, expires_at, lookups)
end

redis.call('HSET', booking, 'version', expected_version + 1, 'record', record, 'lookups', lookups)
redis.call('PEXPIREAT', booking, expires_at)
if look_at == '' then
  redis.call('ZREM', unfinished, id)
else
  redis.call('ZADD', unfinished, 'NX', look_at, id)
end
if has_hole == '0' then
  redis.call('ZREM', incomplete, id)
end
for i = 1, #rest, 4 do
  redis.call('XADD', outcomes, '*', 'id', rest[i], 'type', rest[i + 1], 'subject', rest[i + 2], 'event', rest[i + 3])
end
return 'written'
