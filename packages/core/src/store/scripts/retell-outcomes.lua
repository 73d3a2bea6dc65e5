-- Tells outcomes of a booking again in place of entries of the stream, which cannot be changed: all or nothing, and only
-- while they are the last that was told of it, or their order would be another.
--   outcomes  stream
--   subject   the booking's id
--   seen      stream id of the last entry that was looked at
--   count     of entries that are replaced
--   rest      their stream ids; then id, type, event of each outcome
-- Replies 1; 0 when something was told or retold in between: nothing is written then.
count = tonumber(count)
for i = 1, count do
  if #redis.call('XRANGE', outcomes, rest[i], rest[i]) == 0 then
    return 0
  end
end
for _, entry in ipairs(redis.call('XRANGE', outcomes, '(' .. seen, '+')) do
  for i = 1, #entry[2], 2 do
    if entry[2][i] == 'subject' and entry[2][i + 1] == subject then
      return 0
    end
  end
end
for i = count + 1, #rest, 3 do
  redis.call('XADD', outcomes, '*', 'id', rest[i], 'type', rest[i + 1], 'subject', subject, 'event', rest[i + 2])
end
redis.call('XDEL', outcomes, unpack(rest, 1, count))
return 1
