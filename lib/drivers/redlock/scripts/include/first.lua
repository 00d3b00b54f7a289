-- The first token of a new block. It is above the mark. Otherwise it is the proposed token, as far as that is within a
-- second of the clock here. The marks of a namespace are one hash: the largest reserved token of each bucket of keys.
local function firstToken(marks, bucket, proposed)
  local time = redis.call('TIME')
  local now = time[1] * 1000000 + time[2]
  local mark = redis.call('HGET', marks, bucket)
  local first = math.min(math.max(tonumber(proposed), now - 1000000), now + 1000000)
  return mark and math.max(mark + 1, first) or first
end
