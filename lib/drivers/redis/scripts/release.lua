-- Gives a lease back if this holder has it, and tells the instances that asked to be told. As a cancel it also makes
-- sure that an acquire of this holder which arrives later is refused.
-- KEYS[1] lease  KEYS[2] inboxes to tell  KEYS[3] exists while this holder counts as cancelled
-- ARGV[1] holder  ARGV[2] ms for which the holder counts as cancelled, or 0 for a plain release
-- reply: 1 released | 0 not the holder
local holder = ARGV[1]
if ARGV[2] ~= '0' then
  redis.call('SET', KEYS[3], '', 'PX', ARGV[2])
end
local lease = redis.call('GET', KEYS[1])
if not lease or string.sub(lease, 1, #holder + 1) ~= holder .. ' ' then
  return 0
end
local inboxes = redis.call('SMEMBERS', KEYS[2])
redis.call('DEL', KEYS[1], KEYS[2])
for _, inbox in ipairs(inboxes) do
  redis.call('PUBLISH', inbox, KEYS[1])
end
return 1
