-- Moves a number forward. Idempotent for the caller that moved it.
-- KEYS[1] NUMBER: 'number by'
-- ARGV[1] to: the number to move to  ARGV[2] caller  ARGV[3] ttl in ms
-- reply: 1 this caller moved it there | 0 another caller did, or the number is larger already
local NUMBER = KEYS[1]
local to, caller, ttl = ARGV[1], ARGV[2], ARGV[3]
local at, by = string.match(redis.call('GET', NUMBER) or '', '^(%S+) (.*)$')
if not at or tonumber(at) < tonumber(to) then
  redis.call('SET', NUMBER, to .. ' ' .. caller, 'PX', ttl)
  return 1
end
return tonumber(at) == tonumber(to) and by == caller and 1 or 0
