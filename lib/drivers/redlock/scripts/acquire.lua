-- Gives the vote of this server to a holder. Idempotent for it: asked again, it re-arms the whole TTL.
-- KEYS[1] lease: 'holder token round tail'     KEYS[2] the largest token that was reserved
-- KEYS[3] exists while somebody waits for the lease
-- KEYS[4] the last round of this holder that counts as given back, or '' when all do
-- ARGV[1] holder  ARGV[2] TTL in ms  ARGV[3] the lease with the proposed token; its tail is JSON of instance and metadata
-- ARGV[4] proposed token  ARGV[5] last token of its block  ARGV[6] channel of the namespace, or '' to wait for nothing
-- reply: 1 granted as proposed | token: granted with this one, and a block as large
--        {token} is granted already | {remaining ms, lease} held by another | {} this holder was given back
--- @include first
--- @include given-back
local lease = redis.call('GET', KEYS[1])
if not lease and not isGivenBack(KEYS[4], ARGV[3]) then
  local first = firstToken(redis.call('GET', KEYS[2]), ARGV[4])
  if first == tonumber(ARGV[4]) then
    redis.call('SET', KEYS[2], ARGV[5], 'PX', '86400000')
    redis.call('SET', KEYS[1], ARGV[3], 'PX', ARGV[2])
    return 1
  end
  -- As text, because '..' would round them.
  local token, last = string.format('%.0f', first), string.format('%.0f', first + ARGV[5] - ARGV[4])
  local rest = string.match(ARGV[3], '^%S+ %d+ (.*)$')
  redis.call('SET', KEYS[2], last, 'PX', '86400000')
  redis.call('SET', KEYS[1], ARGV[1] .. ' ' .. token .. ' ' .. rest, 'PX', ARGV[2])
  return token
end
if lease and string.sub(lease, 1, #ARGV[1] + 1) == ARGV[1] .. ' ' then
  -- The latest round counts, so that an earlier one that is given back late takes nothing away.
  local token, before = string.match(lease, '^%S+ (%d+) (%d+)')
  local round, tail = string.match(ARGV[3], '^%S+ %d+ (%d+) (.*)$')
  if tonumber(before) > tonumber(round) then
    round = before
  end
  redis.call('SET', KEYS[1], table.concat({ ARGV[1], token, round, tail }, ' '), 'PX', ARGV[2])
  return { token }
end
if not lease or isGivenBack(KEYS[4], ARGV[3]) then
  return {}
end
if ARGV[6] ~= '' and redis.call('SET', KEYS[3], '', 'PX', '60000', 'NX') then
  redis.pcall('PUBLISH', ARGV[6], 'contended ' .. KEYS[1])
end
return { redis.call('PTTL', KEYS[1]), lease }
