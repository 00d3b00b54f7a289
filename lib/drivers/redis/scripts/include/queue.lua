-- Uses LEASE and QUEUE of the script, and include/token.lua and include/alive.lua.

-- Passes the lease to the first waiter that is alive, and publishes the grant to its inbox. The grant is in the store
-- before it is published, and stays there whoever receives the message.
-- The lease is armed for four heartbeats only: the new holder renews it after one. A holder that has just died costs that
-- little time.
-- Returns the holder, its first token and the number of its tokens; nil when no waiter is alive.
local function handOver()
  while true do
    local entry = redis.call('LPOP', QUEUE)
    if not entry then
      return nil
    end
    local holder, inbox, ttl, tail = string.match(entry, '^(%S+) (%S+) (%d+) (.*)$')
    local isThere = isAlive(holder, inbox, ttl)
    redis.call('HDEL', SEEN, holder)
    if isThere then
      local token, tokens = mint()
      local armed = 4 * heartbeatOf(ttl)
      grant(holder, inbox, tail, armed, token)
      local waiting = redis.call('LLEN', QUEUE)
      -- Where this user lacks the permission to publish, the waiter asks again and finds its lease.
      redis.pcall('PUBLISH', inbox, table.concat({ 'granted', holder, token, tokens, armed, waiting, LEASE }, ' '))
      return holder, token, tokens
    end
  end
end
