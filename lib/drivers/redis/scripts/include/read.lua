-- Reads a key; nil where the key has another type than the command needs, because another application wrote it. Such a
-- key must not fail the other entries of the same request.
local function read(...)
  local reply = redis.pcall(...)
  if type(reply) ~= 'table' or not reply.err then
    return reply
  end
  if not string.find(reply.err, 'WRONGTYPE', 1, true) then
    error(reply.err)
  end
end
