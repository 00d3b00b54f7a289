-- The first token of a new block: above all that this server reserved before, and otherwise as proposed, as far as that
-- is within a second of the clock here.
local function firstToken(record, proposed)
  local time = redis.call('TIME')
  local now = time[1] * 1000000 + time[2]
  local first = math.min(math.max(tonumber(proposed), now - 1000000), now + 1000000)
  return record and math.max(record + 1, first) or first
end
