-- Gives a lease back if this holder has it, and names no other key: while a slot moves its queue may be at another
-- server. The lease is passed to nobody; the first of those who wait finds it free by its next heartbeat.
-- KEYS[1] lease: 'holder token inbox since tail'
-- ARGV[1] holder
-- reply: 1 released | 0 not the holder
local lease = redis.call('GET', KEYS[1])
if lease and string.sub(lease, 1, #ARGV[1] + 1) == ARGV[1] .. ' ' then
  return redis.call('DEL', KEYS[1])
end
return 0
