"""WeChat's side of a webhook: it verifies a URL, pushes messages, repeats them, and judges the answers."""

from __future__ import annotations

import itertools
import json
import secrets
import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Self, get_args
from urllib.parse import urlencode, urlsplit

from wxmiddleware.exceptions import ConfigurationError

from . import _xml
from ._checks import Format, Judge, Mode, Problem, Profile, Verdict
from ._seal import Seal, signature
from ._settings import Knob, flag, seconds, whole
from ._transports import PushAnswer, PushRequest, Transport, transport_to

if TYPE_CHECKING:
    from ._wechat import WeChat

__all__ = ["Attempt", "Delivery", "Pusher"]

BUSY = "该公众号暂时无法提供服务，请稍后再试"  # WeChat's own comma
"""What WeChat shows a user whose message was not answered as it should be."""

DEFAULT_OPENID = "oSimulatedFollower0000000000"
DEFAULT_URL = "http://service.test/wechat"
_KEPT = 1000
_LOOK = 0.005  # real seconds between two looks at a clock that may be moved from elsewhere
_TEXT = {"xml": "text/xml", "json": "application/json"}
_OF_WECOM = ("wecom", "suite")
# Notices of an authorisation, which WeCom has answered within a second.
_HURRIED = ("create_auth", "change_auth", "cancel_auth", "reset_permanent_code")
_UNTOLD = {"late", "lost", "status"}  # nothing that can be read came back


@dataclass(frozen=True, slots=True)
class Attempt:
    """
    One request and what came back.

    Attributes:
        at: Simulated Unix seconds at which it was sent.
        seconds: Simulated seconds until the answer, or until WeChat stopped waiting.
        request: What was sent.
        answer: What came back; ``None`` if nothing came in time.
        problems: What WeChat minds about the answer.
    """

    at: float
    seconds: float
    request: PushRequest
    answer: PushAnswer | None
    problems: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class Delivery:
    """
    What became of a push.

    Attributes:
        kind: ``verify``, the type of the message such as ``text``, the name of the event or of a platform's notice.
        message: The fields that were pushed, decrypted; empty for a verification.
        tries: The requests, first to last; none while pushes are suspended.
        problems: What WeChat minds about the last of them; none if it is content.
        reply: The fields of the reply, decrypted; ``None`` if there is none that can be read.
        encrypted: Whether the reply was encrypted.
    """

    kind: str
    message: Mapping[str, Any] = field(repr=False)
    tries: tuple[Attempt, ...] = field(repr=False)
    problems: tuple[Problem, ...]
    reply: dict[str, Any] | None = None
    encrypted: bool = False

    @property
    def ok(self) -> bool:
        """Whether WeChat is content with the last answer."""
        return not self.problems

    @property
    def codes(self) -> list[str]:
        """The codes of :attr:`problems`."""
        return [problem.code for problem in self.problems]

    @property
    def text(self) -> str | None:
        """The text of a reply that is one, else ``None``."""
        content = (self.reply or {}).get("Content")
        return content if isinstance(content, str) else None

    @property
    def shown(self) -> str | None:
        """What the user sees at once: the text of the reply, WeChat's apology, or ``None`` for neither."""
        if self.ok:
            return self.text
        return BUSY if "MsgId" in self.message and "AgentID" not in self.message else None


@dataclass(slots=True)
class _Sketch:
    """A push before it is sent: what, and with which stamps."""

    kind: str
    message: dict[str, Any]
    plain: bytes = b""
    echostr: str | None = None
    forged: bool = False
    stamps: tuple[str, str, str] | None = None  # timestamp, nonce, ciphertext


class Pusher:
    """
    Pushes to a webhook as WeChat does, and tells what WeChat thinks of the answers.

    An answer that takes longer than ``patience`` by the clock of ``wechat`` is late: the connection is cut and the
    same message is pushed again at once. A clock that stands still is moved by the handler or by the test; with one
    that runs, real time counts. All methods block until there is an answer or WeChat gives up, and may be called
    from any thread.

    Args:
        wechat: Whose clock and AppID to use.
        to: The webhook's URL, or a transport into an app in this process: ``WSGITransport(app)``,
            ``ASGITransport(app)``.
        token: The webhook's token.
        aes_key: The EncodingAESKey, 43 characters. Only plain mode does without.
        mode: ``plain``, ``compatible`` or ``safe``; by default ``safe`` with an ``aes_key`` and ``plain`` without.
            WeCom and platforms know ``safe`` only.
        body: ``xml`` or ``json`` (mini programs), for pushes and replies alike.
        profile: ``mp`` for official accounts and mini programs, ``wecom``, ``component`` for a third-party platform,
            or ``suite`` for a suite of WeCom (their notices by :meth:`notice`, their accounts' messages as usual).
        receiver: What the encryption is addressed to; by default ``wechat.appid``. Give the CorpID for ``wecom``
            (or ""), the component's AppID for ``component``, and for ``suite`` the suite id, which its notices are
            addressed to.
        to_user: ``ToUserName`` of the messages: by default an id like ``gh_97417a04a28d``, or the CorpID. A suite's
            messages are addressed to it, too: the corp's id as the provider knows it.
        provider: The provider's CorpID, which verifications of a suite's URLs are addressed to. For ``suite`` only.
        openid: Who writes, if a call does not say.
        agent_id: WeCom's ``AgentID``.
        url: With a transport: the URL that the app is to see.
        patience: Seconds that WeChat waits. 5; a WeCom verification has 1 (docs/wechat.md#verifying-a-webhook), and so
            has a suite's notice of an authorisation (docs/wechat.md#wecom-providers).
        tries: How often one message is pushed at most. 3; uncertain, it may be 4
            (docs/wechat.md#deadlines-and-repeats).
        retry_signs_anew: Whether a repeat has a new timestamp, nonce, ciphertext and signature. Uncertain; off means
            that the very same request is sent again.
        retry_status: Whether an answer other than 200 is repeated, too. WeCom says so; for official accounts
            uncertain.
        suspend_after: Pushes in a row without a readable answer after which WeChat leaves the URL alone. WeChat says
            "repeated failures" ("MarkFail"); uncertain, 3. 0 never suspends. WeCom never does.
        suspension: Seconds of that. 60.
        backstop: Real seconds after which a try is late whatever the clock shows, so that a test ends.

    The last seven are attributes, too, and can be set at any time.

    Raises:
        ConfigurationError: An argument is of no use, or a package is missing
            (``pip install 'wxmiddleware[webhook]'``).
    """

    patience = Knob(seconds)
    tries = Knob(whole(1))
    retry_signs_anew = Knob(flag)
    retry_status = Knob(flag)
    suspend_after = Knob(whole(0))
    suspension = Knob(seconds)
    backstop = Knob(seconds)

    def __init__(
        self,
        wechat: WeChat,
        to: str | Transport,
        *,
        token: str,
        aes_key: str | None = None,
        mode: Mode | None = None,
        body: Format = "xml",
        profile: Profile = "mp",
        receiver: str | None = None,
        to_user: str | None = None,
        provider: str | None = None,
        openid: str = DEFAULT_OPENID,
        agent_id: int = 1000002,
        url: str = DEFAULT_URL,
        patience: float = 5.0,
        tries: int = 3,
        retry_signs_anew: bool = False,
        retry_status: bool = True,
        suspend_after: int = 3,
        suspension: float = 60.0,
        backstop: float = 30.0,
    ) -> None:
        mode = mode or ("plain" if aes_key is None else "safe")
        for name, value, known in (("mode", mode, Mode), ("body", body, Format), ("profile", profile, Profile)):
            if value not in get_args(known):
                raise ConfigurationError(f"{name} is one of {', '.join(get_args(known))}; got {value!r}.")
        if not isinstance(token, str) or not token:
            raise ConfigurationError("token is the word that you enter beside the URL on WeChat's site.")
        if mode != "plain" and aes_key is None:
            raise ConfigurationError(f"The {mode} mode needs aes_key, the EncodingAESKey of WeChat's site.")
        if profile != "mp" and mode != "safe":
            raise ConfigurationError(
                "WeCom and third-party platforms always encrypt: give an aes_key and no other mode."
            )
        _xml.need_reader()
        self.wechat = wechat
        self.url = _checked(to if isinstance(to, str) else url)
        self.openid = openid
        self.patience = patience
        self.tries = tries
        self.retry_signs_anew = retry_signs_anew
        self.retry_status = retry_status
        self.suspend_after = suspend_after
        self.suspension = suspension
        self.backstop = backstop
        self._carrier = transport_to(to)
        self._token = token
        receiver = wechat.appid if receiver is None else receiver
        self._profile, self._mode, self._format = profile, mode, body
        self._receiver, self._agent_id = receiver, agent_id
        self._to_user = to_user or (f"gh_{secrets.token_hex(6)}" if profile in ("mp", "component") else receiver)
        self._seal = None if aes_key is None else Seal(aes_key, receiver)
        self._own_seals: dict[bool, Seal] = {}  # a suite's: of what verifies its URL, and of what its corps' users say
        if aes_key is not None and profile == "suite":
            self._own_seals = {True: Seal(aes_key, provider or receiver), False: Seal(aes_key, self._to_user)}
        self._judge = Judge(profile, mode, body, token, self._own_seals.get(False, self._seal))
        self._msgids = itertools.count(secrets.randbits(62) | 1 << 61)  # 64-bit, beyond what a float can hold
        self._lock = threading.Lock()
        self._deliveries: deque[Delivery] = deque(maxlen=_KEPT)
        self._failures = 0
        self._suspended_until: float | None = None

    # What WeChat does

    def verify(self, *, echostr: str | None = None, forged: bool = False) -> Delivery:
        """
        Verify the URL as WeChat does when it is entered on its site. It is tried once.

        Args:
            echostr: What is to come back (from WeCom it is encrypted); by default a new number.
            forged: Sign it wrongly. Then it is a problem if the webhook answers with it.
        """
        echostr = str(secrets.randbits(62) | 1 << 61) if echostr is None else echostr
        return self._deliver(_Sketch("verify", {}, echostr.encode(), echostr, forged))

    def text(self, content: str, /, *, openid: str | None = None, forged: bool = False, **fields: Any) -> Delivery:
        """
        Push a text that a user has written.

        Args:
            content: The text.
            openid: Who wrote it.
            forged: Sign it wrongly. Then it is a problem if the webhook answers it.
            fields: More fields, or other values for WeChat's own such as ``MsgId``.

        Raises:
            ConfigurationError: XML cannot hold the text.
        """
        return self.message("text", openid=openid, forged=forged, Content=content, **fields)

    def message(self, kind: str, /, *, openid: str | None = None, forged: bool = False, **fields: Any) -> Delivery:
        """Push a message of another type: ``pusher.message("image", PicUrl=..., MediaId=...)``. As :meth:`text`."""
        message = {**self._head(openid), "MsgType": kind, **fields}
        message.setdefault("MsgId", next(self._msgids))
        return self.push(message, forged=forged)

    def event(self, event: str, /, *, openid: str | None = None, forged: bool = False, **fields: Any) -> Delivery:
        """Push an event: ``pusher.event("SCAN", EventKey="42", Ticket=...)``. It has no MsgId. As :meth:`text`."""
        return self.push({**self._head(openid), "MsgType": "event", "Event": event, **fields}, forged=forged)

    def notice(self, info_type: str = "component_verify_ticket", /, *, forged: bool = False, **fields: Any) -> Delivery:
        """
        Push a notice to a third-party platform or to a suite, by default a new ticket.

        Args:
            info_type: ``InfoType``.
            forged: Sign it wrongly. Then it is a problem if the webhook answers it.
            fields: The other fields, such as ``AuthorizerAppid``.

        Raises:
            ConfigurationError: The profile is neither ``component`` nor ``suite``.
        """
        if self._profile == "suite":
            return self._suite_notice(info_type, forged, fields)
        if self._profile != "component":
            raise ConfigurationError(
                'Notices go to platforms, and to suites of WeCom: Pusher(profile="component") or "suite", '
                "push --component or --suite."
            )
        notice = {"AppId": self._receiver, "CreateTime": self._now(), "InfoType": info_type, **fields}
        if info_type == "component_verify_ticket":
            notice.setdefault("ComponentVerifyTicket", f"ticket@@@{secrets.token_urlsafe(48)}")
        return self.push(notice, forged=forged)

    def _suite_notice(self, info_type: str, forged: bool, fields: Mapping[str, Any]) -> Delivery:
        info_type = "suite_ticket" if info_type == "component_verify_ticket" else info_type
        notice = {"SuiteId": self._receiver, "InfoType": info_type, "TimeStamp": self._now(), **fields}
        if info_type == "suite_ticket":
            notice.setdefault("SuiteTicket", f"tk-{secrets.token_urlsafe(48)}")
        if info_type in ("create_auth", "reset_permanent_code"):
            notice.setdefault("AuthCode", f"AC-{secrets.token_urlsafe(60)}")
        return self.push(notice, forged=forged)

    def push(self, message: Mapping[str, Any], *, forged: bool = False) -> Delivery:
        """
        Push these fields and no others.

        Raises:
            ConfigurationError: XML cannot hold them.
        """
        fields = dict(message)
        kind = str(fields.get("Event") or fields.get("MsgType") or fields.get("InfoType") or "message")
        return self._deliver(_Sketch(kind, fields, self._written(fields), forged=forged))

    def repeat(self, delivery: Delivery) -> Delivery:
        """Push the message of a delivery once more, with the same MsgId, as if WeChat had not had the answer."""
        return self.push(delivery.message)

    @property
    def deliveries(self) -> list[Delivery]:
        """The last pushes, oldest first."""
        with self._lock:
            return list(self._deliveries)

    def close(self) -> None:
        """Close the transport. A handler that still works on a push that WeChat has given up goes on."""
        close = getattr(self._carrier, "close", None)
        if close is not None:
            close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Pusher to {self.url.partition('?')[0]}: {self._profile}, {self._mode}, {self._format}>"

    # Writing

    def _now(self) -> int:
        return int(self.wechat.clock())

    def _head(self, openid: str | None) -> dict[str, Any]:
        head = {"ToUserName": self._to_user, "FromUserName": openid or self.openid, "CreateTime": self._now()}
        return {**head, "AgentID": self._agent_id} if self._profile in _OF_WECOM else head

    def _written(self, fields: Mapping[str, Any]) -> bytes:
        if self._format == "xml":
            return _xml.write(fields)
        try:
            return json.dumps(fields, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
        except (TypeError, ValueError):
            raise ConfigurationError("A field holds something that JSON cannot.") from None

    def _request(self, sketch: _Sketch) -> PushRequest:
        if sketch.stamps is None or self.retry_signs_anew:
            seal = self._seal if "InfoType" in sketch.message else self._own_seals.get(sketch.echostr is not None)
            seal = seal or self._seal
            sealed = "" if seal is None else seal.encrypt(sketch.plain)
            sketch.stamps = (str(self._now()), str(secrets.randbelow(9 * 10**8) + 10**8), sealed)
        timestamp, nonce, sealed = sketch.stamps
        sign = partial(signature, f"{self._token}, forged" if sketch.forged else self._token, timestamp, nonce)
        query = {"timestamp": timestamp, "nonce": nonce}
        if self._profile in _OF_WECOM:
            query["msg_signature"] = sign(sealed)
            if sketch.echostr is not None:
                return PushRequest("GET", self._with({**query, "echostr": sealed}))
        else:
            query["signature"] = sign()
            if sketch.echostr is not None:
                return PushRequest("GET", self._with({**query, "echostr": sketch.echostr}))
            if "FromUserName" in sketch.message:
                query["openid"] = str(sketch.message["FromUserName"])
            if self._mode != "plain":
                query.update(encrypt_type="aes", msg_signature=sign(sealed))
        body = sketch.plain if self._mode == "plain" else self._written(self._envelope(sketch.message, sealed))
        return PushRequest("POST", self._with(query), body, _TEXT[self._format])

    def _envelope(self, message: Mapping[str, Any], sealed: str) -> dict[str, Any]:
        if self._mode == "compatible":
            return {**message, "Encrypt": sealed}
        if self._profile == "suite" and "InfoType" in message:
            return {"ToUserName": self._receiver, "Encrypt": sealed, "AgentID": ""}
        if self._profile == "wecom" and self._format == "json":
            return {"tousername": self._to_user, "encrypt": sealed, "agentid": str(self._agent_id)}
        name = "AppId" if "InfoType" in message else "ToUserName"
        envelope = {name: message.get(name, self._to_user), "Encrypt": sealed}
        return {**envelope, "AgentID": str(self._agent_id)} if self._profile in _OF_WECOM else envelope

    def _with(self, query: Mapping[str, str]) -> str:
        return f"{self.url}{'&' if urlsplit(self.url).query else '?'}{urlencode(query)}"

    # Sending

    def _deliver(self, sketch: _Sketch) -> Delivery:
        if self._suspended() and sketch.echostr is None and not sketch.forged:
            text = f"Pushes are suspended for {self.suspension:g} s after failures in a row; nothing was sent."
            return self._kept(Delivery(sketch.kind, sketch.message, (), (Problem("suspended", text),)))
        done: list[Attempt] = []
        verdict = Verdict(())
        once = sketch.echostr is not None or sketch.forged
        for _ in range(1 if once else self.tries):
            attempt, verdict = self._try(sketch)
            done.append(attempt)
            if not self._is_repeated(verdict):
                break
        if not once:
            self._count(verdict)
        if sketch.echostr is not None and not sketch.forged and not verdict.problems:
            self.wechat.accounts[self.wechat.appid].callback_url = self.url
        return self._kept(
            Delivery(sketch.kind, sketch.message, tuple(done), verdict.problems, verdict.reply, verdict.encrypted)
        )

    def _try(self, sketch: _Sketch) -> tuple[Attempt, Verdict]:
        request = self._request(sketch)
        hurried = sketch.echostr is not None or (self._profile == "suite" and sketch.kind in _HURRIED)
        limit = min(self.patience, 1.0) if hurried and self._profile in _OF_WECOM else self.patience
        at = self.wechat.clock()
        answer, took = self._answer(request, at, limit)
        if isinstance(answer, Problem):
            verdict = Verdict((answer,))
            return Attempt(at, took, request, None, verdict.problems), verdict
        if sketch.forged:
            verdict = self._judge.stranger(answer, sketch.echostr)
        elif sketch.echostr is not None:
            verdict = self._judge.echo(answer, sketch.echostr)
        else:
            verdict = self._judge.reply(answer, sketch.message)
        return Attempt(at, took, request, answer, verdict.problems), verdict

    def _answer(self, request: PushRequest, at: float, limit: float) -> tuple[PushAnswer | Problem, float]:
        found: list[tuple[PushAnswer | Problem, float]] = []
        done = threading.Event()

        def carry() -> None:
            answer: PushAnswer | Problem
            try:
                answer = self._carrier(request)
            except Exception as error:  # its text may quote anything
                answer = Problem("lost", f"There was no answer ({type(error).__name__}).{_nobody(error)}")
            found.append((answer, self.wechat.clock() - at))
            done.set()

        threading.Thread(target=carry, name="wechat-push", daemon=True).start()
        end = time.monotonic() + self.backstop
        late = Problem("late", f"There was no answer within {limit:g} s.")
        while not done.wait(_LOOK):
            waited = self.wechat.clock() - at
            if waited > limit or time.monotonic() > end:
                request.cut()
                return late, waited
        answer, took = found[0]
        return (late if took > limit else answer), took

    def _is_repeated(self, verdict: Verdict) -> bool:
        codes = {problem.code for problem in verdict.problems}
        return bool(codes & {"late", "lost"}) or (
            "status" in codes and (self.retry_status or self._profile in _OF_WECOM)
        )

    def _suspended(self) -> bool:
        with self._lock:
            if self._suspended_until is not None and self.wechat.clock() >= self._suspended_until:
                self._suspended_until = None
            return self._suspended_until is not None

    def _count(self, verdict: Verdict) -> None:
        failed = any(problem.code in _UNTOLD for problem in verdict.problems)
        with self._lock:
            self._failures = self._failures + 1 if failed else 0
            if self._profile not in _OF_WECOM and 0 < self.suspend_after <= self._failures:
                self._failures = 0
                self._suspended_until = self.wechat.clock() + self.suspension

    def _kept(self, delivery: Delivery) -> Delivery:
        with self._lock:
            self._deliveries.append(delivery)
        return delivery


def _checked(url: str) -> str:
    parts = urlsplit(url)
    try:
        good = parts.scheme in ("http", "https") and parts.hostname and "@" not in parts.netloc and parts.port != 0
    except ValueError:
        good = False
    if not good or parts.fragment or not url.isascii() or not url.isprintable() or " " in url:
        raise ConfigurationError(
            "A webhook's URL looks like http://127.0.0.1:8000/wechat: http or https, a host, a path."
        )
    return url


def _nobody(error: Exception) -> str:
    refused = isinstance(error, ConnectionRefusedError)
    return " Nothing listens there: is the app running, and is the port right?" if refused else ""
