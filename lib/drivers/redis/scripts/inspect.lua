-- Tells who has a lease.
-- KEYS[1] lease  KEYS[2] queue of its waiters
-- reply: {0, remaining ms, lease, waiters} | {0} free
local lease = redis.call('GET', KEYS[1])
if not lease then
  return { 0 }
end
return { 0, redis.call('PTTL', KEYS[1]), lease, redis.call('LLEN', KEYS[2]) }
