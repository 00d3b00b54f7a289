-- Tells the facts of a scope that have not run out.
-- KEYS[1] facts of the scope, by id: 'expiry value', the expiry in ms of the server's clock
-- reply: {id, value, id, value, …}
--- @include facts
return prune()
