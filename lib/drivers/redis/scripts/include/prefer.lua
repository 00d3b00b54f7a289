-- Lets the waiter of an instance that has waited longest come first, if it is alive as a hand-over sees it. Pushed
-- before it is taken out, so that a script that fails in between loses nobody: the copy that stays has no 'seen'.
local function prefer(instance)
  for _, entry in ipairs(redis.call('LRANGE', QUEUE, 0, -1)) do
    local holder, ttl, tail = string.match(entry, '^(%S+) %S+ (%d+) (.*)$')
    local isReadable, claim = pcall(cjson.decode, tail)
    if isReadable and claim.instance == instance then
      local seen = redis.call('HGET', SEEN, holder)
      local heartbeat = math.max(1, math.floor(math.min(ttl / 6, 1000)))
      if seen and milliseconds() - seen <= 3 * heartbeat then
        redis.call('LPUSH', QUEUE, entry)
        redis.call('LREM', QUEUE, -1, entry)
        return
      end
    end
  end
end
