-- Notes that a genuine delivery of a fact came too late.
--   late        hash {signature, confirmed}
--   signature   what names the signature: its time, key and callback URL
--   expires_at  in ms: when this is forgotten
-- Replies "confirmed" where Calendly's API has been asked for the fact, "repeated" where a delivery with that very
-- signature came late before, else "noted".
if redis.call('HGET', late, 'confirmed') then
  return 'confirmed'
end
local before = redis.call('HGET', late, 'signature')
redis.call('HSET', late, 'signature', signature)
redis.call('PEXPIREAT', late, expires_at)
return before == signature and 'repeated' or 'noted'
