-- Says that a process lives. The time is that of Redis, as machines differ.
--   instances  hash "<app>/<id>" -> JSON {at, facts}
--   name       "<app>/<id>"
--   facts      about the process, as JSON; empty when it ends
--   live_ms    after this time without a word a process counts as gone
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if facts == '' then
  redis.call('HDEL', instances, name)
else
  redis.call('HSET', instances, name, cjson.encode({ at = now, facts = facts }))
end
local all = redis.call('HGETALL', instances)
for i = 1, #all, 2 do
  if now - cjson.decode(all[i + 1]).at > tonumber(live_ms) then
    redis.call('HDEL', instances, all[i])
  end
end
