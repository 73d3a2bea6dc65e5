-- Writes a destination anew, if nobody has changed or removed it since it was read.
--   destinations  hash id → destination as JSON
--   id            of the destination
--   before        as it was read
--   after         as it shall be
-- Replies 1 when it was written, 0 when it is another by now or is not there any more.
if redis.call('HGET', destinations, id) ~= before then
  return 0
end
redis.call('HSET', destinations, id, after)
return 1
