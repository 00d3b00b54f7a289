-- Gives a lease back if this holder has it. Names one key only: while a slot moves, the queue may be at another server.
-- The lease is passed to nobody. The first waiter finds it free at its next heartbeat.
-- KEYS[1] LEASE: 'holder token inbox since tail'
-- ARGV[1] holder
-- reply: 1 released | 0 not the holder
local LEASE = KEYS[1]
local holder = ARGV[1]
--- @include held
if isHeldBy(holder, redis.call('GET', LEASE)) then
  return redis.call('DEL', LEASE)
end
return 0
