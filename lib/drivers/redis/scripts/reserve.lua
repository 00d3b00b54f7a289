-- Reserves more tokens for the holder of a lease.
-- KEYS[1] lease  KEYS[2] mark: the next free token of the namespace
-- ARGV[1] holder  ARGV[2] tokens to reserve
-- reply: {token, tokens} | {} not the holder
--- @include token
local held = redis.call('GET', KEYS[1])
if not held or string.sub(held, 1, #ARGV[1] + 1) ~= ARGV[1] .. ' ' then
  return {}
end
return { mint(ARGV[2]) }
