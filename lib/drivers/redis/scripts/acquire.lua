-- Takes a lease, or joins the queue for it. Idempotent for a holder: a second request re-arms the whole TTL of a lease
-- that the holder has, and keeps the place of a holder that waits.
-- KEYS[1] LEASE: 'holder token inbox since tail'     KEYS[2] MARK: the next free token of the namespace
-- KEYS[3] QUEUE of waiters: 'holder inbox TTL tail'  KEYS[4] SEEN: the last heartbeat of each waiter, in ms
-- KEYS[5] CANCELLED: exists while this holder counts as cancelled
-- ARGV[1] holder  ARGV[2] ttl in ms  ARGV[3] inbox  ARGV[4] tail: JSON of instance and metadata
-- ARGV[5] mode: 'queue' or 'try'  ARGV[6] wanted: tokens to reserve
-- reply: 'token tokens waiters' granted | {2, remaining ms, lease, waiters} queued
--        {0, remaining ms, lease, waiters} held by another | {0} this holder was cancelled
--        {0, -1, text} the value of another application
local LEASE, MARK, QUEUE, SEEN, CANCELLED = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local holder, ttl, inbox, tail, mode, wanted = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
--- @include token
if redis.call('EXISTS', LEASE, QUEUE, CANCELLED) == 0 then
  local token, tokens = mint(wanted)
  grant(holder, inbox, tail, ttl, token)
  return token .. ' ' .. tokens .. ' 0'
end
--- @include held
local lease = redis.call('GET', LEASE)
if isHeldBy(holder, lease) then
  redis.call('PEXPIRE', LEASE, ttl)
  return string.match(lease, '^%S+ (%d+)') .. ' 1 ' .. redis.call('LLEN', QUEUE)
end
if redis.call('EXISTS', CANCELLED) == 1 then
  return { 0 }
end
-- A value of another application may never expire, so no waiter joins a queue for it.
if lease and (redis.call('PTTL', LEASE) == -1 or not string.find(lease, '^%S+ %d+ %S+ ')) then
  return { 0, -1, lease }
end

--- @include clock
--- @include alive
--- @include queue
local status = 0
if mode == 'queue' then
  status = 2
  if redis.call('HSET', SEEN, holder, milliseconds()) == 1 then
    local length = redis.call('RPUSH', QUEUE, table.concat({ holder, inbox, ttl, tail }, ' '))
    if lease and length == 1 then
      redis.pcall('PUBLISH', string.match(lease, '^%S+ %d+ (%S+)'), 'contended ' .. LEASE)
    end
  end
  -- Ten times the longest heartbeat: by then no waiter is left.
  redis.call('PEXPIRE', QUEUE, 10000)
  redis.call('PEXPIRE', SEEN, 10000)
end
if not lease then
  -- The lease expired while others waited: they come first.
  local successor, token, tokens = handOver()
  if not successor then
    token, tokens = mint(wanted)
    successor = holder
  end
  if successor == holder then
    grant(holder, inbox, tail, ttl, token)
    return token .. ' ' .. tokens .. ' ' .. redis.call('LLEN', QUEUE)
  end
  lease = redis.call('GET', LEASE)
end
return { status, redis.call('PTTL', LEASE), lease, redis.call('LLEN', QUEUE) }
