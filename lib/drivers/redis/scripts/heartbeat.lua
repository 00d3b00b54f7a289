-- Keeps the places of many waiters, as asking again would. Queues nobody and grants nothing.
-- KEYS[3i-2] lease: 'holder token inbox tail'  KEYS[3i-1] queue of its waiters
-- KEYS[3i] when each waiter was seen last, in ms
-- ARGV[2i-1] holder, the one that waits  ARGV[2i] token of the lease that it knows to be in front
-- reply: for each waiter the remaining ms of the lease in front, or {remaining ms, lease, waiters} when that is another
--        lease, or -1 when the lease is free or the waiter is not in the queue: it has to ask
-- Something else may have written to one of the keys: that must not cost the other places (pcall).
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local outcomes = {}
for i = 1, #KEYS / 3 do
  local lease, queue, seen = KEYS[3 * i - 2], KEYS[3 * i - 1], KEYS[3 * i]
  local holder, known = ARGV[2 * i - 1], ARGV[2 * i]
  local held = redis.pcall('GET', lease)
  outcomes[i] = -1
  -- The queue first: at maxmemory Redis refuses HSET to a script that has not written yet.
  if type(held) == 'string' and type(redis.pcall('HGET', seen, holder)) == 'string'
    and redis.call('PEXPIRE', queue, 86400000) == 1 then
    redis.call('PEXPIRE', seen, 86400000)
    redis.call('HSET', seen, holder, now)
    local remaining = redis.call('PTTL', lease)
    local isKnown = remaining < 0 or string.match(held, '^%S+ (%d+)') == known
    local waiters = redis.pcall('LLEN', queue)
    outcomes[i] = isKnown and remaining or { remaining, held, type(waiters) == 'number' and waiters or 0 }
  end
end
return outcomes
