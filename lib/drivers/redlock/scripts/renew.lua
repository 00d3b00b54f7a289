-- Re-arms the whole TTL of many leases. A server that has given its vote to nobody gives it to the holder, as if it were
-- asked for it now: a server that was away, or has lost its data, is there when the next one fails. This vote does not
-- count as held: a holder has had a quorum all the time, or has lost the lease.
-- For each lease i:
-- KEYS[4i-3] lease: 'holder token round since tail'
-- KEYS[4i-2] exists while somebody waits for the lease
-- KEYS[4i-1] marks of the namespace, see include/first
-- KEYS[4i] the last round of this holder that counts as given back, or '' when all rounds do
-- ARGV[5i-4] holder  ARGV[5i-3] TTL in ms
-- ARGV[5i-2] claim: 'holder token round since tail', or '' to give no vote
-- ARGV[5i-1] bucket of the key  ARGV[5i] last token of its block
-- reply: for each lease whether somebody waits (0 or 1), or -1 when the vote of this server was not the holder's
--- @include given-back
local outcomes = {}
for i = 0, #KEYS / 4 - 1 do
  local leaseKey, waiters, marks, givenBack = KEYS[4 * i + 1], KEYS[4 * i + 2], KEYS[4 * i + 3], KEYS[4 * i + 4]
  local holder, ttl, claim = ARGV[5 * i + 1], ARGV[5 * i + 2], ARGV[5 * i + 3]
  local bucket, last = ARGV[5 * i + 4], ARGV[5 * i + 5]
  local lease = redis.call('GET', leaseKey)
  outcomes[i + 1] = -1
  if lease and string.sub(lease, 1, #holder + 1) == holder .. ' ' then
    redis.call('PEXPIRE', leaseKey, ttl)
    outcomes[i + 1] = redis.call('EXISTS', waiters)
  elseif not lease and claim ~= '' then
    if not isGivenBack(givenBack, string.match(claim, '^%S+ %d+ (%d+)')) then
      if tonumber(redis.call('HGET', marks, bucket) or 0) < tonumber(last) then
        redis.call('HSET', marks, bucket, last)
      end
      redis.call('SET', leaseKey, claim, 'PX', ttl)
    end
  end
end
return outcomes
