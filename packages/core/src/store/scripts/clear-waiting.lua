-- Forgets that a delivery waited for an id, once it is committed.
--   waiting     hash identity -> delivery
--   unfinished  sorted set: ids that something is still to be asked for
--   incomplete  sorted set: ids whose missing part was asked for in vain
--   booking     hash of the booking that bears the id, which is listed there for itself
--   id          that was waited for
--   identity    of the delivery's fact
-- Replies how many still wait.
redis.call('HDEL', waiting, identity)
local left = redis.call('HLEN', waiting)
if left == 0 and redis.call('EXISTS', booking) == 0 then
  redis.call('ZREM', unfinished, id)
  redis.call('ZREM', incomplete, id)
end
return left
