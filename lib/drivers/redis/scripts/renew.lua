-- Re-arms the whole TTL of many leases.
-- KEYS[2i-1] lease  KEYS[2i] queue of its waiters
-- ARGV[2i-1] holder  ARGV[2i] TTL in ms
-- reply: for each lease the number of waiters, or -1 when the lease is gone
--- @include read
local outcomes = {}
for i = 1, #KEYS / 2 do
  local key, holder = KEYS[2 * i - 1], ARGV[2 * i - 1]
  local lease = read('GET', key)
  if lease and string.sub(lease, 1, #holder + 1) == holder .. ' ' then
    redis.call('PEXPIRE', key, ARGV[2 * i])
    outcomes[i] = read('LLEN', KEYS[2 * i]) or 0
  else
    outcomes[i] = -1
  end
end
return outcomes
