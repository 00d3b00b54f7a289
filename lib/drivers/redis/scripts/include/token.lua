-- Reserves a block of tokens and returns the first; a single one while the record is ahead of the clock, so that they
-- come in step again. They leave Lua as text, because '..' would round them.
local function mint(block)
  local time = redis.call('TIME')
  local now = time[1] * 1000000 + time[2]
  local first = math.max(tonumber(redis.call('GET', KEYS[2]) or 0), now)
  if first - now > 1000000 then
    block = 1
  end
  redis.call('SET', KEYS[2], string.format('%.0f', first + block), 'PX', 86400000)
  return string.format('%.0f', first), block
end

local function grant(holder, inbox, tail, ttl, token)
  redis.call('SET', KEYS[1], holder .. ' ' .. token .. ' ' .. inbox .. ' ' .. tail, 'PX', ttl)
end
