-- Lets the waiter of an instance that has waited longest come first, if it is alive as a hand-over sees it. Pushed
-- before it is taken out, so that a script that fails in between loses nobody: the copy that stays has no 'seen'.
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
