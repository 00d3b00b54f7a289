-- Marks a holder as cancelled. Names one key only: see drop.lua.
-- KEYS[1] CANCELLED: exists while this holder counts as cancelled
-- ARGV[1] ttl in ms
-- reply: 1
local CANCELLED = KEYS[1]
local ttl = ARGV[1]
-- DEL comes first: at maxmemory Redis refuses SET to a script that has not written before.
redis.call('DEL', CANCELLED)
redis.call('SET', CANCELLED, '', 'PX', ttl)
return 1
