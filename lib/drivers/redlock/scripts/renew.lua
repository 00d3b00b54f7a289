-- Re-arms the whole TTL of many leases. A server that has given its vote to nobody gives it to the holder, as it would
-- if it were asked for it now: one that was away, or has lost its data, is there when the next one fails. It does not
-- count as held, so that a holder has had a quorum all the time or has lost the lease.
-- KEYS[4i-3] lease: 'holder token round tail'  KEYS[4i-2] exists while somebody waits for it
-- KEYS[4i-1] the largest token that was reserved  KEYS[4i] the last round of this holder that counts as
-- given back, or '' when all do
-- ARGV[4i-3] holder  ARGV[4i-2] TTL in ms  ARGV[4i-1] the lease, or '' to give no vote  ARGV[4i] last token of its block
-- reply: for each lease whether somebody waits (0 or 1), or -1 when this server's vote was not the holder's
--- @include given-back
local outcomes = {}
for i = 1, #KEYS, 4 do
  local holder = ARGV[i]
  local lease = redis.call('GET', KEYS[i])
  outcomes[#outcomes + 1] = -1
  if lease and string.sub(lease, 1, #holder + 1) == holder .. ' ' then
    redis.call('PEXPIRE', KEYS[i], ARGV[i + 1])
    outcomes[#outcomes] = redis.call('EXISTS', KEYS[i + 1])
  elseif not lease and ARGV[i + 2] ~= '' and not isGivenBack(KEYS[i + 3], ARGV[i + 2]) then
    if tonumber(redis.call('GET', KEYS[i + 2]) or 0) < tonumber(ARGV[i + 3]) then
      redis.call('SET', KEYS[i + 2], ARGV[i + 3], 'PX', '86400000')
    end
    redis.call('SET', KEYS[i], ARGV[i + 2], 'PX', ARGV[i + 1])
  end
end
return outcomes
