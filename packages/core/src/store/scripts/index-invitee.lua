-- Writes down which booking an invitee belongs to and returns the deliveries that waited for that. They are removed by
-- the caller once they are committed. An entry never changes: a chain never gets another root.
--   index       string: booking id of the invitee
--   waiting     hash identity -> delivery
--   booking_id  the booking
-- Replies the waiting deliveries, each as JSON; none when the invitee belongs to another booking.
redis.call('SET', index, booking_id, 'NX')
if redis.call('GET', index) ~= booking_id then
  return {}
end
return redis.call('HVALS', waiting)
