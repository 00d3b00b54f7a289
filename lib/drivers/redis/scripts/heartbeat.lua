-- Keeps the places of many waiters, as asking again would. Queues nobody and grants nothing.
-- KEYS[3i-2] lease: 'holder token inbox since tail'  KEYS[3i-1] queue of its waiters
-- KEYS[3i] when each waiter was seen last, in ms
-- ARGV[2i-1] holder, the one that waits  ARGV[2i] token of the lease that it knows to be in front
-- reply: for each waiter the remaining ms of the lease in front, or {remaining ms, lease, waiters} when that is another
--        lease, or -1 when the lease is free or the waiter is not in the queue: it has to ask
--- @include read
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local outcomes = {}
for i = 1, #KEYS / 3 do
  local lease, queue, seen = KEYS[3 * i - 2], KEYS[3 * i - 1], KEYS[3 * i]
  local holder, known = ARGV[2 * i - 1], ARGV[2 * i]
  local held = read('GET', lease)
  outcomes[i] = -1
  -- The queue first: at maxmemory Redis refuses HSET to a script that has not written yet.
  if held and read('HGET', seen, holder) and redis.call('PEXPIRE', queue, 10000) == 1 then
    redis.call('PEXPIRE', seen, 10000)
    redis.call('HSET', seen, holder, now)
    local remaining = redis.call('PTTL', lease)
    local isKnown = remaining < 0 or string.match(held, '^%S+ (%d+)') == known
    outcomes[i] = isKnown and remaining or { remaining, held, read('LLEN', queue) or 0 }
  end
end
return outcomes
