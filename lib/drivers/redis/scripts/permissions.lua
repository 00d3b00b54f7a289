-- Tells which commands the user who asks may not run. Runs none of them, so that the server logs no refusal.
-- ARGV[1] JSON: the commands, each with its arguments
-- reply: {indices of those that are refused, from 1} | nil the server cannot tell (before Redis 7)
if not redis.acl_check_cmd then
  return nil
end
local refused = {}
for i, command in ipairs(cjson.decode(ARGV[1])) do
  if not redis.acl_check_cmd(unpack(command)) then
    refused[#refused + 1] = i
  end
end
return refused
