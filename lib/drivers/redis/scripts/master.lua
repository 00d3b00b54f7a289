-- Tells how long this server has been the master, as far as the instances noticed.
-- KEYS[1] 'run id of the master, since when in ms'
-- reply: ms
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local master = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)')
local known, since = string.match(redis.call('GET', KEYS[1]) or '', '^(%w+) (%d+)$')
if known ~= master then
  since = string.format('%.0f', now)
  redis.call('SET', KEYS[1], master .. ' ' .. since)
end
return now - since
