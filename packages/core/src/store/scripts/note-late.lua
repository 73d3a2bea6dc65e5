-- Notes that a genuine delivery of a fact came too late.
--   late        hash {signature, confirmed}
--   signature   what names the signature: its time, key and callback URL
--   expires_at  in ms: when this is forgotten
-- Replies {1 where Calendly's API has been asked for the fact, 1 where a delivery with that very signature came late
-- before}, 0 otherwise.
local before = redis.call('HGET', late, 'signature')
redis.call('HSET', late, 'signature', signature)
redis.call('PEXPIREAT', late, expires_at)
return { redis.call('HEXISTS', late, 'confirmed'), before == signature and 1 or 0 }
