-- Writes or refreshes a fact, and publishes a message when its value is another one.
-- KEYS[1] FACTS of the scope, by id: 'expiry value', the expiry in ms of the server's clock
-- ARGV[1] id  ARGV[2] value  ARGV[3] ttl in ms  ARGV[4] channel of those who watch
-- reply: 1 new or another value | 0 refreshed
local FACTS = KEYS[1]
local id, value, ttl, channel = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
--- @include facts
local before = valueOf(redis.call('HGET', FACTS, id))
if before ~= value then
  redis.pcall('PUBLISH', channel, 'changed')
end
-- Expired facts are removed so rarely that the cost for each call does not grow with the scope.
if not before and time[2] % math.max(1, math.floor(redis.call('HLEN', FACTS) / 16)) == 0 then
  prune()
end
redis.call('HSET', FACTS, id, string.format('%.0f', now + ttl) .. ' ' .. value)
-- The key lives as long as the fact that lives longest.
if redis.call('PTTL', FACTS) < ttl then
  redis.call('PEXPIRE', FACTS, ARGV[3])
end
return before ~= value and 1 or 0
