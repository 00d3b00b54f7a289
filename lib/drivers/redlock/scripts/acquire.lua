-- Gives the vote of this server to a holder. Idempotent for it: asked again, it re-arms the whole TTL.
-- KEYS[1] lease: 'holder token round since tail'  KEYS[2] marks of the namespace, see include/first
-- KEYS[3] exists while somebody waits for the lease
-- KEYS[4] the last round of this holder that counts as given back, or '' when all do
-- ARGV[1] holder  ARGV[2] TTL in ms  ARGV[3] round  ARGV[4] tail: JSON of instance and metadata
-- ARGV[5] bucket of the key  ARGV[6] proposed token  ARGV[7] last token of its block
-- ARGV[8] channel of the namespace, or '' to wait for nothing
-- reply: 1 granted as proposed | token: granted with this one, and a block as large
--        {token} is granted already | {remaining ms, lease} held by another | {} this holder was given back
--- @include first
--- @include given-back
local holder, ttl, round, tail = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local lease = redis.call('GET', KEYS[1])
if not lease and not isGivenBack(KEYS[4], round) then
  local token, last = ARGV[6], ARGV[7]
  local first = firstToken(KEYS[2], ARGV[5], token)
  local isAsProposed = first == tonumber(token)
  if not isAsProposed then
    -- As text, because '..' would round them.
    token, last = string.format('%.0f', first), string.format('%.0f', first + last - token)
  end
  redis.call('HSET', KEYS[2], ARGV[5], last)
  redis.call('SET', KEYS[1], holder .. ' ' .. token .. ' ' .. round .. ' ' .. now .. ' ' .. tail, 'PX', ttl)
  return isAsProposed and 1 or token
end
if lease and string.sub(lease, 1, #holder + 1) == holder .. ' ' then
  -- The latest round counts, so that an earlier one that is given back late takes nothing away.
  local token, before, since = string.match(lease, '^%S+ (%d+) (%d+) (%d+)')
  if tonumber(before) > tonumber(round) then
    round = before
  end
  redis.call('SET', KEYS[1], table.concat({ holder, token, round, since, tail }, ' '), 'PX', ttl)
  return { token }
end
if not lease or isGivenBack(KEYS[4], round) then
  return {}
end
local remaining = redis.call('PTTL', KEYS[1])
if ARGV[8] ~= '' then
  -- It is of no use when the lease has ended, but one that waits for a short lease asks for it less often than it ends.
  local kept = math.max(remaining, 2000)
  if redis.call('SET', KEYS[3], '', 'PX', kept, 'NX') then
    redis.pcall('PUBLISH', ARGV[8], 'contended ' .. KEYS[1])
  else
    redis.call('PEXPIRE', KEYS[3], kept)
  end
end
return { remaining, lease }
