-- Uses LEASE and MARK of the script.

-- Tokens of a hand-over: an instance uses at most this number in a row while others wait.
local IN_A_ROW = 16

-- The server's clock at the last call of mint, in µs.
local now

-- Reserves a block of tokens above the mark of the namespace. Returns the first token and the size of the block.
-- While the mark is more than a second ahead of the clock, a block has one token, so that the clock catches up.
-- Tokens leave Lua as text: '..' would round them.
local function mint(wanted)
  local time = redis.call('TIME')
  -- Concatenated as text, which is faster than to format a number.
  now = time[1] .. string.sub('00000' .. time[2], -6)
  local first, tokens = tonumber(redis.call('GET', MARK) or 0), wanted or IN_A_ROW
  if first <= tonumber(now) then
    redis.call('SET', MARK, string.format('%.0f', now + tokens))
    return now, tokens
  end
  if first - now > 1000000 then
    tokens = 1
  end
  redis.call('SET', MARK, string.format('%.0f', first + tokens))
  return string.format('%.0f', first), tokens
end

-- Gives the lease to a holder. It has the lease since the last call of mint.
local function grant(holder, inbox, tail, ttl, token)
  redis.call('SET', LEASE, holder .. ' ' .. token .. ' ' .. inbox .. ' ' .. now .. ' ' .. tail, 'PX', ttl)
end
