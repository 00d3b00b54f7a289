-- Whether this round of a holder was given back.
local function isGivenBack(key, round)
  local last = redis.call('GET', key)
  return last and (last == '' or tonumber(round) <= tonumber(last))
end
