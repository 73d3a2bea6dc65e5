-- Writes down what a request to Calendly's API came to.
--   tokens         hash <fingerprint>:state and other facts of each token
--   budget         hash {limit, used, used_low, taken, ends, guess, window_ms, blocked_until}
--   in_flight      sorted set: ticket by when it counts as lost
--   ticket         of the request
--   now            in ms
--   limit          requests a window, as answered; empty where it was not
--   remaining      requests left in it, likewise
--   reset_ms       time until it ends, rounded up to a second, likewise
--   is_refused     1 when the answer was 429
--   fingerprint    of the token
--   fault          why Calendly takes it no more; empty when it does
--   rest           scopes that it has proved
-- Replies 1 when the token is found to be dead by this request, else 0.
redis.call('ZREM', in_flight, ticket)
redis.call('ZREMRANGEBYSCORE', in_flight, '-inf', now)
now = tonumber(now)

local function number(field)
  return tonumber(redis.call('HGET', budget, field) or '0')
end

if limit ~= '' and remaining ~= '' and reset_ms ~= '' then
  limit, remaining, reset_ms = tonumber(limit), tonumber(remaining), tonumber(reset_ms)
  local ends = now + reset_ms
  local known = number('ends')
  local window_ms = math.max(number('window_ms'), reset_ms)
  redis.call('HSET', budget, 'limit', limit, 'window_ms', window_ms)

  local guess = redis.call('HGET', budget, 'guess')
  if guess == 'none' and ends > known + 1500 then
    redis.call('HSET', budget, 'ends', ends, 'used', 0, 'used_low', 0, 'taken', 0)
    known = ends
  elseif guess ~= 'none' and (guess == 'wild' or ends > known - window_ms / 4) then
    redis.call('HSET', budget, 'ends', ends, 'guess', 'none')
    known, guess = ends, 'none'
  end
  -- All answers of one window tell the same end, to a second. One of the window before says nothing about this one.
  if guess == 'none' and math.abs(ends - known) <= 1500 then
    -- Answers overtake each other: the highest count that was told holds. Those under way may come on top.
    local taken = math.max(number('taken'), limit - remaining)
    local at_most = taken + redis.call('ZCARD', in_flight)
    local used = math.max(taken, math.min(number('used'), at_most))
    -- The end is told up to a second late: the smallest is the nearest.
    redis.call('HSET', budget, 'ends', math.min(known, ends), 'taken', taken, 'used', used)
  end
end
if is_refused == '1' then
  redis.call('HSET', budget, 'blocked_until', now + (tonumber(reset_ms) or 1000))
end
for _, scope in ipairs(rest) do
  redis.call('HSET', tokens, fingerprint .. ':scope:' .. scope, now)
end
local state = redis.call('HGET', tokens, fingerprint .. ':state')
if fault ~= '' and (not state or state == 'active') then
  redis.call('HSET', tokens, fingerprint .. ':state', fault, fingerprint .. ':dead_since', now)
  return 1
end
if #rest > 0 then
  -- Not over a refusal: this answer may have been under way when the token died.
  redis.call('HSETNX', tokens, fingerprint .. ':state', 'active')
end
return 0
