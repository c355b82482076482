"""
The life of a token, from the first fetch to the last renewal.

A token is FRESH for most of its life. `TokenProvider.get_token` then reads one reference and one clock, and hands it
out: no lock, no I/O. Near its end it is AHEAD: it is handed out as before, and the first caller starts a flight in the
background that fetches the next one (refresh-ahead, stale-while-revalidate). Only when there is no token (EMPTY), its
time is over (EXPIRED), or an API rejected it (REFUSED) does a caller wait, and then all callers wait for the same
flight (single flight) and share its success or its failure. A failure is remembered for a while (COOLING: back-off,
negative caching), so that a wrong secret does not become a storm of requests.

Where to read on:

- `provider.py`: what a caller calls, and the hot path;
- `_rules/decisions.py`: who waits and who is served, as a table of eleven rows;
- `_rules/refusals.py`: why a rejection caused no fetch (rate limit, denylist);
- `_rules/policies.py`: when a token is in which state, and how long no request is sent after a failure (back-off);
- `token.py`: what a process knows about a token: its lock, the snapshot, the flight, the failure that is remembered;
- `refresh.py`: what a flight does: read the store, take the lease, fetch, publish (compare-and-swap);
- `link.py`: the way to the store, whose clock it alone knows, and when the store is called again
  (`_rules/breaker.py`: the circuit breaker);
- `flight.py`: how threads and tasks wait for one refresh (single flight);
- `registry.py`: the one token of a credential in this process.

Imports point one way: `link` ← `token` ← `refresh` ← `registry` ← `provider`. The token is handed what a flight does,
and each of them changes only its own attributes.
"""
