-- Tells for how long the reign of a master has been known to those who use the namespace, and writes it down.
-- KEYS[1] since when it is known, in ms: one key for each reign
-- reply: ms
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local since = redis.call('GET', KEYS[1]) or string.format('%.0f', now)
-- Forgotten when for a year nobody asked.
redis.call('SET', KEYS[1], since, 'PX', '31536000000')
return now - since
