-- Takes a lease, or tells who has it. Idempotent for a holder: asked again, it re-arms the whole TTL.
-- KEYS[1] lease: 'holder token tail'    KEYS[2] the smallest token of the next grant
-- KEYS[3] inboxes to tell of a release  KEYS[4] exists while this holder counts as cancelled
-- ARGV[1] holder  ARGV[2] TTL in ms  ARGV[3] tail: JSON of instance and metadata
-- ARGV[4] inbox to tell, or ''       ARGV[5] ms for which the next token is remembered
-- reply: {1, token} granted | {0, remaining ms, lease, waiters} held by another | {0, 0} this holder was cancelled
local holder, ttl = ARGV[1], ARGV[2]
local lease = redis.call('GET', KEYS[1])
if lease then
  if string.sub(lease, 1, #holder + 1) == holder .. ' ' then
    redis.call('PEXPIRE', KEYS[1], ttl)
    return { 1, string.match(lease, '^%S+ (%d+)') }
  end
  local remaining = redis.call('PTTL', KEYS[1])
  if ARGV[4] ~= '' and redis.call('EXISTS', KEYS[4]) == 0 then
    redis.call('SADD', KEYS[3], ARGV[4])
    redis.call('PEXPIRE', KEYS[3], math.max(remaining, 60000))
  end
  return { 0, remaining, lease, redis.call('SCARD', KEYS[3]) }
end
if redis.call('EXISTS', KEYS[4]) == 1 then
  return { 0, 0 }
end
local time = redis.call('TIME')
local token = math.max(tonumber(redis.call('GET', KEYS[2]) or 0), time[1] * 1000000 + time[2])
redis.call('SET', KEYS[2], string.format('%.0f', token + 1), 'PX', ARGV[5])
token = string.format('%.0f', token)
redis.call('SET', KEYS[1], holder .. ' ' .. token .. ' ' .. ARGV[3], 'PX', ttl)
return { 1, token }
