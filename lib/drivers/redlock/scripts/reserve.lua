-- Reserves more tokens for the holder of a lease.
-- KEYS[1] lease: 'holder token round since tail'
-- KEYS[2] marks of the namespace, see include/first
-- ARGV[1] holder  ARGV[2] bucket of the key  ARGV[3] proposed token  ARGV[4] last token of its block
-- reply: token | 0 not the holder
--- @include first
--- @include held
local leaseKey, marks = KEYS[1], KEYS[2]
local holder, bucket, token, last = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
if not held(leaseKey, holder) then
  return 0
end
local first = firstToken(marks, bucket, token)
redis.call('HSET', marks, bucket, string.format('%.0f', first + last - token))
return string.format('%.0f', first)
