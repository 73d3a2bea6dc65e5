-- Adds a job to a queue of BullMQ's, as BullMQ does itself, unless one of its identity was added not long ago: one step.
--   deduplication  string: id of the job that was added under the identity
--   job            hash: the job
--   wait           list: ids of the jobs that wait
--   active         list: ids of the jobs that run
--   meta           hash: what is set for the queue
--   marker         sorted set: wakes a worker that waits for jobs
--   id             of the job
--   name           of the job
--   data           as JSON
--   opts           as JSON, in BullMQ's short words
--   timestamp      now, in ms
--   identity       what the job stands for
--   remembered_ms  how long no other job of the identity is added
-- Replies 1 when it was added, 0 when one was there. Nobody listens to the queue's events, so none is written.
if not redis.call('SET', deduplication, id, 'NX', 'PX', remembered_ms) then
  -- What was not answered before the connection broke is sent again, and finds what it has added itself.
  return redis.call('GET', deduplication) == id and 1 or 0
end
redis.call('HSET', job, 'name', name, 'data', data, 'opts', opts, 'timestamp', timestamp, 'delay', 0, 'priority', 0,
  'deid', identity)
redis.call('LPUSH', wait, id)
local set = redis.call('HMGET', meta, 'paused', 'concurrency')
if not set[1] and not (set[2] and redis.call('LLEN', active) >= tonumber(set[2])) then
  redis.call('ZADD', marker, 0, '0')
end
return 1
