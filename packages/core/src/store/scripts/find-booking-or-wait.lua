-- Looks up the booking of an invitee or a routing form submission; where it is not known yet, keeps the delivery that
-- needs it. One step, so that the entry cannot be written between the look and the keeping.
--   index       string: booking id
--   waiting     hash identity -> delivery: those that wait for the id
--   unfinished  sorted set: ids that something is still to be asked for, by when to look after it
--   id          of the invitee or submission
--   identity    of the delivery's fact
--   delivery    as JSON
--   expires_at  in ms: when the delivery need not be kept any longer
--   is_delivered  1 where Calendly has delivered it; what was only asked for takes no other one's place
--   look_at     in ms: when to look whether somebody asks for the id; empty when it cannot be asked for
-- Replies the booking id, or false when the delivery was kept.
local booking_id = redis.call('GET', index)
if booking_id then
  return booking_id
end
local is_new = redis.call('EXISTS', waiting) == 0
redis.call(is_delivered == '1' and 'HSET' or 'HSETNX', waiting, identity, delivery)
redis.call('PEXPIREAT', waiting, expires_at, is_new and 'NX' or 'GT')
if look_at ~= '' then
  redis.call('ZADD', unfinished, 'NX', look_at, id)
end
return false
