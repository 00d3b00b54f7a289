-- acquire.lua, on a master whose reign is the one that the client knows. A Redis server takes a new replication id each
-- time it becomes the master, so this also detects a master that was a replica in between.
-- KEYS, ARGV[1] to ARGV[6] and reply: as acquire.lua
-- ARGV[7] known: replication id
-- reply: {3, replication id} another reign
local known = ARGV[7]
local reign = string.match(redis.call('INFO', 'replication'), 'master_replid:(%w+)')
if reign ~= known then
  return { 3, reign }
end
--- @include ../acquire
