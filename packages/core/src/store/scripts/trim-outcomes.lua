-- Drops outcomes by age, but none that a consumer group has not acknowledged or that waits to be pushed, unless it is older still.
--   outcomes           stream
--   trimmed            string: id of the last outcome that was dropped
--   keep_from          in ms: what came before is dropped
--   keep_from_at_last  in ms: what came before is dropped whoever has not handled it
--   warn_from          in ms: a group that has not handled what came before lags
--   oldest_push        id of the oldest outcome that waits to be pushed; empty where none does
-- Replies {number dropped, {names of groups that lost something}, {names of groups that lag}}.
if redis.call('EXISTS', outcomes) == 0 then
  return { 0, {}, {} }
end

local function parse(id)
  local ms, seq = string.match(id, '^(%d+)-(%d+)$')
  return tonumber(ms), tonumber(seq)
end

local function is_before(a, b)
  local a_ms, a_seq = parse(a)
  local b_ms, b_seq = parse(b)
  return a_ms < b_ms or (a_ms == b_ms and a_seq < b_seq)
end

local keep = keep_from .. '-0'
local at_last = keep_from_at_last .. '-0'
if oldest_push ~= '' and is_before(oldest_push, keep) then
  keep = is_before(oldest_push, at_last) and at_last or oldest_push
end
local lost = {}
local lagging = {}
for _, row in ipairs(redis.call('XINFO', 'GROUPS', outcomes)) do
  local group = {}
  for i = 1, #row, 2 do
    group[row[i]] = row[i + 1]
  end
  -- The oldest that the group still needs: what it has read and not acknowledged, else what comes after its last.
  local pending = redis.call('XPENDING', outcomes, group.name)
  local ms, seq = string.match(group['last-delivered-id'], '^(%d+)-(%d+)$')
  local needed = pending[2] or (ms .. '-' .. (tonumber(seq) + 1))
  if is_before(needed, warn_from .. '-0') then
    if #redis.call('XRANGE', outcomes, needed, '(' .. warn_from .. '-0', 'COUNT', 1) > 0 then
      lagging[#lagging + 1] = group.name
    end
  end
  if is_before(needed, keep) then
    if is_before(needed, at_last) then
      if #redis.call('XRANGE', outcomes, needed, '(' .. at_last, 'COUNT', 1) > 0 then
        lost[#lost + 1] = group.name
      end
      keep = at_last
    else
      keep = needed
    end
  end
end
local last = redis.call('XREVRANGE', outcomes, '(' .. keep, '-', 'COUNT', 1)
if #last > 0 then
  redis.call('SET', trimmed, last[1][1])
end
return { redis.call('XTRIM', outcomes, 'MINID', keep), lost, lagging }
