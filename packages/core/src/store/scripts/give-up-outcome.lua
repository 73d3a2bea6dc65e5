-- Puts an outcome that a group could not handle aside, so that the group goes on. Only the reader may.
--   lease      string: who reads
--   outcomes   stream
--   attempts   hash stream id -> tries in vain
--   dead       stream, trimmed by age elsewhere
--   holder     the consumer
--   group      name
--   stream_id  of the outcome
--   keep       about how many are kept
--   rest       fields and values of the entry
-- Replies 1; 0 when another reads by now.
if redis.call('GET', lease) ~= holder then
  return 0
end
redis.call('XADD', dead, 'MAXLEN', '~', keep, '*', unpack(rest))
redis.call('XACK', outcomes, group, stream_id)
redis.call('HDEL', attempts, stream_id)
return 1
