-- Removes a fact, and tells those who watch when it was there.
-- KEYS[1] facts of the scope, by id: 'expiry value', the expiry in ms of the server's clock
-- ARGV[1] id  ARGV[2] channel of those who watch
-- reply: 1 removed | 0 was not there
--- @include facts
local before = valueOf(redis.call('HGET', FACTS, ARGV[1]))
if before then
  redis.pcall('PUBLISH', ARGV[2], 'changed')
end
redis.call('HDEL', FACTS, ARGV[1])
return before and 1 or 0
