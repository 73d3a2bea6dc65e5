-- Writes down that an invitee of an event is known. Whoever is canceled stays so.
--   invitees    hash: each invitee's state, "active" or "canceled"
--   id          of the invitee
--   state       as it is known now
--   expires_at  in ms
if state == 'active' then
  redis.call('HSETNX', invitees, id, state)
else
  redis.call('HSET', invitees, id, state)
end
redis.call('PEXPIREAT', invitees, expires_at)
