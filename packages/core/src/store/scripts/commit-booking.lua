-- Writes a booking and appends its new outcomes to the stream: both or neither.
--   booking           hash {version, record}
--   outcomes          stream
--   unfinished        sorted set: ids that something is still to be asked for, by when to look after it
--   incomplete        sorted set: ids whose missing part was asked for in vain
--   erased            string: there when the booking was erased
--   id                of the booking
--   expected_version  version that the change was computed from; 0 for a booking that does not exist
--   record            the booking as JSON
--   expires_at        in ms
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
redis.call('HSET', booking, 'version', expected_version + 1, 'record', record)
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
