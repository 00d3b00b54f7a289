-- Gives the vote of this server to a holder. Idempotent for a holder: asked again, the script re-arms the whole TTL.
-- KEYS[1] lease: 'holder token round since tail'
-- KEYS[2] marks of the namespace, see include/first
-- KEYS[3] exists while somebody waits for the lease
-- KEYS[4] the last round of this holder that counts as given back, or '' when all rounds do
-- ARGV[1] holder  ARGV[2] TTL in ms  ARGV[3] round  ARGV[4] since: when the lease begins, in µs of the holder's clock
-- ARGV[5] tail: JSON of instance and metadata
-- ARGV[6] bucket of the key  ARGV[7] proposed token  ARGV[8] last token of its block
-- ARGV[9] channel of the namespace, or '' for a claim that does not wait
-- reply: 1 granted as proposed | token: granted with this token, and a block of the same size
--        {token} granted before | {remaining ms, lease} held by another | {} this holder was given back
--- @include first
--- @include given-back
local leaseKey, marks, waiters, givenBack = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local holder, ttl, round, since, tail = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local bucket, token, last, channel = ARGV[6], ARGV[7], ARGV[8], ARGV[9]
local lease = redis.call('GET', leaseKey)
if not lease and not isGivenBack(givenBack, round) then
  local first = firstToken(marks, bucket, token)
  local isAsProposed = first == tonumber(token)
  if not isAsProposed then
    -- As text, because '..' would round the numbers.
    token, last = string.format('%.0f', first), string.format('%.0f', first + last - token)
  end
  redis.call('HSET', marks, bucket, last)
  redis.call('SET', leaseKey, table.concat({ holder, token, round, since, tail }, ' '), 'PX', ttl)
  return isAsProposed and 1 or token
end
if lease and string.sub(lease, 1, #holder + 1) == holder .. ' ' then
  -- The latest round counts, so that an earlier round that is given back late takes nothing away.
  local granted, before, began = string.match(lease, '^%S+ (%d+) (%d+) (%d+)')
  if tonumber(before) > tonumber(round) then
    round, since = before, began
  end
  redis.call('SET', leaseKey, table.concat({ holder, granted, round, since, tail }, ' '), 'PX', ttl)
  return { granted }
end
if not lease or isGivenBack(givenBack, round) then
  return {}
end
local remaining = redis.call('PTTL', leaseKey)
if channel ~= '' then
  -- The mark of a waiter is useless after the end of the lease. But a waiter for a short lease asks less often than the
  -- lease ends.
  local kept = math.max(remaining, 2000)
  if redis.call('SET', waiters, '', 'PX', kept, 'NX') then
    redis.pcall('PUBLISH', channel, 'contended ' .. leaseKey)
  else
    redis.call('PEXPIRE', waiters, kept)
  end
end
return { remaining, lease }
