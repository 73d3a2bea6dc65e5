-- Looks up the booking of an invitee; where it is not known yet, keeps the delivery that needs it. One step, so that
-- the entry cannot be written between the look and the keeping.
--   index     string: booking id of the invitee
--   waiting   hash identity -> delivery: those that wait for the invitee
--   identity  of the delivery's fact
--   delivery  as JSON
-- Replies the booking id, or false when the delivery was kept.
local booking_id = redis.call('GET', index)
if booking_id then
  return booking_id
end
redis.call('HSET', waiting, identity, delivery)
return false
