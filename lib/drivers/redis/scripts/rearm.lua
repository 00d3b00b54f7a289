-- Re-arms the whole TTL of one lease. Names one key only: see drop.lua.
-- KEYS[1] LEASE: 'holder token inbox since tail'
-- ARGV[1] holder  ARGV[2] ttl in ms
-- reply: 1 held | 0 the lease is gone
local LEASE = KEYS[1]
local holder, ttl = ARGV[1], ARGV[2]
--- @include held
if isHeldBy(holder, redis.call('GET', LEASE)) then
  return redis.call('PEXPIRE', LEASE, ttl)
end
return 0
