-- Writes down how a delivery to a destination ended.
--   state    hash {failures, failing_since, last_failure, last_failed_at, last_delivered_at, open_until, paused}
--   failure  what was wrong; empty where it was delivered
--   now      in ms
-- Replies {failures in a row, since when in ms}.
if failure == '' then
  redis.call('HSET', state, 'failures', 0, 'last_delivered_at', now)
  redis.call('HDEL', state, 'failing_since', 'open_until')
  return { 0, now }
end
redis.call('HSETNX', state, 'failing_since', now)
redis.call('HSET', state, 'last_failure', failure, 'last_failed_at', now)
return { redis.call('HINCRBY', state, 'failures', 1), redis.call('HGET', state, 'failing_since') }
