-- Takes a job that was begun out of the count of a queue's rate limit.
--   limiter  string: jobs begun in this window, there while the window lasts
local begun = tonumber(redis.call('GET', limiter) or '0')
if begun > 1 then
  redis.call('DECR', limiter)
elseif begun == 1 then
  redis.call('DEL', limiter)
end
