-- Tokens of a hand-over: as many as an instance uses in a row while others wait.
local IN_A_ROW = 16

-- The server's clock when a token was minted last, in µs.
local now

-- Reserves a block of tokens above the mark of the namespace, and returns the first, and how many there are: one while the
-- mark is ahead of the clock, so that they come in step again. They leave Lua as text, because '..' would round them.
local function mint(wanted)
  local time = redis.call('TIME')
  -- Put together from the text, which costs less than to format a number.
  now = time[1] .. string.sub('00000' .. time[2], -6)
  local first, tokens = tonumber(redis.call('GET', KEYS[2]) or 0), wanted or IN_A_ROW
  if first <= tonumber(now) then
    redis.call('SET', KEYS[2], string.format('%.0f', now + tokens))
    return now, tokens
  end
  if first - now > 1000000 then
    tokens = 1
  end
  redis.call('SET', KEYS[2], string.format('%.0f', first + tokens))
  return string.format('%.0f', first), tokens
end

-- Gives the lease to a holder, whose tenure begins at the moment of the last mint.
local function grant(holder, inbox, tail, ttl, token)
  redis.call('SET', KEYS[1], holder .. ' ' .. token .. ' ' .. inbox .. ' ' .. now .. ' ' .. tail, 'PX', ttl)
end
