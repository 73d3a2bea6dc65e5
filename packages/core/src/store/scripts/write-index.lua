-- Writes down which booking an invitee or a routing form submission belongs to and returns the deliveries that waited
-- for that. They are removed by the caller once they are committed. An entry never changes: a chain never gets another
-- root.
--   index       string: booking id
--   waiting     hash identity -> delivery
--   booking_id  the booking
--   expires_at  in ms; a later time than before moves it, an earlier one does not
-- Replies the waiting deliveries, each as JSON; none when the id belongs to another booking.
if redis.call('SET', index, booking_id, 'NX') then
  redis.call('PEXPIREAT', index, expires_at)
else
  redis.call('PEXPIREAT', index, expires_at, 'GT')
end
if redis.call('GET', index) ~= booking_id then
  return {}
end
return redis.call('HVALS', waiting)
