-- Whether a holder was given back, or this round of it.
local function isGivenBack(key, round)
  local last = redis.call('GET', key)
  return last and (last == '' or tonumber(round) <= tonumber(last))
end
