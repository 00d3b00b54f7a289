-- Reserves more tokens for the holder of a lease.
-- KEYS[1] lease: 'holder token round since tail'  KEYS[2] marks of the namespace, see include/first
-- ARGV[1] holder  ARGV[2] bucket of the key  ARGV[3] proposed token  ARGV[4] last token of its block
-- reply: token | 0 not the holder
--- @include first
--- @include held
if not held(KEYS[1], ARGV[1]) then
  return 0
end
local first = firstToken(KEYS[2], ARGV[2], ARGV[3])
redis.call('HSET', KEYS[2], ARGV[2], string.format('%.0f', first + ARGV[4] - ARGV[3]))
return string.format('%.0f', first)
