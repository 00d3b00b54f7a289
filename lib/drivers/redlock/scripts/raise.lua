-- Gives a lease a larger token, and reserves the block that begins with it.
-- KEYS[1] lease: 'holder token round since tail'  KEYS[2] marks of the namespace, see include/first
-- ARGV[1] holder  ARGV[2] bucket of the key  ARGV[3] token  ARGV[4] last token of its block
-- reply: 1 | 0 not the holder
--- @include held
local token, round, rest = held(KEYS[1], ARGV[1])
if not token then
  return 0
end
redis.call('SET', KEYS[1], table.concat({ ARGV[1], ARGV[3], round, rest }, ' '), 'KEEPTTL')
if tonumber(redis.call('HGET', KEYS[2], ARGV[2]) or 0) < tonumber(ARGV[4]) then
  redis.call('HSET', KEYS[2], ARGV[2], ARGV[4])
end
return 1
