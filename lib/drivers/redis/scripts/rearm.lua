-- Re-arms the whole TTL of one lease, and names no other key: while a slot moves its keys may be at two servers.
-- KEYS[1] lease: 'holder token inbox since tail'
-- ARGV[1] holder  ARGV[2] TTL in ms
-- reply: 1 held | 0 the lease is gone
local lease = redis.call('GET', KEYS[1])
if lease and string.sub(lease, 1, #ARGV[1] + 1) == ARGV[1] .. ' ' then
  return redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return 0
