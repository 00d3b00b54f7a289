-- Ends a claim, whatever became of it: takes it out of the queue, gives a granted lease back, and makes sure that a
-- request of this holder which arrives later is refused.
-- KEYS[1] lease: 'holder token inbox since tail'     KEYS[2] mark: the next free token of the namespace
-- KEYS[3] queue of waiters: 'holder inbox TTL tail'  KEYS[4] when each waiter was seen last, in ms
-- KEYS[5] exists while this holder counts as cancelled
-- ARGV[1] holder  ARGV[2] entry in the queue  ARGV[3] ms for which the holder counts as cancelled
-- reply: 1 gave a lease back | 0 had none
--- @include token
--- @include queue
-- Removed first: at maxmemory Redis refuses what needs memory to a script that has not written yet.
if redis.call('HDEL', SEEN, ARGV[1]) == 1 then
  redis.call('LREM', QUEUE, 1, ARGV[2])
end
redis.call('SET', CANCELLED, '', 'PX', ARGV[3])
local held = redis.call('GET', LEASE)
if not held or string.sub(held, 1, #ARGV[1] + 1) ~= ARGV[1] .. ' ' then
  return 0
end
redis.call('DEL', LEASE)
handOver()
return 1
