"""The token that a hub gives: a service of the company's that owns it."""

from __future__ import annotations

import dataclasses
import ipaddress
import re
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import ClassVar
from urllib.parse import urlsplit

from .._rules.advice import Place, causes_at
from .._rules.errcodes import ErrorTable
from .._rules.models import Account, AuthorizerAccount, Cause, Failure, Grant, WeComAccount, check_quotes
from .._runtime import checks
from .._runtime.clock import clock
from ..exceptions import ConfigurationError
from ._elsewhere import LIFE_UNKNOWN, Elsewhere, granted, named
from ._http import Answer, Target, find, read
from .endpoint import Endpoint

__all__ = ["RemoteToken"]

_TAG = re.compile(r'(W/)?"[!#-~]{0,200}"')
_KEY = (Cause.PERMANENT, "Check the key.")
_WHOSE = (Cause.PERMANENT, "Check the AppID in the URL: the hub does not know it, or not for this key.")
_ADVICE = {**causes_at(Place.TOKEN), 40001: _KEY, 40125: _KEY, 40013: _WHOSE}


class _Newest:
    """
    The last answer, so that a hub need not send a token again that is known (ETag).

    Attributes:
        answer: Its ETag, the token, and the end of its life on the process's clock; ``None`` if nobody has said that.
    """

    def __init__(self) -> None:
        self.answer: tuple[str, str, float | None] | None = None


@dataclass(frozen=True, slots=True)
class RemoteToken(Elsewhere, Endpoint):
    """
    Ask a hub for the token: a service that owns it, and gives it as JSON to whoever has the key.

    The request is ``GET url`` with ``Authorization: Bearer key``; the answer is WeChat's own, ``{"access_token": ...,
    "expires_in": ...}``, or any JSON in which two fields are named. The hub is asked every minute (`refresh_after`),
    and once more when a token was rejected. That only asks again: nothing tells the hub that its token was rejected, or
    which, so its owner has to find out and renew it. If the hub still gives the rejected one, the caller gets WeChat's
    own answer, and the hub is asked again a second later, as long as calls are rejected; the first that is given
    another one is healed. While the hub is away, the token that is there stays in use until its end.

    If the hub's answer has an ETag, the next request has it as ``If-None-Match``, and an answer 304 says that the token
    is still the one. There is no long poll: a caller whose token was rejected would have to wait for its end.

    The key goes to this URL only and in the header only, also if the hub redirects elsewhere. It is in no error, no log
    and no ``repr``. Nothing secret belongs into the URL itself, which proxies log, and urllib3 at DEBUG.

    Args:
        url: Where the hub gives the token of this account. ``http://`` would carry the key and the token in clear text,
            so it is refused, but for this machine itself (``localhost``, ``127.0.0.1``, ``[::1]``), where it is asked
            without a proxy.
        key: The hub's key for this caller; ``None`` if it needs none.
        token_field: The token's field, ``data.token`` for one in another.
        expires_field: The field of its end: seconds of life, or a time in seconds or milliseconds since 1970. If the
            answer has none, the token is used until it is rejected, or for two hours after it was seen last.
        insecure: Allow ``http://`` to another machine. It is for networks in which nobody can listen.
        refresh_after: Seconds between two requests.

    Takes the arguments of `Endpoint`, too: ``connect_timeout``, ``timeout`` (seconds) and ``session``.

    Raises:
        ConfigurationError: The URL is none, has a user or a fragment, holds the key, or is insecure; the key is empty
            or no word, or the session has an auth beside it; a field's name is empty; a number is not above 0.
    """

    url: str
    _: dataclasses.KW_ONLY
    key: str | None = None
    token_field: str = "access_token"  # noqa: S105 - a field
    expires_field: str = "expires_in"
    insecure: bool = False
    refresh_after: float = 60.0
    _newest: _Newest = dataclasses.field(init=False, compare=False, default_factory=_Newest)

    accounts: ClassVar[tuple[type[Account], ...]] = (Account, WeComAccount, AuthorizerAccount)

    def __post_init__(self) -> None:
        Endpoint.__post_init__(self)
        if self.key is not None:
            _check_key(self.key)
            if getattr(self.session, "auth", None) is not None:
                raise ConfigurationError(
                    "session has an auth, which would send its own Authorization in place of key. Leave one of the two "
                    "out; what a gateway in between wants goes into session.headers."
                )
        _check_url(self.url, self.key, insecure=self.insecure)
        for name in ("token_field", "expires_field"):
            value = getattr(self, name)
            if not isinstance(value, str) or not value:
                raise ConfigurationError(f"{name} must be the name of a field in the answer, such as 'access_token'.")
        checks.seconds("refresh_after", self.refresh_after)

    def __repr__(self) -> str:
        return f"RemoteToken({self.url.partition('?')[0]!r})"

    @property
    def kind(self) -> str:
        """A name of its own for each URL and field, so that two hubs of one account are not mixed up."""
        return named("remote", self.url, self.token_field)

    @property
    def asks(self) -> str:
        """The hub, for messages."""
        return self._target.host

    @property
    def _target(self) -> Target:
        return Target(self.url, "the URL", direct=self.url.startswith("http://") and _is_loopback(self.url))

    def fetch(self, account: Account, *, force: bool = False) -> Grant | Failure:
        """Ask the hub. It gives what it has, so `force` changes nothing."""
        target, known = self._target, self._known()
        headers = {"Accept": "application/json"}
        if self.key is not None:
            headers["Authorization"] = f"Bearer {self.key}"
        if known is not None:
            headers["If-None-Match"] = known[0]
        answer = self._send(target, "GET", headers=headers)
        if isinstance(answer, Failure):
            return answer
        if answer.status == 304 and known is not None:
            return Grant(known[1], LIFE_UNKNOWN if known[2] is None else known[2] - clock())
        return _no(target, answer) or self._read(target, answer)

    def _known(self) -> tuple[str, str, float | None] | None:
        answer = self._newest.answer
        return None if answer is None or (answer[2] is not None and answer[2] <= clock() + self.timeout) else answer

    def _read(self, target: Target, answer: Answer) -> Grant | Failure:
        errors = ErrorTable(f"{target.host} gives no token", _ADVICE)
        found = read(target, answer, errors, () if self.key is None else (self.key,))
        if isinstance(found, Failure):
            return found
        now, end = time.time(), find(found, self.expires_field)
        grant = granted(target.host, find(found, self.token_field), end, now=now, since=now)
        if isinstance(grant, Grant):
            tag = answer.headers.get("ETag", "")
            ends = None if end is None else clock() + grant.expires_in
            self._newest.answer = (tag, grant.value, ends) if _TAG.fullmatch(tag) else None
        return grant


def _no(target: Target, answer: Answer) -> Failure | None:
    """What a status says that only a hub has."""
    if answer.status in (401, 403):
        return Failure(Cause.PERMANENT, f"{target.host} does not take the key (HTTP {answer.status}). Check the key.")
    if answer.status == 404:
        return Failure(Cause.PERMANENT, f"{target.host} has nothing at this URL (HTTP 404). Check its path.")
    if answer.status in (429, 503):
        wait = answer.headers.get("Retry-After", "")
        later = min(float(wait), 600.0) if wait.isascii() and wait.isdigit() and len(wait) < 10 and int(wait) else None
        said = f"{target.host} cannot give a token now (HTTP {answer.status})."
        return Failure(Cause.TRANSIENT, said, retry_after=later)
    return None


def _check_key(key: object) -> None:
    if not isinstance(key, str) or not key:
        raise ConfigurationError("key must be the hub's key, a str that is not empty; leave it out if there is none.")
    check_quotes("key", key)
    if not key.isascii() or not key.isprintable() or " " in key:
        raise ConfigurationError("key has blanks, control characters or non-ASCII characters in it.")


def _check_url(url: object, key: str | None, *, insecure: bool) -> None:
    # The URL itself stays out of the messages: it may hold a secret.
    try:
        parts = urlsplit(url) if isinstance(url, str) else None
        wellformed = (
            parts is not None and parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        )
    except ValueError:
        wellformed = False
    if not wellformed or not isinstance(url, str) or not url.startswith(("http://", "https://")):
        raise ConfigurationError("url is not one of a hub. Give one like 'https://hub.example.com/v1/tokens/wx8a1b'.")
    if any(c.isspace() or not c.isprintable() for c in url):
        raise ConfigurationError("url has white space or control characters in it.")
    if "@" in urlsplit(url).netloc or "#" in url:
        raise ConfigurationError("url has a user or a fragment. A key goes into key=.")
    if key is not None and key in url:
        raise ConfigurationError("The key stands in url, too, where proxies log it. Leave it out there.")
    if url.startswith("http://") and not insecure and not _is_loopback(url):
        raise ConfigurationError(
            "url is http:// to another machine, so the key and the token would go in clear text. Write https://; or "
            "say insecure=True, if nobody can listen in that network."
        )


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    if host == "localhost":  # not hub.localhost, which a resolver may ask DNS for
        return True
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return False
