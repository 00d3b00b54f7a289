-- Uses FACTS of the script.

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

-- The value of a fact that has not expired, else nil.
local function valueOf(fact)
  local expiry, value = string.match(fact or '', '^(%d+) (.*)$')
  return expiry and tonumber(expiry) > now and value or nil
end

-- Returns the facts that have not expired: id, value, id, value and so on. Removes the others.
local function prune()
  local facts, live = redis.call('HGETALL', FACTS), {}
  for i = 1, #facts, 2 do
    local value = valueOf(facts[i + 1])
    if value then
      live[#live + 1] = facts[i]
      live[#live + 1] = value
    else
      redis.call('HDEL', FACTS, facts[i])
    end
  end
  return live
end
