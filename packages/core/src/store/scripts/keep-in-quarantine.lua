-- Keeps a delivery that could not be taken as a fact. The first arrival of an id stays.
--   entry          string: the delivery as JSON
--   index          sorted set: ids by the time that their retention counts from
--   id             of the entry
--   counts_from    in ms: its arrival, or later where that is too long ago
--   content        of the entry
--   expires_at     in ms: when the entry is dropped
--   forget_before  in ms: entries that count from before this are dropped already
-- Replies 1 when it is new, 0 when it was there.
redis.call('ZREMRANGEBYSCORE', index, '-inf', '(' .. forget_before)
if redis.call('SET', entry, content, 'NX', 'PXAT', expires_at) then
  redis.call('ZADD', index, counts_from, id)
  return 1
end
return 0
