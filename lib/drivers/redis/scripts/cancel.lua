-- Ends a claim in any state: takes it out of the queue, gives back a lease that was granted, and makes sure that a later
-- request of this holder is refused.
-- KEYS[1] LEASE: 'holder token inbox since tail'     KEYS[2] MARK: the next free token of the namespace
-- KEYS[3] QUEUE of waiters: 'holder inbox TTL tail'  KEYS[4] SEEN: the last heartbeat of each waiter, in ms
-- KEYS[5] CANCELLED: exists while this holder counts as cancelled
-- ARGV[1] holder  ARGV[2] entry in the queue  ARGV[3] remembered: ms for which the holder counts as cancelled
-- reply: 1 gave a lease back | 0 had none
local LEASE, MARK, QUEUE, SEEN, CANCELLED = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local holder, entry, remembered = ARGV[1], ARGV[2], ARGV[3]
--- @include token
--- @include held
--- @include clock
--- @include alive
--- @include queue
-- HDEL comes first: at maxmemory Redis refuses SET to a script that has not written before.
if redis.call('HDEL', SEEN, holder) == 1 then
  redis.call('LREM', QUEUE, 1, entry)
end
redis.call('SET', CANCELLED, '', 'PX', remembered)
if not isHeldBy(holder, redis.call('GET', LEASE)) then
  return 0
end
redis.call('DEL', LEASE)
handOver()
return 1
