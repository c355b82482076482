"""
What a push and its answer pass through, written once: `Webhook` decides, `_threads` and `_tasks` do.

`Webhook.serve` is a generator. It yields steps and is sent what came of them; it reads no socket, starts no thread and
waits for nothing itself.
"""

from __future__ import annotations

import logging
import math
import sys
import threading
import traceback
from collections.abc import Callable, Collection, Generator, Iterable
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias, TypedDict

from wxmiddleware._runtime import checks, fork
from wxmiddleware._runtime.masking import mask
from wxmiddleware._runtime.runtime import Runtime
from wxmiddleware._runtime.threads import NoThread
from wxmiddleware.exceptions import APIError, ConfigurationError
from wxmiddleware.stores import TokenStore

from ._gate import Gate, NotAuthentic, Push, Query
from ._handlers import check_call
from ._limits import TEXT, cut, is_empty, is_long
from ._measured import Handling, Outcome, tell_of_push
from ._names import Names
from ._receivers import AppIds, Unavailable
from ._seen import Answered, Deduplicator, MessageStatus
from ._sending import check_sender
from .addresses import Addresses, Known, Networks, named_sender, sender_of
from .late import send_reply
from .replies import RawReply, Reply, parse_reply, render, reply_from

if TYPE_CHECKING:
    from wxmiddleware._engine.provider import TokenProvider

    from .messages import Message

_logger = logging.getLogger("wxmiddleware")

_TEXT = "text/plain; charset=utf-8"
_POLL_SHARED, _POLL = 0.2, 0.05  # seconds between two looks at whether the first of two repeats is done
_WAITERS = 8  # requests that may wait at once for the first list of WeChat's addresses


@dataclass(frozen=True, slots=True)
class Request:
    """
    A request, before its body is read.

    Attributes:
        method: ``GET``, ``POST``, …
        query: The query string, each octet a character.
        length: What Content-Length says, or ``None``; see `length_of`.
        peer: The address at the other end of the connection, or the empty string.
        forwarded: What ``X-Forwarded-For`` says.
        path: The URL's path, with what the app is mounted at.
        hint: What the log is to say beside the reason if the request is refused.
    """

    method: str
    query: str = field(repr=False)
    length: int | None
    peer: str
    forwarded: str
    path: str = ""
    hint: str = ""


def length_of(text: str) -> int | None:
    """
    Read a Content-Length as RFC 9110 has it: digits, nothing else.

    Returns:
        The length; ``None`` if there is none, and -1 if this is no length. More digits than a length can have are
        the largest one: Python would refuse to make a number of thousands of them.
    """
    text = text.strip(" \t")
    if not text:
        return None
    if not (text.isascii() and text.isdecimal()):
        return -1
    return int(text) if len(text) < 19 else sys.maxsize


@dataclass(frozen=True, slots=True)
class Answer:
    """
    A response.

    Attributes:
        headers: Those beside its type and length.
        reply: What it was made of, if that is known.
        outcome: What has come of the push, where its status does not say it.
    """

    status: int
    body: bytes = field(repr=False)
    content_type: str = _TEXT
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    reply: Reply | None = field(default=None, repr=False)
    outcome: Outcome | None = None


def answer_from(status: int, headers: Iterable[tuple[str, str]], body: bytes) -> Answer:
    """Make an answer of an app's response."""
    content_type = _TEXT
    others = []
    for name, value in headers:
        match name.lower():
            case "content-type":
                content_type = value
            case "content-length":
                pass  # it may be encrypted
            case _:
                others.append((name, value))
    return Answer(status, body, content_type, tuple(others))


@dataclass(frozen=True, slots=True)
class Failed:
    """The handler has raised."""

    error: BaseException = field(repr=False)


HandlerResult: TypeAlias = "Answer | Failed"


class BodyError(Enum):
    """
    Why a request's body could not be read, and the response to that.

    Attributes:
        LARGE: It has more bytes than ``limit=`` allows.
        SLOW: It did not arrive within ``body_timeout=`` seconds.
        GONE: The client closed the connection before its end.
        ODD: Its Content-Length is not a number of bytes.
        BUSY: Too much is being read or looked up at once; WeChat repeats the push.
        TAKEN: The application read it before the webhook could.
    """

    LARGE = Answer(413, b"Too large.\n")
    SLOW = Answer(408, b"Too slow.\n")
    GONE = Answer(400, b"Cut off.\n")
    ODD = Answer(400, b"No length.\n")
    BUSY = Answer(503, b"Busy.\n", headers=(("Retry-After", "5"),))
    TAKEN = Answer(500, b"The body was read before.\n")


_ELSEWHERE = "It comes from an address that is not WeChat's. Check senders= and trusted_hops=."
FORBIDDEN = Answer(403, b"Forbidden.\n")
SUCCESS = Answer(200, b"success")
_LATE = Answer(200, b"success", outcome=Outcome.LATE)
_NOT_ALLOWED = Answer(405, b"Method not allowed.\n", headers=(("Allow", "GET, POST"),))
# Found by identity: an app behind the webhook may give an equal answer, which is no refusal of the webhook's.
_REFUSALS = {
    id(_NOT_ALLOWED): "405, its method is neither GET nor POST.",
    id(BodyError.LARGE.value): "413, its body is too large. limit= says how many bytes it may have.",
    id(BodyError.SLOW.value): "408, its body has not come in time. body_timeout= says how many seconds it may take.",
    id(BodyError.GONE.value): "400, its body was cut off.",
    id(BodyError.ODD.value): "400, its Content-Length is no length.",
}


@dataclass(frozen=True, slots=True)
class Read:
    """Read the body: at most `limit` bytes, in `seconds`. The reply is the bytes, or a `BodyError`."""

    limit: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Do:
    """
    Call a function; await what it returns if that can be awaited.

    Attributes:
        function: Takes no arguments.
        blocks: Whether it is called off the event loop.
        needed: Whether it is called on the loop where there is no thread for it: WeChat will not repeat what is done.
    """

    function: Callable[[], Any] = field(repr=False)  # a partial shows what it is given
    blocks: bool = True
    needed: bool = False


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Handle:
    """
    Have the push handled, and wait `seconds` for that. The reply is the outcome, or ``None`` if it is late.

    Attributes:
        push: What has come.
        attempt: Where the outcome is to be delivered.
        seconds: ``None`` waits for as long as it takes, and needs no thread.
        hurry: Whether the outcome can as well be sent later, so that the request need not wait for it.
    """

    push: Push
    attempt: Attempt
    seconds: float | None
    hurry: bool


Step: TypeAlias = "Read | Do | Pause | Handle"
Flow: TypeAlias = "Generator[Step, Any, Answer]"


class Attempt:
    """
    The handling of one push. Whether its outcome is in time is decided once: by the handler's end or by the deadline.

    Args:
        afterwards: Makes the steps that send an outcome which came too late.
        unfit: Tells whether an outcome, though in time, has to be sent afterwards.
        ended: Called when all is over, also what is done afterwards.
        answered: Called with whether it has failed, when its outcome is there.
    """

    __slots__ = ("_afterwards", "_answered", "_late", "_lock", "_outcome", "_unfit", "ended")

    def __init__(
        self,
        afterwards: Callable[[HandlerResult], Flow],
        unfit: Callable[[HandlerResult], bool],
        ended: Callable[[], None],
        answered: Callable[..., None],
    ) -> None:
        self._afterwards = afterwards
        self._answered = answered
        self._unfit = unfit
        self.ended = ended
        self._late = False
        self._lock = threading.Lock()
        self._outcome: HandlerResult | None = None

    def deliver(self, outcome: HandlerResult) -> None:
        """Bring the outcome. Only the first one counts."""
        self._answered(failed=isinstance(outcome, Failed) or outcome.status != 200)
        with self._lock:
            if self._outcome is None:
                self._outcome = outcome
                self._late = self._late or self._unfit(outcome)
                return
        if isinstance(outcome, Failed):
            _tell_of(outcome.error)

    def give_up(self) -> HandlerResult | None:
        """Get the outcome, if it is there and can be sent now. If not, it will be late."""
        with self._lock:
            self._late = self._late or self._outcome is None
            return None if self._late else self._outcome

    def afterwards(self) -> Flow | None:
        """Give the steps that are left when the handler has ended, or ``None``."""
        with self._lock:
            outcome = self._outcome
            return self._afterwards(outcome) if self._late and outcome is not None else None


class CapacityLimiter:
    """A limit on how many handlers run at once (a bulkhead, a capacity limiter)."""

    __slots__ = ("__weakref__", "_limit", "_lock", "taken")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        fork.begin(self)

    def after_fork(self) -> None:
        """Count anew: the parent's handlers do not run in the child."""
        self._lock = threading.Lock()
        self.taken = 0

    def enter(self) -> bool:
        with self._lock:
            if self.taken >= self._limit:
                return False
            self.taken += 1
            return True

    def leave(self) -> None:
        with self._lock:
            self.taken -= 1


class Options(TypedDict, total=False):
    """The options of `Webhook`, for the middlewares and decorators."""

    aes_key: str | Collection[str] | None
    appid: AppIds
    plain: bool
    window: float | None
    store: TokenStore | None
    deadline: float | None
    late: TokenProvider | Callable[[Message, Reply], object] | None
    concurrency: int
    limit: int
    body_timeout: float
    senders: Addresses | Collection[str] | None
    trusted_hops: int
    runtime: Runtime | None


class Webhook:
    """
    One webhook: who may come in, what is remembered, and what happens to what is late.

    The middlewares and decorators take the same arguments, and say more about them in ``docs/webhooks.md``.

    Args:
        token: The Token that stands beside the URL on WeChat's site; while it is replaced, several.
        aes_key: The EncodingAESKey, or several; the answer is encrypted with the one that the push came with.
        appid: The receiver in the encryption: the AppID; at WeCom the corpid or suite id; a platform's own AppID;
            ``""`` for an AI bot of WeCom's. Where customers come and go: a set or another container, asked at each push
            as it is then, or a function of the id that says whether it is one. It runs in a thread; if it raises, the
            push is answered 503, and WeChat repeats it.
        plain: Let in what is not encrypted, too, although there is a key: while the mode is changed.
        window: Seconds that a push's timestamp may be off. ``None`` does not look.
        store: Where the messages that were handled are remembered (deduplication); a shared store for several
            processes.
        deadline: Seconds from the request's arrival until it is answered ``success`` and its handler goes on behind
            it. A worker that serves one request at a time answers earlier if others wait and there is `late`. ``None``
            waits for the handler, in the request's own thread; and so does a repeat.
        late: How a reply is sent that came after that, or a text that is too long for the response: the provider of
            an account, for the customer-service API, or of a WeCom app; or a function of the message and the reply,
            which may be async where there is an event loop.
        concurrency: How many handlers may be at work at once. What comes beyond that is answered 503, and repeated.
        limit: Bytes that a body may have.
        body_timeout: Seconds that a body may take to arrive.
        senders: Whose addresses pushes may come from: `CallbackAddresses`, or networks such as ``101.226.0.0/16``.
        trusted_hops: How many proxies of your own add to ``X-Forwarded-For``.
        runtime: The clocks, in place of the process's own. For tests.

    Raises:
        ConfigurationError: One of these cannot be right.
        ImportError: A package of the extra ``webhook`` is not installed.
    """

    __slots__ = (
        "_body_timeout",
        "_deadline",
        "_gate",
        "_hops",
        "_known",
        "_late",
        "_limit",
        "_names",
        "_runtime",
        "_seen",
        "_senders",
        "_waiting",
        "room",
    )

    def __init__(
        self,
        *,
        token: str | Collection[str],
        aes_key: str | Collection[str] | None = None,
        appid: AppIds = None,
        plain: bool = False,
        window: float | None = 300.0,
        store: TokenStore | None = None,
        deadline: float | None = 4.5,
        late: TokenProvider | Callable[[Message, Reply], object] | None = None,
        concurrency: int = 64,
        limit: int = 256 * 1024,
        body_timeout: float = 3.0,
        senders: Addresses | Collection[str] | None = None,
        trusted_hops: int = 0,
        runtime: Runtime | None = None,
    ) -> None:
        self._gate = Gate(token=token, aes_key=aes_key, appid=appid, plain=plain, window=window)
        if store is not None and (isinstance(store, type) or not isinstance(store, TokenStore)):
            raise ConfigurationError(f"store must be a token store such as MemoryStore(), not {checks.kind(store)}.")
        self._deadline = None if deadline is None else checks.seconds("deadline", deadline)
        self._late = _sender(late)
        self.room = CapacityLimiter(checks.count("concurrency", concurrency))
        self._limit = checks.count("limit", limit)
        self._body_timeout = checks.seconds("body_timeout", body_timeout)
        self._senders = senders if isinstance(senders, Addresses) else None if senders is None else Networks(senders)
        self._known = self._senders if isinstance(self._senders, Known) else None
        self._waiting = CapacityLimiter(_WAITERS)
        self._hops = checks.count("trusted_hops", trusted_hops, 0)
        self._runtime = checks.checked_runtime(runtime)
        # A push is good for twice the window: it may come early by one, and late by one.
        keep = 2 * (window or 300.0) + 60.0
        self._seen = Deduplicator(store, keep)
        self._names = Names(self._gate.plain_tokens, stored=store is not None)

    @property
    def late_is_async(self) -> bool:
        """Whether late replies need an event loop to be sent."""
        return self._late is not None and checks.is_async(self._late)

    def serve(self, request: Request) -> Flow:
        """Answer a request, and tell what came of it."""
        outcome, status = None, 0
        try:
            answer = yield from self._judged(request)
            outcome, status = answer.outcome, answer.status
        except Exception:
            outcome = Outcome.FAILED
            raise
        finally:
            if outcome is not None or status:
                tell_of_push(outcome, status)
        return answer

    def _judged(self, request: Request) -> Flow:
        try:
            answer = yield from self._serve(request)
            why: object = _REFUSALS.get(id(answer))
        except NotAuthentic as refused:
            answer, why = FORBIDDEN, refused
        except Unavailable:
            answer, why = BodyError.BUSY.value, None
        except NoThread as error:
            _logger.warning("A push is answered 503, and WeChat will repeat it. %s", error)
            answer, why = BodyError.BUSY.value, None
        if why is not None:
            who = named_sender(request.peer, request.forwarded, self._hops)
            _logger.warning("Refused a push to the webhook from %s: %s%s", who, why, request.hint)
        return answer

    def _serve(self, request: Request) -> Flow:
        # The cheap checks come first: a stranger's request waits neither for WeChat's list nor for a thread.
        arrived = self._runtime.clock()
        address = sender_of(request.peer, request.forwarded, self._hops)
        if self._known is not None and self._known.known(address) is False:
            raise NotAuthentic(_ELSEWHERE)
        if request.method in ("GET", "HEAD"):
            verify = partial(self._gate.verify, Query.read(request.query), self._runtime.time())
            echo: str = (yield Do(verify)) if self._gate.blocks else verify()
            admitted = yield from self._admitted(address)
            return Answer(200, echo.encode(), outcome=Outcome.VERIFIED) if admitted else BodyError.BUSY.value
        if request.method != "POST":
            return _NOT_ALLOWED
        query = Query.read(request.query)
        self._gate.check_query(query, self._runtime.time())
        body: bytes | BodyError = yield from self._body(request)
        if isinstance(body, BodyError):
            return body.value
        read = partial(self._gate.open, query, body)
        push: Push = (yield Do(read)) if self._gate.blocks else read()
        admitted = yield from self._admitted(address)
        if not admitted:
            return BodyError.BUSY.value
        answer = yield from self._once(push, request.path, arrived)
        return self._sealed(push, answer)

    def _body(self, request: Request) -> Generator[Step, Any, bytes | BodyError]:
        if request.length is not None and request.length < 0:
            return BodyError.ODD
        if request.length is not None and request.length > self._limit:
            return BodyError.LARGE
        body: bytes | BodyError = yield Read(self._limit, self._body_timeout)
        if body == b"" and request.length:
            body = BodyError.TAKEN
        if body is BodyError.TAKEN:
            _logger.error(
                "A push cannot be served: other code has read its body before the webhook, and kept no copy. Let it "
                "use request.get_data() (Flask) or await request.body() (Starlette), which do."
            )
        return body

    def _admitted(self, address: str) -> Generator[Step, Any, bool]:
        """
        Look at the address of a request whose signature is right; this may take a while.

        Returns:
            Whether it may come in; ``False`` if that is not known now.

        Raises:
            NotAuthentic: It must not.
        """
        if self._senders is None:
            return True
        known = self._known
        if known is None:  # somebody's own
            allowed = yield Do(partial(self._senders.allows, address))
        else:
            known.renew()
            allowed = known.known(address)
            if allowed is None and self._waiting.enter():
                try:
                    while (allowed := known.known(address)) is None and known.coming:
                        yield Pause(_POLL)
                finally:
                    self._waiting.leave()
        if allowed is False:
            raise NotAuthentic(_ELSEWHERE)
        return allowed is True

    def _once(self, push: Push, path: str, arrived: float) -> Flow:
        """Answer a push that is WeChat's; a repeat like the first."""
        secret = None if push.seal is None else push.seal.cipher.secret
        identity = (self._names.of_webhook(push.token, secret, path), *push.message.identity())
        # In the encrypted modes the signature covers the message: a replay is a repeat. In plain mode who has seen one
        # signed URL could send anything to it; also to another spelling of its path.
        nonce = (self._names.of_token(push.token), push.signature) if push.signature else None
        until = math.inf if self._deadline is None else arrived + self._deadline
        while True:
            standing, answered = yield Do(partial(self._seen.claim, identity, nonce), blocks=self._seen.shared)
            if standing is MessageStatus.REPLAYED:
                raise NotAuthentic("Its nonce has come with another message before.")
            if standing is MessageStatus.DONE:
                return Answer(200, answered.body, answered.content_type, outcome=Outcome.REPEATED)
            if standing is MessageStatus.NEW:
                return (yield from self._handled(push, identity, until))
            left = until - self._runtime.clock()
            if left <= 0:
                return replace(SUCCESS, outcome=Outcome.REPEATED)
            yield Pause(min(_POLL_SHARED if self._seen.shared else _POLL, left))

    def _handled(self, push: Push, identity: tuple[str, ...], until: float) -> Flow:
        shared = self._seen.shared
        if not self.room.enter():
            yield Do(partial(self._seen.release, identity), blocks=shared, needed=True)
            _logger.warning("Too many handlers of the webhook are at work; WeChat will repeat a push.")
            return BodyError.BUSY.value
        handling = Handling()

        def ended() -> None:
            self.room.leave()
            handling.ended()

        attempt = Attempt(partial(self._afterwards, push.message, identity), self._is_unfit, ended, handling.answered)
        seconds = None if self._deadline is None else max(0.0, until - self._runtime.clock())
        outcome: HandlerResult | None = yield Handle(push, attempt, seconds, self._late is not None)
        if outcome is None:
            yield Do(partial(self._seen.finish, identity, Answered()), blocks=shared, needed=True)
            return _LATE
        if isinstance(outcome, Failed) or outcome.status != 200:
            yield Do(partial(self._seen.release, identity), blocks=shared, needed=True)
            if isinstance(outcome, Failed):
                raise outcome.error
            return replace(outcome, outcome=Outcome.FAILED)
        outcome = self._fitted(push, outcome)
        yield Do(
            partial(self._seen.finish, identity, Answered(outcome.body, outcome.content_type)),
            blocks=shared,
            needed=True,
        )
        return outcome

    def _afterwards(self, message: Message, identity: tuple[str, ...], outcome: HandlerResult) -> Flow:
        """Send a reply that came too late for the response."""
        yield Do(partial(self._seen.finish, identity, Answered()), blocks=self._seen.shared, needed=True)
        if isinstance(outcome, Failed):
            _tell_of(outcome.error)
            return SUCCESS
        if outcome.status == 200 and outcome.body in (b"", b"success"):
            return SUCCESS
        reply = _reply_of(outcome)
        if reply is not None and is_empty(reply):
            return SUCCESS
        if reply is None:
            _logger.warning("An answer came after the deadline and is lost: it is no reply that could be sent later.")
            return SUCCESS
        if self._late is None:
            _logger.warning("A reply came after the deadline and is lost. Give the webhook late=provider to send it.")
            return SUCCESS
        try:
            yield Do(partial(self._late, message, reply), blocks=not checks.is_async(self._late))
        except (APIError, ConfigurationError) as error:
            _logger.warning("A late reply was not sent: %s", error)
        except Exception as error:
            _tell_of(error)
        return SUCCESS

    def _is_unfit(self, outcome: HandlerResult) -> bool:
        """Whether it is too long for the response, and there is another way."""
        if self._late is None or isinstance(outcome, Failed) or len(outcome.body) <= TEXT:
            return False
        return is_long(_reply_of(outcome))

    def _fitted(self, push: Push, outcome: Answer) -> Answer:
        """Leave out of an answer what WeChat does not take."""
        reply = None if outcome.body in (b"", b"success") else _reply_of(outcome)
        if reply is None:
            return outcome
        if is_empty(reply):
            return SUCCESS
        fitted = cut(reply)
        if fitted is reply:
            return outcome
        body, content_type = render(fitted, push.message, push.style, self._runtime.time())
        return replace(outcome, body=body, content_type=content_type, reply=fitted)

    def answer(self, push: Push, value: object) -> Answer:
        """
        Make the answer of what a handler has returned.

        Raises:
            TypeError: It is none that can be.
        """
        reply = reply_from(value)
        if reply is None:
            return SUCCESS
        return Answer(200, *render(reply, push.message, push.style, self._runtime.time()), reply=reply)

    def _sealed(self, push: Push, answer: Answer) -> Answer:
        sealed = self._gate.seal(push, answer.body, self._runtime.time()) if answer.status == 200 else None
        return answer if sealed is None else replace(answer, body=sealed[0], content_type=str(sealed[1]))


def _sender(late: Any) -> Callable[[Message, Reply], object] | None:
    if late is None:
        return None
    if isinstance(late, type):
        raise ConfigurationError(f"late must be a provider or a function, not the class {late.__name__}.")
    if hasattr(late, "get_token"):
        check_sender("late=", late)
        return partial(_send_with, late)
    if not callable(late):
        raise ConfigurationError(
            f"late must be a TokenProvider or a function of a message and a reply, not {checks.kind(late)}."
        )
    check_call("late=", late, "a message", "a reply")
    return late  # type: ignore[no-any-return]


def _send_with(provider: TokenProvider, message: Message, reply: Reply) -> None:
    send_reply(provider, message.from_user, reply, agent=message.agent_id)


def _reply_of(outcome: Answer) -> Reply | None:
    """What a handler has answered with, or an app that wrote it by itself; ``None`` if it is no reply that is known."""
    if outcome.status != 200:
        return None
    reply = outcome.reply
    return (parse_reply(outcome.body) or reply) if reply is None or isinstance(reply, RawReply) else reply


def _tell_of(error: BaseException) -> None:
    # The text of an HTTP client's error has the URL in it, and so the token.
    text = "".join(traceback.format_exception(error))
    _logger.error("A handler of the webhook failed after its push was answered.\n%s", mask(text))
