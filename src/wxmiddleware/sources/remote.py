"""The token that a hub gives: a service of the company's that owns it."""

from __future__ import annotations

import dataclasses
import ipaddress
import re
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import ClassVar, NamedTuple
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
_HUB = "Wxmiddleware"  # the header of a hub of this package, in requests and answers
_KEY = (Cause.PERMANENT, "Check the key.")
_WHOSE = (Cause.PERMANENT, "Check the AppID in the URL: the hub does not know it, or not for this key.")
_MAY = (Cause.PERMANENT, "Check what the hub lets this caller do.")
_ADVICE = {**causes_at(Place.TOKEN), 40001: _KEY, 40125: _KEY, 40013: _WHOSE}
_OURS = {**_ADVICE, 48001: _MAY, 40035: (Cause.PERMANENT, "Check the URL.")}


class _Known(NamedTuple):
    """
    What a hub gave last, so that it need not send a token again that is known (ETag).

    Attributes:
        tag: The answer's ETag.
        token: The token.
        ends: The end of its life on the process's clock; ``None`` if nobody has said that.
        generation: Its number, if the hub is one of this package, which is told by that what was rejected.
    """

    tag: str
    token: str
    ends: float | None
    generation: int | None


class _Newest:
    """
    The last answer.

    Attributes:
        answer: What it was; ``None`` if it had no ETag.
        asked: Whether there was one: a process may have its first token from a store.
    """

    def __init__(self) -> None:
        self.answer: _Known | None = None
        self.asked = False


@dataclass(frozen=True, slots=True)
class RemoteToken(Elsewhere, Endpoint):
    """
    Ask a hub for the token: a service that owns it, and gives it as JSON to whoever has the key.

    The request is ``GET url`` with ``Authorization: Bearer key``; the answer is WeChat's own, ``{"access_token": ...,
    "expires_in": ...}``, or any JSON in which two fields are named. The hub is asked every minute (`refresh_after`),
    and once more when a token was rejected. While it is away, the token that is there stays in use until its end.

    A hub of this package (`wxmiddleware.hub`) is known by its answers. If it still gives a token that was rejected, it
    is told so (``POST url/rejected``, with the token's number), and has a newer one within two seconds, as soon as
    WeChat bears that out. And `TokenProvider.keep` waits there for a newer one (long poll), so that a change is known
    within about a second.

    Another hub can only be asked again: nothing tells it that its token was rejected, or which, so its owner has to
    find out and renew it. If the hub still gives the rejected one, the caller gets WeChat's own answer, and the hub is
    asked again a second later, as long as calls are rejected; the first that is given another one is healed.

    If the hub's answer has an ETag, the next request has it as ``If-None-Match``, and an answer 304 says that the token
    is still the one.

    The key goes to this URL, and to the one below it at which a rejection is told, in the header only, also if the hub
    redirects elsewhere. It is in no error, no log and no ``repr``. Nothing secret belongs into the URL itself, which
    proxies log, and urllib3 at DEBUG.

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

    @property
    def can_force(self) -> bool:
        """Whether the hub can be told that its token was rejected."""
        known = self._newest.answer
        return known is not None and known.generation is not None

    def fetch(self, account: Account, *, force: bool = False) -> Grant | Failure:
        """Ask the hub; with `force` tell it that the token that it gave last was rejected."""
        known = self._newest.answer
        if force and known is not None and known.generation is not None:
            target = self._rejections
            return self._read(
                target, self._send(target, "POST", headers=self._headers(), body={"generation": known.generation})
            )
        return self._ask(self._known())

    def wait_for_another(self, token: str, seconds: float) -> bool | None:
        """
        Wait at the hub until it has another token than this (long poll).

        Args:
            token: The one that is in use.
            seconds: For how long at most.

        Returns:
            Whether it has, as far as is known by then; ``None`` if there one cannot wait.
        """
        if not self._newest.asked:
            self._ask(None)
        known = self._known()
        if known is None or known.generation is None:
            return None
        if known.token == token:
            self._ask(known, wait=max(1, int(seconds)))
            known = self._newest.answer
        return known is not None and known.token != token

    def _ask(self, known: _Known | None, *, wait: int = 0) -> Grant | Failure:
        headers = self._headers() if known is None else self._headers() | {"If-None-Match": known.tag}
        query = {"wait": str(wait)} if wait else None
        answer = self._send(self._target, "GET", headers=headers, query=query, seconds=self.timeout + wait)
        if isinstance(answer, Answer) and answer.status == 304 and known is not None:
            return Grant(known.token, LIFE_UNKNOWN if known.ends is None else known.ends - clock())
        return self._read(self._target, answer)

    def _headers(self) -> dict[str, str]:
        # The last is what a hub of this package wants: no browser sends it, and no server that was tricked into one.
        key = {} if self.key is None else {"Authorization": f"Bearer {self.key}"}
        return {"Accept": "application/json", **key, _HUB: "1"}

    @property
    def _rejections(self) -> Target:
        path, mark, query = self.url.partition("?")
        return self._target._replace(url=f"{path.rstrip('/')}/rejected{mark}{query}")

    def _known(self) -> _Known | None:
        known = self._newest.answer
        return None if known is None or (known.ends is not None and known.ends <= clock() + self.timeout) else known

    def _read(self, target: Target, answer: Answer | Failure) -> Grant | Failure:
        if isinstance(answer, Failure):
            return answer
        ours = answer.headers.get(_HUB) == "1"
        problem = None if ours else _no(target, answer)
        if problem is not None:
            return problem
        errors = ErrorTable(f"{target.host} gives no token", _OURS if ours else _ADVICE)
        # It says what is wrong in its body, better than a status can.
        said = answer._replace(status=200) if ours and answer.status >= 400 else answer
        found = read(target, said, errors, () if self.key is None else (self.key,))
        if isinstance(found, Failure):
            return dataclasses.replace(found, retry_after=_later(answer)) if ours else found
        self._newest.asked = True
        now, end = time.time(), find(found, self.expires_field)
        grant = granted(target.host, find(found, self.token_field), end, now=now, since=now)
        if isinstance(grant, Grant):
            tag = answer.headers.get("ETag", "")
            ends = None if end is None else clock() + grant.expires_in
            generation = found.get("generation") if ours else None
            numbered = type(generation) is int and found.get("kind") == "access_token"  # a ticket is not told of there
            known = _Known(tag, grant.value, ends, generation if numbered else None)
            self._newest.answer = known if _TAG.fullmatch(tag) else None
        return grant


def _no(target: Target, answer: Answer) -> Failure | None:
    """What a status says that only a hub has."""
    if answer.status in (401, 403):
        return Failure(Cause.PERMANENT, f"{target.host} does not take the key (HTTP {answer.status}). Check the key.")
    if answer.status == 404:
        return Failure(Cause.PERMANENT, f"{target.host} has nothing at this URL (HTTP 404). Check its path.")
    if answer.status in (429, 503):
        said = f"{target.host} cannot give a token now (HTTP {answer.status})."
        return Failure(Cause.TRANSIENT, said, retry_after=_later(answer))
    return None


def _later(answer: Answer) -> float | None:
    wait = answer.headers.get("Retry-After", "")
    return min(float(wait), 600.0) if wait.isascii() and wait.isdigit() and len(wait) < 10 and int(wait) else None


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
