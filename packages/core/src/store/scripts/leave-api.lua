-- Writes down what a request to Calendly's API came to.
--   tokens         hash <fingerprint>:state and other facts of each token
--   budget         hash {limit, used, used_low, ends, is_guess, window_ms, blocked_until}
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
  local taken = limit - remaining
  local at_most = taken + redis.call('ZCARD', in_flight)
  local window_ms = math.max(number('window_ms'), reset_ms)
  redis.call('HSET', budget, 'limit', limit, 'window_ms', window_ms)
  local known = number('ends')
  -- An answer to a request of the window before says nothing about this one.
  local is_of_this = ends > known - window_ms / 2
  if is_of_this and number('is_guess') == 1 then
    redis.call('HSET', budget, 'ends', ends, 'is_guess', 0, 'used', math.max(taken, math.min(number('used'), at_most)))
  elseif ends > known + 1500 then
    redis.call('HSET', budget, 'ends', ends, 'is_guess', 0, 'used', at_most, 'used_low', 0)
  elseif is_of_this then
    -- Rounded up to a second: the smallest that was told is the nearest.
    redis.call('HSET', budget, 'ends', math.min(known, ends), 'used', math.max(taken, math.min(number('used'), at_most)))
  end
end
if is_refused == '1' then
  redis.call('HSET', budget, 'blocked_until', now + (tonumber(reset_ms) or 1000))
end
for _, scope in ipairs(rest) do
  redis.call('HSET', tokens, fingerprint .. ':scope:' .. scope, now)
end
if fault ~= '' and redis.call('HGET', tokens, fingerprint .. ':state') ~= fault then
  redis.call('HSET', tokens, fingerprint .. ':state', fault, fingerprint .. ':dead_since', now)
  return 1
end
if fault == '' and #rest > 0 then
  redis.call('HSET', tokens, fingerprint .. ':state', 'active')
end
return 0
