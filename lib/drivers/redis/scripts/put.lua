-- Writes or refreshes a fact, and tells those who watch when its value is another one.
-- KEYS[1] facts of the scope, by id: 'expiry value', the expiry in ms of the server's clock
-- ARGV[1] id  ARGV[2] value  ARGV[3] TTL in ms  ARGV[4] channel of those who watch
-- reply: 1 new or another value | 0 refreshed
--- @include facts
local id, value, ttl = ARGV[1], ARGV[2], tonumber(ARGV[3])
local before = valueOf(redis.call('HGET', FACTS, id))
if before ~= value then
  redis.pcall('PUBLISH', ARGV[4], 'changed')
end
-- Those that have run out are looked for so rarely that this costs as much in a large scope as in a small one.
if not before and time[2] % math.max(1, math.floor(redis.call('HLEN', FACTS) / 16)) == 0 then
  prune()
end
redis.call('HSET', FACTS, id, string.format('%.0f', now + ttl) .. ' ' .. value)
-- The key lives as long as the fact that lives longest.
if redis.call('PTTL', FACTS) < ttl then
  redis.call('PEXPIRE', FACTS, ARGV[3])
end
return before ~= value and 1 or 0
