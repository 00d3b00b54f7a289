-- Keeps the places of many waiters, as a repeated acquire would. Adds nobody to a queue and grants nothing.
-- KEYS[3i-2] LEASE: 'holder token inbox since tail'  KEYS[3i-1] QUEUE of its waiters
-- KEYS[3i] SEEN: the last heartbeat of each waiter, in ms
-- ARGV[2i-1] holder: the waiter  ARGV[2i] known: the token of the lease that the waiter knows to be in front
-- reply: for each waiter one of
--        remaining ms of the known lease | {remaining ms, lease, waiters} of another lease
--        -1 the lease is free or the waiter is not in the queue: the waiter has to ask again
--- @include read
--- @include clock
local now = milliseconds()
local outcomes = {}
for i = 1, #KEYS / 3 do
  local LEASE, QUEUE, SEEN = KEYS[3 * i - 2], KEYS[3 * i - 1], KEYS[3 * i]
  local holder, known = ARGV[2 * i - 1], ARGV[2 * i]
  local lease = read('GET', LEASE)
  outcomes[i] = -1
  -- PEXPIRE comes first: at maxmemory Redis refuses HSET to a script that has not written before.
  if lease and read('HGET', SEEN, holder) and redis.call('PEXPIRE', QUEUE, 10000) == 1 then
    redis.call('PEXPIRE', SEEN, 10000)
    redis.call('HSET', SEEN, holder, now)
    local remaining = redis.call('PTTL', LEASE)
    local isKnown = remaining < 0 or string.match(lease, '^%S+ (%d+)') == known
    outcomes[i] = isKnown and remaining or { remaining, lease, read('LLEN', QUEUE) or 0 }
  end
end
return outcomes
