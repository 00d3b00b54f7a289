-- Reserves more tokens for the holder of a lease.
-- KEYS[1] lease: 'holder token round tail'  KEYS[2] the largest token that was reserved
-- ARGV[1] holder  ARGV[2] proposed token  ARGV[3] last token of its block
-- reply: token | 0 not the holder
--- @include first
--- @include held
if not held(KEYS[1], ARGV[1]) then
  return 0
end
local first = firstToken(redis.call('GET', KEYS[2]), ARGV[2])
redis.call('SET', KEYS[2], string.format('%.0f', first + ARGV[3] - ARGV[2]), 'PX', '86400000')
return string.format('%.0f', first)
