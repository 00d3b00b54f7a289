local LEASE, QUEUE, SEEN, CANCELLED = KEYS[1], KEYS[3], KEYS[4], KEYS[5]

local function milliseconds()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- Passes the lease to the first waiter that is alive, and tells it. Armed for a few heartbeats only: the new holder
-- renews early, so that one which has just died costs little. Returns nil when nobody is there. In a cluster the number
-- of those who received a message says nothing: a waiter may listen at another node, and its inbox ends with ':cluster'.
local function handOver()
  while true do
    local entry = redis.call('LPOP', QUEUE)
    if not entry then
      return nil
    end
    local holder, inbox, ttl, tail = string.match(entry, '^(%S+) (%S+) (%d+) (.*)$')
    local seen = redis.call('HGET', SEEN, holder)
    redis.call('HDEL', SEEN, holder)
    -- How often this waiter says that it is there.
    local heartbeat = math.max(1, math.floor(math.min(ttl / 6, 1000)))
    if seen and milliseconds() - seen <= 3 * heartbeat then
      local token, tokens = mint()
      local waiting = redis.call('LLEN', QUEUE)
      local message = table.concat({ 'granted', holder, token, tokens, 4 * heartbeat, waiting, LEASE }, ' ')
      if redis.call('PUBLISH', inbox, message) > 0 or string.sub(inbox, -8) == ':cluster' then
        grant(holder, inbox, tail, 4 * heartbeat, token)
        return holder, token, tokens
      end
    end
  end
end
