"""
The life of a token, from the first fetch to the last renewal.

A token is FRESH for most of its life. `TokenProvider.get_token` then reads one reference and one clock, and hands it
out: no lock, no I/O. That clock may stand still while the machine is suspended, so at most once a second a caller takes
a longer way, through the token's lock and by the process's clock (`token.decide`).
Near its end the token is AHEAD: it is handed out as before, and the first caller starts a flight in the background
that fetches the next one (refresh-ahead, stale-while-revalidate).

A caller waits when there is no token (EMPTY), its time is over (EXPIRED), or an API rejected it (REJECTED); where a
fetch ends the previous token, also when the store was not read for a minute; and with ``cache=False``. All callers wait
for the same flight (single flight) and share its success or its failure.

A failure is remembered for a while, and no request is sent meanwhile (back-off), so that a wrong secret does not become
a storm of requests. It is a `Cooldown`, told as BACKING_OFF, and also known as negative caching. It is no state of the
token: a good one stays in use.

Where to read on:

- `provider.py`: what a caller calls, and the hot path;
- `_rules/models.py`: the values that the others pass on: snapshot, record, lease, grant, failure;
- `_rules/decisions.py`: who waits and who is served, as a table of eleven rows;
- `_rules/rejections.py`: why a rejection caused no fetch (rate limit, denylist);
- `_rules/policies.py`: when a token is in which state, and how long no request is sent after a failure (back-off);
- `token.py`: what a process knows about a token: its lock, the snapshot, the flight, the failure that is remembered;
- `refresh.py`: what a flight does: read the store, take the lease, fetch, publish (compare-and-swap); and what becomes
  of the token in use if that fails;
- `link.py`: the way to the store, whose clock it alone knows, and when the store is called again
  (`_rules/breaker.py`: the circuit breaker);
- `flight.py`: how threads and tasks wait for one refresh (single flight);
- `events.py`: who is told what has happened;
- `measures.py`: what is counted and timed, for observers that add up;
- `registry.py`: the one token in this process for an account, a source, a store and options;
- `warmer.py`: who asks when nobody does;
- `mirrors.py`: an observer that writes each new token where other programs look.

Imports point one way: `measures` ← `flight`, `events` ← `link` ← `token` ← `refresh` ← `registry` ← `provider`. The
token is handed what a flight does, and each of them changes only its own attributes. A forked child keeps the snapshot
and forgets locks and flights (`after_fork` of each; `_runtime/fork.py`).
"""
