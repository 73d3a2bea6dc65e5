-- Gives a lock back, if it is still the holder's.
--   lock    string: its holder
--   holder  whoever gives it back
-- Replies 1 when it was given back, 0 when it had run out.
if redis.call('GET', lock) == holder then
  return redis.call('DEL', lock)
end
return 0
