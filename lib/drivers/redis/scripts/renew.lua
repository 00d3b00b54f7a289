-- Re-arms the whole TTL of many leases.
-- KEYS[i] lease
-- ARGV[2i-1] holder  ARGV[2i] TTL in ms
-- reply: for each lease 1 held | 0 gone
local outcomes = {}
for i, key in ipairs(KEYS) do
  local holder = ARGV[2 * i - 1]
  local lease = redis.call('GET', key)
  if lease and string.sub(lease, 1, #holder + 1) == holder .. ' ' then
    outcomes[i] = redis.call('PEXPIRE', key, ARGV[2 * i])
  else
    outcomes[i] = 0
  end
end
return outcomes
