-- Gives a lease back if this holder has it, by passing it to the next waiter if there is one.
-- KEYS[1] lease: 'holder token inbox since tail'     KEYS[2] mark: the next free token of the namespace
-- KEYS[3] queue of waiters: 'holder inbox TTL tail'  KEYS[4] when each waiter was seen last, in ms
-- KEYS[5] exists while this holder counts as cancelled
-- ARGV[1] holder  ARGV[2] (may be missing) instance whose waiter comes first
-- reply: 1 released | 0 not the holder
local held = redis.call('GET', KEYS[1])
if not held or string.sub(held, 1, #ARGV[1] + 1) ~= ARGV[1] .. ' ' then
  return 0
end
-- Deleted first: at maxmemory Redis refuses what needs memory to a script that has not written yet.
redis.call('DEL', KEYS[1])
if redis.call('EXISTS', KEYS[3]) == 0 then
  return 1
end
--- @include token
--- @include queue
--- @include prefer
if ARGV[2] then
  prefer(ARGV[2])
end
handOver()
return 1
