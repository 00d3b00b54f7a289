-- Takes the vote of this server back from a holder, and announces a lease that is free for good to those who wait.
-- KEYS[1] lease: 'holder token round since tail'
-- KEYS[2] exists while somebody waits for the lease
-- KEYS[3] the last round of this holder that counts as given back, or '' when all rounds do; only with ARGV[4]
-- ARGV[1] holder  ARGV[2] channel of the namespace
-- ARGV[3] the last round that is given back, or '' or nothing for all rounds
-- ARGV[4] ms for which it counts as given back, or 0 or nothing
-- reply: 1 had the vote | 0 had it not
local leaseKey, waiters, givenBack = KEYS[1], KEYS[2], KEYS[3]
local holder, channel, round, remembered = ARGV[1], ARGV[2], ARGV[3] or '', ARGV[4] or '0'
if remembered ~= '0' then
  local before = redis.call('GET', givenBack)
  if round == '' or not before or before ~= '' and tonumber(before) <= tonumber(round) then
    redis.call('SET', givenBack, round, 'PX', remembered)
  end
end
local lease = redis.call('GET', leaseKey)
if not lease or string.sub(lease, 1, #holder + 1) ~= holder .. ' ' then
  return 0
end
if round ~= '' then
  -- This vote had no majority. A claim that lost because of it asks again by itself.
  if tonumber(string.match(lease, '^%S+ %d+ (%d+)')) > tonumber(round) then
    return 0
  end
  redis.call('DEL', leaseKey)
elseif redis.call('DEL', leaseKey, waiters) == 2 then
  redis.pcall('PUBLISH', channel, 'freed ' .. holder .. ' ' .. leaseKey)
end
return 1
