-- Gives a lease back if this holder has it. Passes it to the next waiter that is alive.
-- KEYS[1] LEASE: 'holder token inbox since tail'     KEYS[2] MARK: the next free token of the namespace
-- KEYS[3] QUEUE of waiters: 'holder inbox TTL tail'  KEYS[4] SEEN: the last heartbeat of each waiter, in ms
-- KEYS[5] exists while this holder counts as cancelled; not used
-- ARGV[1] holder  ARGV[2] preferred (may be missing): the instance whose waiter comes first
-- reply: 1 released | 0 not the holder
local LEASE, MARK, QUEUE, SEEN = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local holder, preferred = ARGV[1], ARGV[2]
--- @include held
if not isHeldBy(holder, redis.call('GET', LEASE)) then
  return 0
end
-- DEL comes first: at maxmemory Redis refuses commands that need memory to a script that has not written before.
redis.call('DEL', LEASE)
if redis.call('EXISTS', QUEUE) == 0 then
  return 1
end
--- @include token
--- @include clock
--- @include alive
--- @include queue
--- @include prefer
if preferred then
  prefer(preferred)
end
handOver()
return 1
