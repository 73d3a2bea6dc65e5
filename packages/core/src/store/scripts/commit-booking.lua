-- Writes a booking and appends its new outcomes to the stream: both or neither.
--   booking           hash {version, record}
--   outcomes          stream
--   expected_version  version that the change was computed from; 0 for a booking that does not exist
--   record            the booking as JSON
--   rest              id, type, subject, event of each outcome
-- Replies 1 when written; 0 when the version is another by now and nothing was written.
if (redis.call('HGET', booking, 'version') or '0') ~= expected_version then
  return 0
end
redis.call('HSET', booking, 'version', expected_version + 1, 'record', record)
for i = 1, #rest, 4 do
  redis.call('XADD', outcomes, '*', 'id', rest[i], 'type', rest[i + 1], 'subject', rest[i + 2], 'event', rest[i + 3])
end
return 1
