-- Reads how long the reign of a master has been known to the users of the namespace, and writes the date down.
-- KEYS[1] SINCE: the date, in ms; one key for each reign
-- reply: ms
local SINCE = KEYS[1]
--- @include clock
local now = milliseconds()
local since = redis.call('GET', SINCE) or string.format('%.0f', now)
-- Forgotten after a year without a question.
redis.call('SET', SINCE, since, 'PX', '31536000000')
return now - since
