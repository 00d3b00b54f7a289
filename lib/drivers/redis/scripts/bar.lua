-- Lets a holder count as cancelled, and names no other key: see drop.lua.
-- KEYS[1] exists while this holder counts as cancelled
-- ARGV[1] ms for which it does
-- Removed first: at maxmemory Redis refuses SET to a script that has not written yet.
redis.call('DEL', KEYS[1])
redis.call('SET', KEYS[1], '', 'PX', ARGV[1])
return 1
