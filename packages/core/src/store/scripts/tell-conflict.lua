-- Writes down what has been told of two bookings that take one host's time, and appends it to the stream: both or
-- neither, and only while nothing has changed since it was computed.
--   bookings        hash booking id -> what it takes, as JSON with version
--   told            hash "<id>+<id>" -> what has been told of the two, as JSON
--   partners        hash booking id -> the ids of the others in told, joined by spaces; ":pairs" -> how many pairs
--   outcomes        stream
--   open            sorted set: conflicts that are open, by the end of their overlap
--   pair            "<id>+<id>"
--   expected        what had been told, as JSON; empty for nothing
--   state           what has been told after this, as JSON
--   first           id of one booking
--   first_version   that this was computed from; empty for one that the host does not know any more
--   second          id of the other
--   second_version  likewise
--   member          of the sorted set
--   open_until      in ms; empty where there is no conflict after this
--   now             in ms
--   rest            id, type, subject, event of each outcome
-- Replies 1 when written, 0 when something has changed: it is to be computed again.
local function version_of(id)
  local entry = redis.call('HGET', bookings, id)
  return entry and tostring(cjson.decode(entry).version) or ''
end

if (redis.call('HGET', told, pair) or '') ~= expected then
  return 0
end
if version_of(first) ~= first_version or version_of(second) ~= second_version then
  return 0
end
if redis.call('HSET', told, pair, state) == 1 then
  redis.call('HINCRBY', partners, ':pairs', 1)
  for one, other in pairs({ [first] = second, [second] = first }) do
    redis.call('HSET', partners, one, (redis.call('HGET', partners, one) or '') .. other .. ' ')
  end
end
-- The first pair of a host makes both keys, and nothing else of the host may be written after it.
local ends = redis.call('PEXPIRETIME', bookings)
if ends > 0 then
  for _, key in ipairs({ told, partners }) do
    if redis.call('PTTL', key) == -1 then
      redis.call('PEXPIREAT', key, ends)
    end
  end
end
redis.call('ZREMRANGEBYSCORE', open, '-inf', now)
if open_until == '' then
  redis.call('ZREM', open, member)
else
  redis.call('ZADD', open, open_until, member)
end
for i = 1, #rest, 4 do
  redis.call('XADD', outcomes, '*', 'id', rest[i], 'type', rest[i + 1], 'subject', rest[i + 2], 'event', rest[i + 3])
end
return 1
