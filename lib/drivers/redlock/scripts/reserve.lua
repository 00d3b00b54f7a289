-- Reserves more tokens for the holder of a lease.
-- KEYS[1] lease: 'holder token round tail'  KEYS[2] the largest token that was reserved
-- ARGV[1] holder  ARGV[2] proposed token  ARGV[3] tokens to reserve
-- reply: token | 0 not the holder
--- @include mint
--- @include held
if not held(KEYS[1], ARGV[1]) then
  return 0
end
return mint(KEYS[2], ARGV[2], ARGV[3])
