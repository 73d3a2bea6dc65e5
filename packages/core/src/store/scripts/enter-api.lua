-- Lets one request to Calendly's API pass, if the account's budget allows it, and says with which token.
--   tokens     hash <fingerprint>:state and other facts of each token
--   budget     hash {limit, used, used_low, taken, ends, guess, window_ms, blocked_until}
--   in_flight  sorted set: ticket by when it counts as lost
--   ticket     a new one
--   now        in ms
--   is_low     1 for what may take only a share of the budget
--   cap        the part of the limit that this request may take, 0 to 1
--   low_share  the part of the limit for all that is low, 0 to 1
--   lost_at    in ms: when the ticket counts as lost
--   wanted     fingerprint of the token to use; empty for the first that works
--   rest       fingerprints, the preferred one first
-- Replies {"go", fingerprint}, {"wait", ms} or {"no_token"}.
local chosen = wanted
if chosen == '' then
  for _, fingerprint in ipairs(rest) do
    local state = redis.call('HGET', tokens, fingerprint .. ':state')
    if chosen == '' and (not state or state == 'active') then
      chosen = fingerprint
    end
  end
  if chosen == '' then
    return { 'no_token' }
  end
end

local function number(field)
  return tonumber(redis.call('HGET', budget, field) or '0')
end

now = tonumber(now)
if number('blocked_until') > now then
  return { 'wait', number('blocked_until') - now }
end
if number('ends') <= now then
  -- The server's window begins with the first request of it: until that is answered, its end is a guess, and a wild one
  -- where no window has been seen yet.
  local window_ms = number('window_ms')
  local guess = window_ms > 0 and { window_ms, 'good' } or { 60000, 'wild' }
  redis.call('HSET', budget, 'used', 0, 'used_low', 0, 'taken', 0, 'ends', now + guess[1], 'guess', guess[2])
end
local limit = number('limit')
if limit > 0 then
  local is_over = number('used') >= math.max(1, math.floor(limit * cap))
  local is_low_over = is_low == '1' and number('used_low') >= math.max(1, math.floor(limit * low_share))
  if is_over or is_low_over then
    return { 'wait', number('ends') - now }
  end
end
redis.call('HINCRBY', budget, 'used', 1)
if is_low == '1' then
  redis.call('HINCRBY', budget, 'used_low', 1)
end
redis.call('ZADD', in_flight, lost_at, ticket)
redis.call('HINCRBY', tokens, chosen .. ':used', 1)
redis.call('HSETNX', tokens, chosen .. ':first_seen', now)
redis.call('HSET', tokens, chosen .. ':last_used', now)
return { 'go', chosen }
