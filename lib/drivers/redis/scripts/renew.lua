-- Re-arms the whole TTL of many leases.
-- KEYS[2i-1] LEASE: 'holder token inbox since tail'  KEYS[2i] QUEUE of its waiters
-- ARGV[2i-1] holder  ARGV[2i] ttl in ms
-- reply: for each lease the number of waiters, or -1 when the lease is gone
--- @include read
--- @include held
local outcomes = {}
for i = 1, #KEYS / 2 do
  local LEASE, QUEUE = KEYS[2 * i - 1], KEYS[2 * i]
  local holder, ttl = ARGV[2 * i - 1], ARGV[2 * i]
  if isHeldBy(holder, read('GET', LEASE)) then
    redis.call('PEXPIRE', LEASE, ttl)
    outcomes[i] = read('LLEN', QUEUE) or 0
  else
    outcomes[i] = -1
  end
end
return outcomes
