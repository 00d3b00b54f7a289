-- acquire.lua on a master whose reign is the one that the client knows. A Redis server takes a new replication id whenever it
-- becomes the master, so that this sees a master which was a replica in between, too.
-- KEYS, ARGV[1] to ARGV[6] and reply: as acquire.lua
-- ARGV[7] replication id
-- reply: {3, replication id} another reign
local reign = string.match(redis.call('INFO', 'replication'), 'master_replid:(%w+)')
if reign ~= ARGV[7] then
  return { 3, reign }
end
--- @include ../acquire
