"""The token as the caller sees it: the hot path, and who waits for what. Begin at this package's own docstring."""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Iterable
from typing import TYPE_CHECKING, Final, NoReturn, Self
from weakref import finalize

from .._rules.decisions import USABLE
from .._rules.errcodes import RETRYABLE
from .._rules.models import NOTHING, Account, RefreshResult, Snapshot
from .._rules.policies import LONGEST_FETCH, Timing, state
from .._runtime import fork, masking
from .._runtime.checks import checked_runtime, has_members_of, kind, seconds
from .._runtime.drive import adrive, drive
from .._runtime.runtime import Runtime
from .._runtime.threads import NO_THREAD, run_in_thread, threads_freeze, warn_of_blocked_loop
from ..exceptions import ConfigurationError, ProviderClosed, TokenUnavailable
from ..sources import TokenSource, default_source
from ..stores import TokenStore
from ..stores.memory import process_store
from .events import Observer, checked_observers
from .flight import START_GRACE, Flight
from .measures import Measure, Waiting
from .registry import registry
from .token import CachedToken, Plan, Status

_IN_ITS_WAY = (
    "This thread cannot wait for a token here: it runs the refresh itself, or was interrupted by a signal handler or a "
    "finaliser in what the refresh needs. Ask again when that is over."
)
if TYPE_CHECKING:
    from ..layouts import Layout
    from .mirrors import Mirror, MirrorStatus
    from .warmer import Warmer

_LONGEST_WAIT = 1e6  # seconds; more than threads can wait is an error to them
_ROUNDS = 4  # a flight may end without a token for this caller: it was only a look, or the token was rejected since
_MOMENT = 0.25  # seconds that a request waits for a refresh after one that failed


class TokenProvider(fork.Closing):
    """
    Gives a token that WeChat will accept, to threads and to tasks of any event loop, and fetches as rarely as it can.

    Providers of the same account in one process share their cache and their fetches, so make as many as you like.

    Args:
        account: Whose token.
        source: The endpoint to ask: `StableToken` (the default, also where other services use the classic endpoint),
            `ClassicToken`, or one of the others in `wxmiddleware.sources`. For a `WeComAccount` it is `WeComToken`.
            Who owns no secret takes a token from elsewhere: `FileToken`, `RemoteToken`, `CallableToken`.
        store: Where the token is shared with other processes. By default it is kept in this process alone.
        cache: Whether this process keeps the token. ``cache=False`` without a store fetches for every call.
        follow: Never fetch: another service does, and writes the store.
        refresh_after: Renew a token so many seconds after this process took it, even if its end is far. By default what
            the source says, if anything.
        timeout: Seconds that a caller waits for a token at most, unless it says otherwise.
        observers: Functions that are told each `TokenEvent`, outside all locks.
        mirrors: Where else to write each new token, for programs that look there: layouts of `wxmiddleware.layouts`.
            They are written in the background, after the store.
        runtime: The clocks, the sleep and the randomness, in place of the process's own. For tests.

    Raises:
        ConfigurationError: An argument is wrong, or two contradict each other.
    """

    __slots__ = ("__weakref__", "_cached", "_mirrors", "_observers", "_own", "_store", "_ticks", "_timeout", "account")

    def __init__(
        self,
        account: Account,
        *,
        source: TokenSource | None = None,
        store: TokenStore | None = None,
        cache: bool = True,
        follow: bool = False,
        refresh_after: float | None = None,
        timeout: float = 10.0,
        observers: Iterable[Observer] = (),
        mirrors: Iterable[Layout] = (),
        runtime: Runtime | None = None,
    ) -> None:
        if not isinstance(account, Account):
            raise ConfigurationError(f"account must be an Account(appid, secret), not {kind(account)}.")
        if source is not None and not has_members_of(TokenSource, source):
            raise ConfigurationError(f"source must be a token source such as ClassicToken(), not {kind(source)}.")
        if store is not None and not has_members_of(TokenStore, store):
            url = " For a URL there is store_from_url(url)." if isinstance(store, str) else ""
            raise ConfigurationError(f"store must be a token store such as MemoryStore(), not {kind(store)}.{url}")
        if follow and store is None:
            raise ConfigurationError("follow=True never fetches, so give it the store= that another service writes.")
        if not follow and not account.secret and getattr(source, "needs_secret", True):
            raise ConfigurationError(
                "The account has no secret, so no token can be fetched for it. Give Account(appid, secret); or "
                "follow=True, to use what another service puts into the store; or a source that needs none, such as "
                "FileToken(path)."
            )
        timeout = seconds("timeout", timeout)
        observers = checked_observers(observers)
        runtime = checked_runtime(runtime)
        masking.install()
        source = source or default_source(account)
        if store is not None and store.shared and not follow and source.timeout > LONGEST_FETCH:
            raise ConfigurationError(
                f"The source's timeout is {source.timeout:.0f} s. Make it {LONGEST_FETCH:.0f} s or less: for so long "
                "processes that share a store wait for the one that fetches. Callers wait for 10 s at most anyway."
            )
        check = getattr(source, "check", None)
        if check is not None:
            check(account)
        plan = Plan(
            _timing(source, refresh_after),
            follow=bool(follow),
            cache=bool(cache),
            reuse=bool(cache) or store is not None,
        )
        self.account: Final = account
        self._store = store
        own = store is None
        store = process_store(runtime.clock) if store is None else store
        self._own = registry.token(
            account,
            source,
            store,
            plan,
            runtime,
            remember=own,
        )
        self._cached: CachedToken | _Closed = self._own
        self._ticks = self._own.ticks
        self._timeout = _patience(timeout)
        self._observers = observers
        self._mirrors: tuple[Mirror, ...] = ()
        if mirrors != ():
            self._mirror(mirrors)
        if observers or self._mirrors:
            self._own.listen(self)

    def get_token(self, rejected: str | None = None, *, timeout: float | None = None) -> str:
        """
        Get a token that WeChat will accept.

        If it has to wait for one, and this thread runs an event loop, it says so with a `RuntimeWarning`: the loop is
        blocked meanwhile, and `aget_token` is for that.

        Args:
            rejected: The token that WeChat has just rejected in an API call (40001, 40014, 42001). If it is still the
                newest that any process knows, it is replaced; if not, nothing is fetched, though the store may be read.
                If no other can be fetched, this raises why; other callers keep the token.
            timeout: Seconds to wait at most, if there is need to wait. 0 does not wait.

        Raises:
            TokenRefused: WeChat gives this account no token until a person acts; the message says how.
            TokenUnavailable: No token can be had at the moment; ``retry_after`` says when to try again.
            ProviderClosed: After `close`.
        """
        if rejected is None:
            snapshot = self._cached.snapshot
            if self._ticks() < snapshot.hot_ticks:
                return snapshot.value
        asking, rejected = self._asking(rejected, timeout), None  # error trackers show what a local variable holds
        return drive(asking, _wait)

    async def aget_token(self, rejected: str | None = None, *, timeout: float | None = None) -> str:
        """
        Get a token that WeChat will accept: `get_token` for tasks of asyncio and trio.

        The event loop goes on while a task waits. Cancelling the task ends its wait and nothing else. Where no thread
        can be started at the moment to fetch a token, that is a `TokenUnavailable`; a token that is still good is
        given. Where threads can never be started (WebAssembly, an isolated subinterpreter), the task fetches the token
        itself, and the loop is blocked meanwhile.
        """
        if rejected is None:
            snapshot = self._cached.snapshot
            if self._ticks() < snapshot.hot_ticks:
                return snapshot.value
        asking, rejected = self._asking(rejected, timeout), None  # error trackers show what a local variable holds
        return await adrive(asking, lambda step: step[0].wait_async(step[1]))

    def _asking(
        self, token: str | None, timeout: float | None
    ) -> Generator[tuple[Flight[RefreshResult], float], RefreshResult | None, str]:
        """
        What `get_token` and `aget_token` share: yields what to wait for and how long, is sent what came of it.

        The rejected token is called ``token`` here, a name whose value error trackers hide.
        """
        cached = self._live()
        if token is not None and not isinstance(token, str):
            raise TypeError(f"rejected must be the rejected token, a str, not {kind(token)}")
        patience = self._timeout if timeout is None else _patience(timeout)
        if token is not None:
            cached.measure(Measure.REJECTION)
        with Waiting(cached.measure) as waiting:
            return (yield from self._given(cached, token, patience, waiting))

    def _given(
        self, cached: CachedToken, token: str | None, patience: float, waiting: Waiting
    ) -> Generator[tuple[Flight[RefreshResult], float], RefreshResult | None, str]:
        end = time.monotonic() + patience
        supersede, rounds, late = False, 0, f"No token came within {patience:.3g} s; the refresh goes on."
        while rounds < _ROUNDS:
            answer: RefreshResult | Flight[RefreshResult] | None = cached.decide(token, supersede=supersede)
            if isinstance(answer, Flight):
                left = max(0.0, end - time.monotonic())
                left, late = (0.0, _IN_ITS_WAY) if answer.in_its_way else (left, late)
                if left > 0.0:
                    waiting.for_flight(answer)
                # A flight that should have ended long ago may only have been frozen: it runs while a caller waits.
                grace = max(0.0, answer.due - cached.runtime.clock()) + START_GRACE
                flight, outcome = answer, (yield answer, min(left, grace))
                if outcome is None and flight.no_thread:
                    cached.on_no_thread(flight, given_up=True)
                    late = NO_THREAD
                elif outcome is None and left > grace:
                    supersede = True
                    continue
                answer = outcome
            rounds += 1
            if not isinstance(answer, Snapshot):
                kept = cached.snapshot
                if cached.plan.cache and kept.value != token and state(kept, cached.runtime.clock()) in USABLE:
                    return kept.value  # whatever the refresh was for, there is a token that no API has rejected
                if answer is not None:
                    raise answer.error()
                raise TokenUnavailable(late, retry_after=1.0)
            if answer.value != token and not answer.rejected and cached.runtime.clock() < answer.expires_at:
                return answer.value
        raise TokenUnavailable(
            "The token was rejected again and again while a new one was waited for.", retry_after=1.0
        )

    def peek(self) -> str | None:
        """
        Get the token if it is at hand; else ``None``, at once.

        If there is none, or it is near its end, a refresh starts in the background.

        Raises:
            ProviderClosed: After `close`.
        """
        snapshot = self._cached.snapshot
        if self._ticks() < snapshot.hot_ticks:
            return snapshot.value
        answer = self._live().decide()
        return answer.value if isinstance(answer, Snapshot) else None

    def worth_waiting(self, seconds: float) -> float:
        """
        Tell how many of these seconds a request should wait for the token that `peek` did not have.

        All requests together wait for one refresh as long as one would: while WeChat hangs, the later ones do not wait
        again. A refresh that follows a failure is waited for only for a moment.

        Raises:
            ProviderClosed: After `close`.
        """
        cached = self._live()
        flight, cooldown = cached.flight, cached.cooldown
        now = cached.runtime.clock()
        # One that should have ended is superseded only once somebody waits; frozen threads run while one waits.
        if flight is None or flight.done or now >= flight.due or threads_freeze():
            return seconds
        if cooldown is not None and now >= cooldown.until:
            seconds = min(seconds, _MOMENT)
        return max(0.0, seconds - (time.monotonic() - flight.since))

    def confirm(self, token: str) -> None:
        """
        Tell that WeChat accepted `token` in a call that it had rejected with an earlier one.

        `with_token` and the auth classes do so. It tells a token that another system replaced from an API that accepts
        none.
        """
        self._live().cured(token)

    def give_up(self, errcode: int | None = None) -> None:
        """
        Tell that a call whose token was rejected could not be healed: not repeated, or not accepted either.

        `with_token` and the auth classes do so. Observers are told `EventType.NOT_HEALED`, and nothing else happens.

        Args:
            errcode: What WeChat answered at last, if it did.
        """
        self._live().gave_up(errcode)

    def with_source(self, source: TokenSource) -> TokenProvider:
        """
        Make a provider of another kind of token of this account, such as `JsapiTicket`.

        It has this provider's store, runtime, observers and timeout, and is closed by itself.

        Raises:
            ConfigurationError: `source` is none, or not for this kind of account.
            ProviderClosed: After `close`.
        """
        cached = self._live()
        plan = cached.plan
        return TokenProvider(
            self.account,
            source=source,
            store=self._store,
            cache=plan.cache,
            follow=plan.follow,
            timeout=self._timeout,
            observers=self._observers,
            runtime=cached.runtime,
        )

    def keep(self) -> Warmer:
        """
        Keep the token young also when nobody asks for it (cache warming), until what this gives is closed.

        A thread asks for the token all the while this process lives, so that a neighbour that can only read the store
        never meets a dead one. Where a `RemoteToken` asks a hub of this package, the thread waits there for the next
        token (long poll). Several processes may do so: one fetches. Write ``with provider.keep():`` around the
        life of an app, in a lifespan for example; in gunicorn call it in ``post_fork``, as a forked child has no such
        thread. For a process of its own there is the command ``wxmiddleware keep``.

        Raises:
            ConfigurationError: With ``cache=False`` and no store nothing is kept; or the server lets no threads run.
            TokenUnavailable: No thread can be started.
            ProviderClosed: After `close`.
        """
        if not self._live().plan.reuse:
            raise ConfigurationError("keep() has nothing to keep with cache=False and no store.")
        from .warmer import Warmer  # few need it

        return Warmer(self, self._own.await_another)

    @property
    def runtime(self) -> Runtime:
        """The clocks, the sleep and the randomness that it goes by."""
        return self._own.runtime

    @property
    def kind(self) -> str:
        """The kind of token, such as ``stable`` or ``component``."""
        return self._own.source.kind

    @property
    def retryable_errcodes(self) -> frozenset[int]:
        """The errcodes of API calls that a newer token cures."""
        found: frozenset[int] | None = getattr(self._own.source, "retryable_errcodes", None)
        if found is None:
            found = getattr(default_source(self.account), "retryable_errcodes", RETRYABLE)
        return found

    def retry_now(self) -> None:
        """
        Say that the reason for a refusal has been mended: an IP was allowed, a secret set right, the quota reset.

        After such an error no request is sent for up to ten minutes (back-off, negative caching), and the store tells
        that to all processes, also to new ones. This ends the back-off, here and in the store. It fetches nothing: the
        next caller does.

        Raises:
            StoreError: The store failed; in this process the back-off is over all the same.
            ProviderClosed: After `close`.
        """
        self._live().resume()

    async def aretry_now(self) -> None:
        """Say that what WeChat refused has been mended: `retry_now` for tasks of asyncio and trio."""
        await run_in_thread(self.retry_now)

    def wrong_until(self) -> float:
        """
        Tell until when WeChat is not asked again as it calls the secret wrong; minus infinity if it does not.

        `ProviderPool` asks this, to make the provider anew. Seconds on the provider's clock.
        """
        return self._own.wrong_until()

    def drain(self) -> None:
        """
        Let a refresh that is under way come to its end, in a worker whose background threads freeze between requests.

        Elsewhere it does nothing. The middleware calls it when the body is out.
        """
        cached = self._live()
        fork.check()
        flight = cached.flight
        if flight is not None and threads_freeze():
            flight.wait(self._timeout)

    def status(self) -> Status:
        """
        Tell the token's status, from this process's memory: no I/O.

        Raises:
            ProviderClosed: After `close`.
        """
        return self._live().status()

    def mirrors(self) -> list[MirrorStatus]:
        """Tell of each mirror whether the token could be written there, from memory; none after `close`."""
        return [mirror.status() for mirror in self._mirrors]

    @property
    def observers(self) -> tuple[Observer, ...]:
        """Who is told; nobody after `close`."""
        return (*self._mirrors, *self._observers)

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return isinstance(self._cached, _Closed)

    def close(self) -> None:
        """
        Give nobody a token any more. A flight under way ends by itself; other providers of the account go on.

        Closing twice does nothing.
        """
        if not self.closed:
            self._cached = _CLOSED
            self._observers = ()
            for mirror in self._mirrors:
                mirror.close()
            self._mirrors = ()

    async def aclose(self) -> None:
        """Do what `close` does. It waits for nothing."""
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<TokenProvider {self.account.appid} {self._own.source.kind}{' closed' if self.closed else ''}>"

    def _mirror(self, layouts: Iterable[Layout]) -> None:
        from .mirrors import Mirror, checked_mirrors  # few need it

        plan = self._own.plan
        layouts = checked_mirrors(layouts, self._own.source, follow=plan.follow, reuse=plan.reuse)
        self._mirrors = tuple(Mirror(layout, self._own) for layout in layouts)
        for mirror in self._mirrors:
            finalize(self, mirror.drop).atexit = False  # at the end a short program's first write is waited for
        if self._own.latest().value:  # the process has one already
            for mirror in self._mirrors:
                mirror.wake()

    def _live(self) -> CachedToken:
        cached = self._cached
        return cached if isinstance(cached, CachedToken) else cached.refuse()


class _Closed:
    """Stands where the token was: the hot path needs no question of its own."""

    snapshot = NOTHING

    def refuse(self) -> NoReturn:
        raise ProviderClosed("This provider was closed. Make a new one, or close it later.")


_CLOSED = _Closed()


def _timing(source: TokenSource, refresh_after: float | None) -> Timing:
    if refresh_after is None:
        refresh_after = getattr(source, "refresh_after", None)
    return Timing(source.refresh_ahead, None if refresh_after is None else seconds("refresh_after", refresh_after))


def _wait(step: tuple[Flight[RefreshResult], float]) -> RefreshResult | None:
    flight, patience = step
    if patience > 0.0 and not flight.done:
        warn_of_blocked_loop()
    return flight.wait(patience)


def _patience(timeout: float) -> float:
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or math.isnan(timeout):
        raise ConfigurationError("timeout must be a number of seconds; 0 does not wait.")
    return min(max(0.0, float(timeout)), _LONGEST_WAIT)
