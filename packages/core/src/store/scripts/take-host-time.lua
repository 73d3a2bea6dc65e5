-- Writes down what a booking takes of a host's time and finds who else takes some of it. Costs what the booking and its
-- neighbours make up, however many bookings the host has.
--   times       sorted set: booking id by start
--   bookings    hash booking id -> what it takes, as JSON {version, start, end, taken}; without taken when nothing
--   told        hash "<id>+<id>" -> what has been told of the two, as JSON
--   partners    hash booking id -> the ids of the others in told, joined by spaces; ":pairs" -> how many pairs
--   expiry      sorted set: booking id by when it is dropped
--   id          of the booking
--   version     of the booking: a lower one than the one that is known is older news and changes nothing
--   taken       as JSON; empty when it takes nothing (any more)
--   busy_from   in ms; empty likewise
--   busy_to     in ms; empty likewise
--   expires_at  in ms: when what is written here is dropped
--   now         in ms
-- Replies {what overlaps, as JSON ...}, {of each told pair that the booking is part of: the other's id, its version or
-- empty, what has been told as JSON ...}; false when it is older news.
local function name_of(a, b)
  return a < b and a .. '+' .. b or b .. '+' .. a
end

local function partners_of(one)
  return string.gmatch(redis.call('HGET', partners, one) or '', '%S+')
end

local function write_partners()
  local others, count = {}, 0
  for _, name in ipairs(redis.call('HKEYS', told)) do
    local a, b = string.match(name, '^(.-)%+(.+)$')
    if redis.call('HEXISTS', bookings, a) == 1 and redis.call('HEXISTS', bookings, b) == 1 then
      others[a] = (others[a] or '') .. b .. ' '
      others[b] = (others[b] or '') .. a .. ' '
      count = count + 1
    else
      redis.call('HDEL', told, name)
    end
  end
  redis.call('DEL', partners)
  redis.call('HSET', partners, ':pairs', count)
  for one, all in pairs(others) do
    redis.call('HSET', partners, one, all)
  end
end

-- Who else takes some of the time.
local function neighbours_of(one, from, to)
  local found = {}
  local earliest = from - redis.call('HGET', bookings, ':longest')
  for _, other in ipairs(redis.call('ZRANGEBYSCORE', times, '(' .. earliest, '(' .. to)) do
    local detail = cjson.decode(redis.call('HGET', bookings, other))
    if other ~= one and detail['end'] > tonumber(from) then
      found[#found + 1] = { id = other, taken = detail.taken }
    end
  end
  return found
end

-- Where the release before has told of as many pairs as it has dropped, their number says nothing. What is open overlaps.
local function mend_partners(one, neighbours)
  local is_partner = {}
  for other in partners_of(one) do
    is_partner[other] = true
  end
  for _, other in ipairs(neighbours) do
    if not is_partner[other.id] and redis.call('HEXISTS', told, name_of(one, other.id)) == 1 then
      return write_partners()
    end
  end
end

-- Pairs that the release before has told of, or dropped, are not written down with their bookings.
if redis.call('HLEN', told) ~= tonumber(redis.call('HGET', partners, ':pairs') or '0') then
  write_partners()
end

for _, old in ipairs(redis.call('ZRANGEBYSCORE', expiry, '-inf', now, 'LIMIT', 0, 20)) do
  local dropped = cjson.decode(redis.call('HGET', bookings, old) or '{}')
  if dropped.start then
    mend_partners(old, neighbours_of(old, dropped.start, dropped['end']))
  end
  redis.call('ZREM', expiry, old)
  redis.call('ZREM', times, old)
  redis.call('HDEL', bookings, old)
  for other in partners_of(old) do
    -- Both of a pair may be dropped, the one after the other. To Redis, -0 is no number.
    if redis.call('HDEL', told, name_of(old, other)) == 1 then
      redis.call('HINCRBY', partners, ':pairs', -1)
    end
  end
  redis.call('HDEL', partners, old)
end

local known = redis.call('HGET', bookings, id)
local before = known and cjson.decode(known) or {}
if known and before.version > tonumber(version) then
  return false
end

local entry = { version = tonumber(version) }
if taken ~= '' then
  entry.start = tonumber(busy_from)
  entry['end'] = tonumber(busy_to)
  entry.taken = taken
  redis.call('ZADD', times, busy_from, id)
  -- How long the longest is says how far back an overlapping one may begin.
  local longest = tonumber(redis.call('HGET', bookings, ':longest') or '0')
  redis.call('HSET', bookings, ':longest', math.max(longest, busy_to - busy_from))
else
  redis.call('ZREM', times, id)
end
redis.call('HSET', bookings, id, cjson.encode(entry))
redis.call('ZADD', expiry, expires_at, id)

local overlapping = {}
if taken ~= '' then
  local neighbours = neighbours_of(id, busy_from, busy_to)
  mend_partners(id, neighbours)
  for i, other in ipairs(neighbours) do
    overlapping[i] = other.taken
  end
end
if before.start then
  mend_partners(id, neighbours_of(id, before.start, before['end']))
end

for _, key in ipairs({ times, bookings, told, partners, expiry }) do
  if redis.call('PTTL', key) == -1 then
    redis.call('PEXPIREAT', key, expires_at)
  else
    redis.call('PEXPIREAT', key, expires_at, 'GT')
  end
end

local told_of_it = {}
for other in partners_of(id) do
  local state = redis.call('HGET', told, name_of(id, other))
  -- The other one may have been dropped.
  if state then
    local of_other = redis.call('HGET', bookings, other)
    told_of_it[#told_of_it + 1] = other
    told_of_it[#told_of_it + 1] = of_other and tostring(cjson.decode(of_other).version) or ''
    told_of_it[#told_of_it + 1] = state
  end
end
return { overlapping, told_of_it }
