-- Removes a fact, and publishes a message when it was there.
-- KEYS[1] FACTS of the scope, by id: 'expiry value', the expiry in ms of the server's clock
-- ARGV[1] id  ARGV[2] channel of those who watch
-- reply: 1 removed | 0 was not there
local FACTS = KEYS[1]
local id, channel = ARGV[1], ARGV[2]
--- @include facts
local before = valueOf(redis.call('HGET', FACTS, id))
if before then
  redis.pcall('PUBLISH', channel, 'changed')
end
redis.call('HDEL', FACTS, id)
return before and 1 or 0
