-- Gives the vote of this server to a holder. Idempotent for it: asked again, it re-arms the whole TTL.
-- KEYS[1] lease: 'holder token round tail'     KEYS[2] the largest token that was reserved
-- KEYS[3] exists while somebody waits for the lease
-- KEYS[4], KEYS[5] exist while this holder, or this round of it, counts as given back
-- ARGV[1] holder  ARGV[2] TTL in ms  ARGV[3] round  ARGV[4] tail: JSON of instance and metadata
-- ARGV[5] proposed token  ARGV[6] tokens to reserve  ARGV[7] 'queue' or 'try'  ARGV[8] channel of the namespace
-- reply: 'token tokens' granted | {remaining ms, lease} held by another | {} this holder was given back
--- @include mint
local holder, ttl, round, tail = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local lease = redis.call('GET', KEYS[1])
if not lease and redis.call('EXISTS', KEYS[4], KEYS[5]) == 0 then
  local token = mint(KEYS[2], ARGV[5], ARGV[6])
  redis.call('SET', KEYS[1], holder .. ' ' .. token .. ' ' .. round .. ' ' .. tail, 'PX', ttl)
  return token .. ' ' .. ARGV[6]
end
if lease and string.sub(lease, 1, #holder + 1) == holder .. ' ' then
  -- The latest round counts, so that an earlier one that is given back late takes nothing away.
  local token, before = string.match(lease, '^%S+ (%d+) (%d+)')
  if tonumber(before) > tonumber(round) then
    round = before
  end
  redis.call('SET', KEYS[1], holder .. ' ' .. token .. ' ' .. round .. ' ' .. tail, 'PX', ttl)
  return token .. ' 1'
end
if not lease or redis.call('EXISTS', KEYS[4], KEYS[5]) == 1 then
  return {}
end
if ARGV[7] == 'queue' and redis.call('SET', KEYS[3], '', 'PX', '60000', 'NX') then
  redis.call('PUBLISH', ARGV[8], 'contended ' .. KEYS[1])
end
return { redis.call('PTTL', KEYS[1]), lease }
