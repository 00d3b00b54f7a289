-- Answers if a lease, as GET returned it, is of this holder.
local function isHeldBy(holder, lease)
  return lease and string.sub(lease, 1, #holder + 1) == holder .. ' '
end
