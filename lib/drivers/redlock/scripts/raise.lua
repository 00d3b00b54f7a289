-- Gives a lease a larger token, and reserves the block that begins with it.
-- KEYS[1] lease: 'holder token round tail'  KEYS[2] the largest token that was reserved
-- ARGV[1] holder  ARGV[2] token  ARGV[3] last token of its block
-- reply: 1 | 0 not the holder
--- @include held
local token, round, tail = held(KEYS[1], ARGV[1])
if not token then
  return 0
end
redis.call('SET', KEYS[1], table.concat({ ARGV[1], ARGV[2], round, tail }, ' '), 'KEEPTTL')
if tonumber(redis.call('GET', KEYS[2]) or 0) < tonumber(ARGV[3]) then
  redis.call('SET', KEYS[2], ARGV[3], 'PX', '86400000')
end
return 1
