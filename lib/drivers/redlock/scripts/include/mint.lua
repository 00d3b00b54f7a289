-- Reserves a block of tokens and returns the first: above all that this server reserved before, and otherwise what was
-- proposed, as far as that is within a second of the clock here. They leave Lua as text, because '..' would round them.
local function mint(record, proposed, block)
  local time = redis.call('TIME')
  local now = time[1] * 1000000 + time[2]
  local first = math.min(math.max(tonumber(proposed), now - 1000000), now + 1000000)
  first = math.max(tonumber(redis.call('GET', record) or 0) + 1, first)
  redis.call('SET', record, string.format('%.0f', first + block - 1), 'PX', '86400000')
  return string.format('%.0f', first)
end
