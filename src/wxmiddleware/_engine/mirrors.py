"""
Writes the token where other programs look, once it is in our own store.

A `Mirror` is told when this process has fetched a token or taken one over, and does the rest in a thread of its own:
nobody waits for it, and what it meets harms no token. Which token is the newest our own store says, before a write and
after it. So a write that hung, or was overtaken by another process's, is followed at once by one with the newest. One
that lands late all the same is known by its token, which was the newest once.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import suppress
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Final, TypeVar

from .._rules.policies import follows
from .._runtime import fork
from .._runtime.checks import has_members_of, kind
from .._runtime.threads import start_thread, threads_freeze
from ..exceptions import ConfigurationError, StoreError
from ..layouts import Kept, Layout, LayoutToken
from ..layouts._layout import same_place
from ..sources import TokenSource
from ..sources._within import begin
from .events import EventType, TokenEvent
from .flight import _endings
from .token import CachedToken

_SHORTEST, _LONGEST = 1.0, 30.0  # seconds between two tries
_HANGS = 5.0  # seconds after which it is told of a call that has not returned
_LOOK = 30.0  # seconds between two looks whether the token is still there
_SLACK = 5.0  # seconds by which ends may differ, as programs round them and set their clocks

_REMEMBERED = 8  # tokens of ours that another program's is told from

_T = TypeVar("_T")


def checked_mirrors(mirrors: Iterable[Layout], source: TokenSource, *, follow: bool, reuse: bool) -> tuple[Layout, ...]:
    """
    The layouts to write.

    Args:
        source: Where the token comes from.
        follow: Whether the provider never fetches.
        reuse: Whether it keeps a token.

    Raises:
        ConfigurationError: One is none, or what the token is read from; or this provider owns no token, or has no
            thread to write it.
    """
    if not isinstance(mirrors, Iterable) or isinstance(mirrors, str | bytes):
        raise ConfigurationError("mirrors must be a list of layouts, as in mirrors=[ArticleTable(engine)].")
    mirrors = tuple(mirrors)
    for mirror in mirrors:
        if not has_members_of(Layout, mirror):
            raise ConfigurationError(f"A mirror is a layout such as ArticleTable(engine), not {kind(mirror)}.")
        if isinstance(source, LayoutToken) and same_place(source.layout, mirror):
            raise ConfigurationError(
                f"{mirror.name} is where this provider reads the token (LayoutToken), so it cannot be a mirror, too: "
                "its owner alone writes there. Leave it out of mirrors=."
            )
    if mirrors and follow:
        raise ConfigurationError("mirrors= are written by who fetches the token, and follow=True never does.")
    if mirrors and not reuse:
        raise ConfigurationError("There is no one token for mirrors= with cache=False and no store.")
    if mirrors and threads_freeze():
        raise ConfigurationError(
            "mirrors= need a thread, and this server (uWSGI) lets none run between requests. Set enable-threads, or "
            "let another process write them, with keep()."
        )
    return mirrors


@dataclass(frozen=True, slots=True)
class MirrorStatus:
    """
    What a mirror is like in this process.

    Attributes:
        name: The program's layout and the key, table or file.
        problem: Why the token is not there, and what to do; ``None`` if nothing is known to be wrong.
    """

    name: str
    problem: str | None


@dataclass(frozen=True, slots=True)
class _Newest:
    """The newest token, and its end in seconds since 1970."""

    value: str = field(repr=False)
    expires_at: float


class _Bell:
    """What `threading.Event` is, but a finaliser may ring it in the very thread that is just looking at it."""

    def __init__(self) -> None:
        self._rings: SimpleQueue[None] = SimpleQueue()

    def set(self) -> None:
        self._rings.put(None)

    def is_set(self) -> bool:
        return not self._rings.empty()

    def clear(self) -> None:
        while self.is_set():
            self.wait(0.0)

    def wait(self, seconds: float) -> None:
        with suppress(Empty):
            self._rings.get(timeout=seconds)


class Mirror(fork.InOneProcess):
    """
    Keeps one layout up to date for as long as the token lives.

    A token that was fetched here is written over whatever is there. Later it is written again if it is gone, or ends
    too soon, or an older one has come over it. Another program's that ends later is left alone: the other program has
    fetched it since, and where a fetch revokes the token before, ours may be dead.

    Args:
        layout: Where to write.
        token: Of what.
    """

    def __init__(self, layout: Layout, token: CachedToken) -> None:
        self._layout: Final = layout
        self._name: Final = str(layout.name)  # once: what a user's property raises is not for the thread
        self._token: Final = token
        self._write_again: Final[float] = getattr(layout, "write_again", math.inf)
        self._closed = False
        self._dropped = False
        fork.begin(self)

    def after_fork(self) -> None:
        """In a child no thread is at work, and nothing has been fetched."""
        self._lock = threading.RLock()
        self._woken = _Bell()
        self._works = False  # whether there is a thread
        self._busy = False  # whether the interpreter's end waits for it a moment
        self._fetched = False  # whether this process has fetched a token that is not written yet
        self._told = ""  # what of it the observers know
        self._written, self._written_at = "", -math.inf  # which token, and when
        self._ours: tuple[str, ...] = ()  # the last tokens that were the newest, as a write may land late

    def __call__(self, event: TokenEvent) -> None:
        """Observe the token: after each refresh there may be something to write."""
        if event.name is EventType.FETCH_DONE or event.name is EventType.ADOPTED:
            self.wake(fetched=event.name is EventType.FETCH_DONE)

    def wake(self, *, fetched: bool = False) -> None:
        """See in the background whether there is something to write."""
        with self._lock:
            self._fetched = self._fetched or fetched
            self._woken.set()
            if not self._works and not self._closed:
                self._hold(busy=True)
                self._works = start_thread(self._run, "wxmiddleware-mirror") is not None
                self._hold(busy=self._works)

    def status(self) -> MirrorStatus:
        """Tell whether the token could be written; from memory."""
        return MirrorStatus(self._name, self._told or None)

    def close(self) -> None:
        """Write no more."""
        self._closed = True
        self._woken.set()

    def drop(self) -> None:
        """Try once more to write what is not written yet, and then no more. For finalisers: it takes no lock."""
        self._dropped = True
        self._woken.set()

    def _hold(self, *, busy: bool) -> None:
        """Have a short program, which ends as soon as it has its token, wait a moment for the first write."""
        with self._lock:
            if busy is not self._busy:
                self._busy = busy
                if busy:
                    _endings.__enter__()
                else:
                    _endings.__exit__()

    def _run(self) -> None:
        failures = 0
        while True:
            self._woken.clear()
            if self._closed:
                break
            fetched = self._fetched  # before the look: what was fetched is in our store by then
            newest = self._newest()
            if newest is None:
                if self._leaves():
                    return
                continue
            try:
                done = self._up_to_date(newest, fetched=fetched)
            except BaseException as exc:  # a layout of the user's; its error may quote anything
                failures += 1
                pause = min(_SHORTEST * 2.0 ** min(failures - 1, 10), _LONGEST)
                self._tell(f"{_failed_with(exc, self._layout)} It is tried again.", pause)
            else:
                failures, pause = 0, _LOOK if done else 0.0
            if self._dropped and pause and not self._woken.is_set():
                break
            if not self._woken.is_set() and pause:
                self._hold(busy=False)
            self._woken.wait(pause)
        self._hold(busy=False)

    def _leaves(self) -> bool:
        """End the thread, unless something has happened: there is no token to write."""
        with self._lock:
            self._works = self._woken.is_set()
            self._hold(busy=self._works)
            return not self._works

    def _newest(self) -> _Newest | None:
        """The newest token that this process or our own store knows; ``None`` if there is none to use."""
        token = self._token
        latest = token.latest()
        value, generation, end, rejected = latest.value, latest.generation, latest.expires_at, latest.rejected
        try:
            record = token.link.read()
        except StoreError:
            pass  # its own events tell of that; what this process has fetched is new all the same
        else:
            if record.value is not None and follows(record.generation, generation):
                value, end, rejected = record.value, record.expires_at, token.is_revoked(record.value, record.sent_at)
        left = end - token.runtime.clock()
        usable = value and left > 0 and not rejected
        if usable and value not in self._ours:
            self._ours = (*self._ours, value)[-_REMEMBERED:]
        return _Newest(value, token.runtime.time() + left) if usable else None

    def _up_to_date(self, newest: _Newest, *, fetched: bool) -> bool:
        """
        Write the token if there is need to.

        Args:
            fetched: Whether one was fetched here that is not written yet.

        Returns:
            ``False`` if it has to be looked at once more, at once.
        """
        fetched = fetched and newest.value != self._written
        kept = None if fetched else self._call(self._layout.read)
        if not fetched and not self._lacks(kept, newest):
            foreign = kept is not None and kept.value != newest.value
            self._tell(_FOREIGN if foreign else "")
            return True
        self._fetched, begun = False, self._token.runtime.clock()
        try:
            self._call(lambda: self._layout.write(newest.value, newest.expires_at))
        except BaseException:
            self._fetched = self._fetched or fetched
            raise
        self._written, self._written_at = newest.value, begun
        self._tell("")
        now = self._newest()
        # What was written over may have been newer; and what is newer now was fetched by somebody of ours.
        overtaken = now is not None and now.value != newest.value
        self._fetched = self._fetched or overtaken
        return not self._fetched

    def _lacks(self, kept: Kept | None, newest: _Newest) -> bool:
        """Whether what is there has to be written over."""
        if kept is None:
            return True
        if kept.value == newest.value:
            again = self._written_at + self._write_again <= self._token.runtime.clock()
            return again or (kept.expires_at is not None and kept.expires_at < newest.expires_at - _SLACK)
        if kept.value in self._ours:
            return True  # one of us has fetched since, or a write that hung has landed late
        if kept.expires_at is None:
            return self._written_at == -math.inf  # who dies after a fetch leaves the old one behind
        return kept.expires_at < newest.expires_at - _SLACK

    def _call(self, work: Callable[[], _T]) -> _T:
        """Call the layout, and tell of it if that hangs; there is no other call before it has returned."""
        future: Future[_T] = Future()
        begin(future, work)
        while not self._closed:
            try:
                return future.result(_HANGS)
            except FutureTimeout:
                if future.done():
                    raise
                self._tell(f"It has not answered for {_HANGS:g} s, and is waited for. {_WHEN_IT_HANGS}")
                if self._dropped:
                    break
        raise StoreError("The provider is no more.")

    def _tell(self, problem: str, pause: float | None = None) -> None:
        """Tell the observers, once, that the token cannot be written, or that it can be again."""
        before, self._told = self._told, problem
        if self._closed or bool(before) == bool(problem):
            return
        name = EventType.MIRROR_FAILED if problem else EventType.MIRROR_BACK
        where = self._name
        message = f"{where}: {problem or 'The token is there.'}"
        self._token.notify([self._token.event(name, message, mirror=where, seconds=pause)])


_FOREIGN = (
    "Another program has written a token of its own, which is left there until one is fetched here. Only one of the "
    "two should fetch: have that program only read, or follow it (LayoutToken)."
)
# Where a layout needs something else than a store does.
_CURES: Final = (
    (
        r"NOPERM|NoPermissionError",
        "Allow its user GET, SET and PTTL on that key: ACL SETUSER name +get +set +pttl ~KEY.",
    ),
    (
        r"^code=(1146|42P01)$|no such table",
        "The table is missing there. Make it as the other program has it, or name another with table=.",
    ),
    (r"^code=(1142|1143|42501)$", "This user needs SELECT, INSERT and UPDATE on the table."),
)
_WHEN_IT_HANGS = "Look at its server or drive, and give its client a timeout of a second or so."
_NOT_SHOWN = "The error is not shown, as it may quote the token: call the layout's write() on a shell to see it."


def _failed_with(exc: BaseException, layout: Layout) -> str:
    """Say what went wrong, and what to do. A client's own exception may quote the token, so only its kind is said."""
    from ..stores._advice import advise  # not before a mirror fails

    ours = isinstance(exc, StoreError) and type(layout).__module__.partition(".")[0] == "wxmiddleware"
    return (
        f"The token could not be written ({type(exc).__name__}). {exc if ours else advise(exc, _CURES) or _NOT_SHOWN}"
    )
