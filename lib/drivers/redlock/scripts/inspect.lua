-- Reports the holder that has the vote of this server.
-- KEYS[1] lease: 'holder token round since tail'
-- KEYS[2] exists while somebody waits for the lease
-- reply: {remaining ms, lease, waiters} | {} free
local leaseKey, waiters = KEYS[1], KEYS[2]
local lease = redis.call('GET', leaseKey)
if not lease then
  return {}
end
return { redis.call('PTTL', leaseKey), lease, redis.call('EXISTS', waiters) }
