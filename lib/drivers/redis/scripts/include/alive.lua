-- Uses SEEN of the script, and include/clock.lua.

-- Ms between two heartbeats of a waiter.
local function heartbeatOf(ttl)
  return math.max(1, math.floor(math.min(ttl / 6, 1000)))
end

-- A waiter is alive when its last heartbeat is recent and a connection subscribes to its inbox.
-- The script asks for the subscribers before it publishes. The reply of PUBLISH cannot answer that question: the message
-- also reaches subscribers of the replicas, and PUBLISH does not count them.
-- Two kinds of waiters count as alive without an answer about subscribers:
-- 1. a waiter of a cluster (its inbox ends with ':cluster'), which may be subscribed at another node;
-- 2. any waiter, where this user lacks the permission for PUBSUB NUMSUB.
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
