-- Numbers that a grant reserves at most; the record that is kept is always that much below the next free one.
local BLOCK = 64

-- Reserves a block of tokens and returns the first, and how many there are: one while the record is ahead of the clock,
-- so that they come in step again. They leave Lua as text, because '..' would round them.
local function mint()
  local time = redis.call('TIME')
  local now = time[1] * 1000000 + time[2]
  local record = redis.call('GET', KEYS[2])
  local first, tokens = record and record + BLOCK or 0, BLOCK
  if first <= now then
    -- Put together from the text, which costs less than to format a number.
    record = time[1] .. string.sub('00000' .. time[2], -6)
    redis.call('SET', KEYS[2], record, 'PX', '86400000')
    return record, tokens
  end
  if first - now > 1000000 then
    tokens = 1
  end
  redis.call('SET', KEYS[2], string.format('%.0f', first + tokens - BLOCK), 'PX', '86400000')
  return string.format('%.0f', first), tokens
end

local function grant(holder, inbox, tail, ttl, token)
  redis.call('SET', KEYS[1], holder .. ' ' .. token .. ' ' .. inbox .. ' ' .. tail, 'PX', ttl)
end
