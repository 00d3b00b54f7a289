-- Takes a lease, or joins the queue for it. Idempotent for a holder: asked again, it re-arms the whole TTL of a lease
-- that it has, and keeps the place of one that waits.
-- KEYS[1] lease: 'holder token inbox since tail'     KEYS[2] mark: the next free token of the namespace
-- KEYS[3] queue of waiters: 'holder inbox TTL tail'  KEYS[4] when each waiter was seen last, in ms
-- KEYS[5] exists while this holder counts as cancelled
-- ARGV[1] holder  ARGV[2] TTL in ms  ARGV[3] inbox  ARGV[4] tail: JSON of instance and metadata
-- ARGV[5] 'queue' or 'try'  ARGV[6] tokens to reserve
-- reply: 'token tokens waiters' granted | {2, remaining ms, lease, waiters} queued
--        {0, remaining ms, lease, waiters} held by another | {0} this holder was cancelled
--        {0, -1, text} something else uses the key
--- @include token
local holder, ttl, inbox, tail = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
if redis.call('EXISTS', KEYS[1], KEYS[3], KEYS[5]) == 0 then
  local token, tokens = mint(ARGV[6])
  grant(holder, inbox, tail, ttl, token)
  return token .. ' ' .. tokens .. ' 0'
end
local lease = redis.call('GET', KEYS[1])
if lease and string.sub(lease, 1, #holder + 1) == holder .. ' ' then
  redis.call('PEXPIRE', KEYS[1], ttl)
  return string.match(lease, '^%S+ (%d+)') .. ' 1 ' .. redis.call('LLEN', KEYS[3])
end
if redis.call('EXISTS', KEYS[5]) == 1 then
  return { 0 }
end
-- Not written by these scripts: nobody waits for what may never end.
if lease and (redis.call('PTTL', KEYS[1]) == -1 or not string.find(lease, '^%S+ %d+ %S+ ')) then
  return { 0, -1, lease }
end

--- @include queue
local status = 0
if ARGV[5] == 'queue' then
  status = 2
  if redis.call('HSET', SEEN, holder, milliseconds()) == 1 then
    local length = redis.call('RPUSH', QUEUE, table.concat({ holder, inbox, ttl, tail }, ' '))
    if lease and length == 1 then
      redis.pcall('PUBLISH', string.match(lease, '^%S+ %d+ (%S+)'), 'contended ' .. LEASE)
    end
  end
  -- Ten times what the slowest waiter takes between two heartbeats: nobody is there any more.
  redis.call('PEXPIRE', QUEUE, 10000)
  redis.call('PEXPIRE', SEEN, 10000)
end
if not lease then
  -- It ran out while others waited: they come first.
  local successor, token, tokens = handOver()
  if not successor then
    token, tokens = mint(ARGV[6])
    successor = holder
  end
  if successor == holder then
    grant(holder, inbox, tail, ttl, token)
    return token .. ' ' .. tokens .. ' ' .. redis.call('LLEN', QUEUE)
  end
  lease = redis.call('GET', LEASE)
end
return { status, redis.call('PTTL', LEASE), lease, redis.call('LLEN', QUEUE) }
