-- The token, the round, and since and tail of a lease; nothing when the lease is not this holder's.
local function held(key, holder)
  local lease = redis.call('GET', key)
  if lease and string.sub(lease, 1, #holder + 1) == holder .. ' ' then
    return string.match(lease, '^%S+ (%d+) (%d+) (.*)$')
  end
end
