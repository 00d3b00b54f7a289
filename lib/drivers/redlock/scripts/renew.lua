-- Re-arms the whole TTL of many leases.
-- KEYS[2i-1] lease  KEYS[2i] exists while somebody waits for it
-- ARGV[2i-1] holder  ARGV[2i] TTL in ms
-- reply: for each lease whether somebody waits (0 or 1), or -1 when this server has given its vote to nobody or another
local outcomes = {}
for i = 1, #KEYS / 2 do
  local key, holder = KEYS[2 * i - 1], ARGV[2 * i - 1]
  local lease = redis.call('GET', key)
  if lease and string.sub(lease, 1, #holder + 1) == holder .. ' ' then
    redis.call('PEXPIRE', key, ARGV[2 * i])
    outcomes[i] = redis.call('EXISTS', KEYS[2 * i])
  else
    outcomes[i] = -1
  end
end
return outcomes
