-- Takes the vote of this server back from a holder, and tells those who wait when it is free for good.
-- KEYS[1] lease: 'holder token round since tail'  KEYS[2] exists while somebody waits for the lease
-- KEYS[3] the last round of this holder that counts as given back, or '' when all do; only with ARGV[4]
-- ARGV[1] holder  ARGV[2] channel of the namespace
-- ARGV[3] the last round that is given back, or '' or nothing for all
-- ARGV[4] ms for which it counts as given back, or 0 or nothing
-- reply: 1 had the vote | 0 had not
local round = ARGV[3] or ''
if (ARGV[4] or '0') ~= '0' then
  local before = redis.call('GET', KEYS[3])
  if round == '' or not before or before ~= '' and tonumber(before) <= tonumber(round) then
    redis.call('SET', KEYS[3], round, 'PX', ARGV[4])
  end
end
local lease = redis.call('GET', KEYS[1])
if not lease or string.sub(lease, 1, #ARGV[1] + 1) ~= ARGV[1] .. ' ' then
  return 0
end
if round ~= '' then
  -- Of a vote without a majority. Whoever it kept out knows that, and asks again by itself.
  if tonumber(string.match(lease, '^%S+ %d+ (%d+)')) > tonumber(round) then
    return 0
  end
  redis.call('DEL', KEYS[1])
elseif redis.call('DEL', KEYS[1], KEYS[2]) == 2 then
  redis.pcall('PUBLISH', ARGV[2], 'freed ' .. ARGV[1] .. ' ' .. KEYS[1])
end
return 1
