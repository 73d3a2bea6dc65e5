-- Gives a group's reader the next outcomes, which count as pending from then on. Nobody but the holder of the lease gets
-- any: one that woke up late would take them away from the reader who is at work.
--   outcomes  stream
--   lease     string: who reads
--   trimmed   string: id of the last outcome that was dropped by age
--   group     name
--   reader    name under which outcomes are pending
--   holder    the consumer
--   after     id of the last one that the holder got; what is pending after it comes first: a reply was lost, or a reader
--             before left it
--   count     how many at most
-- Replies {"lost"}; {"expired", last read, last dropped} where outcomes were dropped that the group has not read; else
-- {"read", {id, {field, value …}} …}.
if redis.call('GET', lease) ~= holder then
  return { 'lost' }
end

local function parse(id)
  local ms, seq = string.match(id, '^(%d+)-(%d+)$')
  return tonumber(ms), tonumber(seq)
end

local dropped = redis.call('GET', trimmed)
if dropped then
  for _, row in ipairs(redis.call('XINFO', 'GROUPS', outcomes)) do
    local one = {}
    for i = 1, #row, 2 do
      one[row[i]] = row[i + 1]
    end
    local last = one['last-delivered-id']
    if one.name == group then
      local ms, seq = parse(last)
      local dropped_ms, dropped_seq = parse(dropped)
      if ms < dropped_ms or (ms == dropped_ms and seq < dropped_seq) then
        return { 'expired', last, dropped }
      end
    end
  end
end

while true do
  local pending = redis.call('XREADGROUP', 'GROUP', group, reader, 'COUNT', count, 'STREAMS', outcomes, after)
  local entries = pending and pending[1][2] or {}
  local left = {}
  for _, entry in ipairs(entries) do
    -- What was erased is nobody's any more.
    if entry[2] then
      left[#left + 1] = entry
    else
      redis.call('XACK', outcomes, group, entry[1])
    end
  end
  if #left > 0 then
    return { 'read', left }
  end
  if #entries == 0 then
    break
  end
  -- All of these were erased; what is pending behind them still comes before what is new.
  after = entries[#entries][1]
end
local reply = redis.call('XREADGROUP', 'GROUP', group, reader, 'COUNT', count, 'STREAMS', outcomes, '>')
return { 'read', reply and reply[1][2] or {} }
