-- Whether a holder was given back, or the round that is in the text of its lease.
local function isGivenBack(key, lease)
  local last = redis.call('GET', key)
  return last and (last == '' or tonumber(string.match(lease, '^%S+ %d+ (%d+)')) <= tonumber(last))
end
