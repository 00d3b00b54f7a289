-- Moves a number forward. Idempotent for the one who moved it.
-- KEYS[1] 'number by'
-- ARGV[1] the number to move to  ARGV[2] by whom  ARGV[3] ms after which it is forgotten
-- reply: 1 mine | 0 somebody else moved it there, or it is beyond
local at, by = string.match(redis.call('GET', KEYS[1]) or '', '^(%S+) (.*)$')
if not at or tonumber(at) < tonumber(ARGV[1]) then
  redis.call('SET', KEYS[1], ARGV[1] .. ' ' .. ARGV[2], 'PX', ARGV[3])
  return 1
end
return tonumber(at) == tonumber(ARGV[1]) and by == ARGV[2] and 1 or 0
