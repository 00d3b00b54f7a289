-- Takes the vote of this server back from a holder, and tells those who wait when it is free for good.
-- KEYS[1] lease: 'holder token round tail'  KEYS[2] exists while somebody waits for the lease
-- KEYS[3] exists while this holder, or this round of it, counts as given back
-- ARGV[1] holder  ARGV[2] the last round that is given back, or '' for all  ARGV[3] ms for which it counts as given back, or 0
-- ARGV[4] channel of the namespace
-- reply: 1 had the vote | 0 had not
--- @include held
if ARGV[3] ~= '0' then
  redis.call('SET', KEYS[3], '', 'PX', ARGV[3])
end
local token, round = held(KEYS[1], ARGV[1])
if not token then
  return 0
end
if ARGV[2] ~= '' then
  -- Of a vote without a majority. Whoever it kept out knows that, and asks again by itself.
  if tonumber(round) > tonumber(ARGV[2]) then
    return 0
  end
  redis.call('DEL', KEYS[1])
elseif redis.call('DEL', KEYS[1], KEYS[2]) == 2 then
  redis.call('PUBLISH', ARGV[4], 'freed ' .. ARGV[1] .. ' ' .. KEYS[1])
end
return 1
