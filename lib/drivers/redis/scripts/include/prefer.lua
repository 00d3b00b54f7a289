-- Uses QUEUE of the script, and include/alive.lua.

-- Moves one waiter of an instance to the head of the queue: the first that is alive.
-- The entry is pushed before it is removed. A script that fails between the two steps loses no waiter: it leaves a second
-- entry of the same waiter, which a later hand-over skips because the waiter has no 'seen' by then.
local function prefer(instance)
  for _, entry in ipairs(redis.call('LRANGE', QUEUE, 0, -1)) do
    local holder, inbox, ttl, tail = string.match(entry, '^(%S+) (%S+) (%d+) (.*)$')
    local isReadable, claim = pcall(cjson.decode, tail)
    if isReadable and claim.instance == instance and isAlive(holder, inbox, ttl) then
      redis.call('LPUSH', QUEUE, entry)
      redis.call('LREM', QUEUE, -1, entry)
      return
    end
  end
end
