"""What the outbound APIs keep: messages, files, tickets, codes, daily counts."""

from __future__ import annotations

import hashlib
import secrets
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from ._errors import Json
from ._rules import SimulatedAccount, Tally, TokenRules
from ._settings import Knobs

_KEPT = 10_000
_FILES_KEPT = 1_000
_MEDIA_LIFE = 3 * 86400
_CODE_LIFE = 300
_SAME_MESSAGE = 600

# Calls a day of a new official account (docs/wechat.md#hosts-addresses-and-quotas); getwxacodeunlimit has a limit a
# minute instead.
DAILY: dict[str, int] = {
    "/cgi-bin/menu/create": 1000,
    "/cgi-bin/menu/get": 10_000,
    "/cgi-bin/media/upload": 5000,
    "/cgi-bin/media/uploadimg": 5000,
    "/cgi-bin/media/get": 10_000,
    "/cgi-bin/message/custom/send": 500_000,
    "/cgi-bin/message/template/send": 100_000,
    "/cgi-bin/user/get": 500,
    "/cgi-bin/user/info": 5_000_000,
}
CODES_A_MINUTE = 5000


@dataclass(frozen=True, slots=True)
class Sent:
    """
    A message that was accepted.

    Attributes:
        at: Simulated Unix seconds.
        appid: Who sent it; of a WeCom app the CorpID.
        kind: ``custom`` or ``template``; ``app`` for a message of a WeCom app.
        touser: The receiver's OpenID; at WeCom the user ids that got it, with ``|`` between them.
        body: The whole JSON body; of a text of a WeCom app that was too long, what is left of it.
        msgid: The id that a template message was answered with, else ``None``.
    """

    at: float
    appid: str
    kind: str
    touser: str
    body: Json = field(repr=False)
    msgid: int | None = None

    @property
    def text(self) -> str | None:
        """What a custom or an app's text message says; ``None`` for any other."""
        content = self.body.get("text")
        said = content.get("content") if self.kind != "template" and isinstance(content, dict) else None
        return said if isinstance(said, str) else None


@dataclass(frozen=True, slots=True)
class Upload:
    """
    A file that was accepted.

    Attributes:
        at: Simulated Unix seconds.
        appid: Who sent it.
        type: ``image``, ``voice``, ``video``, ``thumb``, or ``uploadimg`` for a picture inside an article.
        filename: As sent.
        content_type: As sent.
        data: The bytes.
        media_id: What WeChat calls it; a URL for ``uploadimg``.
    """

    at: float
    appid: str
    type: str
    filename: str
    content_type: str
    data: bytes = field(repr=False)
    media_id: str = field(repr=False)


def signed(ticket: str, nonce: str, timestamp: str, url: str) -> str:
    """The signature that WeChat's browser expects of a page: docs/wechat.md#tickets-and-js-sdk-signatures."""
    words = {"url": url.split("#", maxsplit=1)[0], "timestamp": timestamp, "noncestr": nonce, "jsapi_ticket": ticket}
    text = "&".join(f"{name}={words[name]}" for name in sorted(words))
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


class Desk:
    """Keeps it, bounded, behind one lock that is never held while anything else is called but the clock."""

    def __init__(self, knobs: Knobs, clock: Callable[[], float], rules: TokenRules) -> None:
        self._knobs = knobs
        self._clock = clock
        self._rules = rules
        self._lock = threading.Lock()
        self._sent: deque[Sent] = deque(maxlen=_KEPT)
        self._uploads: deque[Upload] = deque(maxlen=_FILES_KEPT)
        self._media: dict[str, Upload] = {}
        self._tickets: dict[tuple[str, str], tuple[str, float]] = {}
        self._codes: dict[str, tuple[str, str, float]] = {}
        self._doubles: dict[tuple[str, str, str], tuple[int, float]] = {}
        self._tallies: dict[tuple[str, str], Tally] = {}
        self._msgid = 200_228_331

    def sent(self) -> list[Sent]:
        with self._lock:
            return list(self._sent)

    def uploads(self) -> list[Upload]:
        with self._lock:
            return list(self._uploads)

    def forget(self) -> None:
        with self._lock:
            self._sent.clear()
            self._uploads.clear()

    def take_message(self, account: SimulatedAccount, kind: str, body: Json, *, touser: str | None = None) -> int:
        """Keep a message, unless its ``client_msg_id`` says that it is the same as ten minutes ago; give its msgid."""
        touser, client_msg_id = str(body["touser"]) if touser is None else touser, body.get("client_msg_id")
        with self._lock:
            now = self._clock()
            key = (account.appid, touser, str(client_msg_id))
            if kind == "template" and client_msg_id:
                seen = self._doubles.get(key)
                if seen is not None and now - seen[1] < _SAME_MESSAGE:
                    return seen[0]
            self._msgid += 1
            if kind == "template" and client_msg_id:
                if len(self._doubles) >= _KEPT:
                    self._doubles.clear()
                self._doubles[key] = (self._msgid, now)
            msgid = self._msgid if kind == "template" else None
            self._sent.append(Sent(now, account.appid, kind, touser, body, msgid))
            return self._msgid

    def take_file(self, account: SimulatedAccount, kind: str, filename: str, content_type: str, data: bytes) -> Upload:
        with self._lock:
            if kind == "uploadimg":
                media_id = f"http://mmbiz.qpic.cn/mmbiz_jpg/{secrets.token_hex(24)}/0"
            else:
                media_id = secrets.token_urlsafe(48)
            upload = Upload(self._clock(), account.appid, kind, filename, content_type, data, media_id)
            self._uploads.append(upload)
            if len(self._media) >= _FILES_KEPT:
                del self._media[next(iter(self._media))]
            self._media[media_id] = upload
            return upload

    def file(self, account: SimulatedAccount, media_id: str) -> Upload | None:
        with self._lock:
            upload = self._media.get(media_id)
            if upload is None or upload.appid != account.appid or self._clock() >= upload.at + _MEDIA_LIFE:
                return None
            return upload

    def ticket(self, account: SimulatedAccount, kind: str) -> tuple[str, int]:
        with self._lock:
            now = self._clock()
            ticket, ends = self._tickets.get((account.appid, kind), ("", 0.0))
            if now >= ends or self._knobs.ticket_rotates:
                ticket, ends = secrets.token_urlsafe(70)[:86], now + self._knobs.lifetime
                self._tickets[account.appid, kind] = ticket, ends
            return ticket, int(ends - now + 1e-6)

    def current_ticket(self, appid: str, kind: str) -> str | None:
        with self._lock:
            ticket, ends = self._tickets.get((appid, kind), (None, 0.0))
            return ticket if self._clock() < ends else None

    def void_tickets(self, appid: str) -> int:
        with self._lock:
            mine = [which for which in self._tickets if which[0] == appid]
            for which in mine:
                del self._tickets[which]
            return len(mine)

    def issue_phone_code(self, appid: str, number: str) -> str:
        with self._lock:
            code = secrets.token_hex(32)
            self._codes[code] = (appid, number, self._clock() + _CODE_LIFE)
            return code

    def use_phone_code(self, account: SimulatedAccount, code: object) -> str | None:
        with self._lock:
            appid, number, ends = self._codes.get(code, ("", "", 0.0)) if isinstance(code, str) else ("", "", 0.0)
            if appid != account.appid:
                return None
            del self._codes[str(code)]
            return number if self._clock() < ends else None

    def within_quota(self, account: SimulatedAccount, path: str) -> bool:
        """Count a call to an API that has a limit and say whether it was still within it."""
        a_minute = path == "/wxa/getwxacodeunlimit"
        limit = CODES_A_MINUTE if a_minute else DAILY.get(path)
        if limit is None:
            return True
        with self._lock:
            now = self._clock()
            period = int(now // 60) if a_minute else self._rules.day(now)
            tally = self._tallies.setdefault((account.appid, path), Tally()).in_period(period)
            if tally.used >= limit:
                return False
            tally.used += 1
            return True

    def used(self, account: SimulatedAccount, path: str) -> int:
        with self._lock:
            tally = self._tallies.get((account.appid, path))
            return 0 if tally is None else tally.in_period(self._rules.day(self._clock())).used

    def clear_quota(self, account: SimulatedAccount) -> bool:
        if not self._rules.clear_quota(account):
            return False
        with self._lock:
            for (appid, _), tally in self._tallies.items():
                if appid == account.appid:
                    tally.used = 0
        return True
