-- Reads the facts of a scope that have not expired.
-- KEYS[1] FACTS of the scope, by id: 'expiry value', the expiry in ms of the server's clock
-- reply: {id, value, id, value, …}
local FACTS = KEYS[1]
--- @include facts
return prune()
