-- Reserves more tokens for the holder of a lease.
-- KEYS[1] LEASE: 'holder token inbox since tail'  KEYS[2] MARK: the next free token of the namespace
-- ARGV[1] holder  ARGV[2] wanted: tokens to reserve
-- reply: {token, tokens} | {} not the holder
local LEASE, MARK = KEYS[1], KEYS[2]
local holder, wanted = ARGV[1], ARGV[2]
--- @include token
--- @include held
if not isHeldBy(holder, redis.call('GET', LEASE)) then
  return {}
end
return { mint(wanted) }
