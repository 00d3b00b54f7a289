-- Tells who has the vote of this server.
-- KEYS[1] lease: 'holder token round since tail'  KEYS[2] exists while somebody waits for it
-- reply: {remaining ms, lease, waiters} | {} free
local lease = redis.call('GET', KEYS[1])
if not lease then
  return {}
end
return { redis.call('PTTL', KEYS[1]), lease, redis.call('EXISTS', KEYS[2]) }
