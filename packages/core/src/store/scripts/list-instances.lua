-- Lists the processes that live.
--   instances  hash "<app>/<id>" -> JSON {at, facts}
--   live_ms    after this time without a word a process counts as gone
-- Replies {name, facts as JSON ...}.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local live = {}
local all = redis.call('HGETALL', instances)
for i = 1, #all, 2 do
  local entry = cjson.decode(all[i + 1])
  if now - entry.at <= tonumber(live_ms) then
    live[#live + 1] = all[i]
    live[#live + 1] = entry.facts
  end
end
return live
