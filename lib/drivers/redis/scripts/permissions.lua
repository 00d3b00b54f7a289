-- Reads which commands the current user may not run. Runs none of them, so the server logs no refusal.
-- ARGV[1] commands: JSON, each with its arguments
-- reply: {indices of the refused commands, from 1} | nil the server cannot answer (before Redis 7)
local commands = ARGV[1]
if not redis.acl_check_cmd then
  return nil
end
local refused = {}
for i, command in ipairs(cjson.decode(commands)) do
  if not redis.acl_check_cmd(unpack(command)) then
    refused[#refused + 1] = i
  end
end
return refused
