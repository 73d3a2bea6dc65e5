-- Notes that a genuine delivery of a fact came too late.
--   late        hash {signature, request, confirmed}
--   signature   what names the signature: its time, key and callback URL
--   request     a name of the delivery's own: the same command may come twice, where its answer was lost
--   expires_at  in ms: when this is forgotten
-- Replies {1 where Calendly's API has been asked for the fact, 1 where a delivery with that very signature came late
-- before}, 0 otherwise.
local before = redis.call('HMGET', late, 'signature', 'request')
local is_repeated = before[1] == signature and before[2] ~= request
redis.call('HSET', late, 'signature', signature, 'request', request)
redis.call('PEXPIREAT', late, expires_at)
return { redis.call('HEXISTS', late, 'confirmed'), is_repeated and 1 or 0 }
