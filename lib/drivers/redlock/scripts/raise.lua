-- Gives a lease a larger token, and reserves the block that begins with this token.
-- KEYS[1] lease: 'holder token round since tail'
-- KEYS[2] marks of the namespace, see include/first
-- ARGV[1] holder  ARGV[2] bucket of the key  ARGV[3] token  ARGV[4] last token of its block
-- reply: 1 | 0 not the holder
--- @include held
local leaseKey, marks = KEYS[1], KEYS[2]
local holder, bucket, token, last = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local before, round, rest = held(leaseKey, holder)
if not before then
  return 0
end
redis.call('SET', leaseKey, table.concat({ holder, token, round, rest }, ' '), 'KEEPTTL')
if tonumber(redis.call('HGET', marks, bucket) or 0) < tonumber(last) then
  redis.call('HSET', marks, bucket, last)
end
return 1
