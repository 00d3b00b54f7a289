-- Reads who has a lease.
-- KEYS[1] LEASE: 'holder token inbox since tail'  KEYS[2] QUEUE of its waiters
-- reply: {0, remaining ms, lease, waiters} | {0} free
local LEASE, QUEUE = KEYS[1], KEYS[2]
local lease = redis.call('GET', LEASE)
if not lease then
  return { 0 }
end
return { 0, redis.call('PTTL', LEASE), lease, redis.call('LLEN', QUEUE) }
