local LEASE, QUEUE, SEEN, CANCELLED = KEYS[1], KEYS[3], KEYS[4], KEYS[5]

local function milliseconds()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- How often a waiter says that it is there.
local function heartbeatOf(ttl)
  return math.max(1, math.floor(math.min(ttl / 6, 1000)))
end

-- Whether a waiter was heard of lately, and somebody listens to its inbox. The latter is asked before anything is
-- published, never told from the number that PUBLISH returns: a message reaches those who listen at a replica, too, and
-- does not count them. Where it cannot be asked the waiter counts as alive: in a cluster, where it may listen at another
-- node (its inbox ends with ':cluster'), and where this user may not.
local function isAlive(holder, inbox, ttl)
  local seen = redis.call('HGET', SEEN, holder)
  if not seen or milliseconds() - seen > 3 * heartbeatOf(ttl) then
    return false
  end
  if string.sub(inbox, -8) == ':cluster' then
    return true
  end
  local listeners = redis.pcall('PUBSUB', 'NUMSUB', inbox)
  return listeners.err ~= nil or listeners[2] > 0
end

-- Passes the lease to the first waiter that is alive, and tells it: what it is told is in the store, whoever hears it.
-- Armed for a few heartbeats only: the new holder renews early, so that one which has just died costs little. Returns nil
-- when nobody is there.
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
      -- Where this user may not publish the waiter finds out when it asks again.
      redis.pcall('PUBLISH', inbox, table.concat({ 'granted', holder, token, tokens, armed, waiting, LEASE }, ' '))
      return holder, token, tokens
    end
  end
end
