"""
The values that modules pass to each other: immutable, and without secrets in their ``repr``.

An `Account` says who we are. A source answers with a `Grant` or a `Failure`. A store keeps one `Record` for each
account and kind of token. A `Snapshot` is what one process hands out.
"""

from __future__ import annotations

import hashlib
import inspect
import math
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from typing import Any, ClassVar, Self
from urllib.parse import urlsplit

from ..exceptions import ConfigurationError, TokenError, TokenRefused, TokenUnavailable
from .copies import replace

_SECRET_LIKE = re.compile(r"[0-9a-f]{32}")
WECHAT_URL = "https://api.weixin.qq.com"
WECOM_URL = "https://qyapi.weixin.qq.com"
# Its other data centres, and the one for when that is down.
_SAME_WECHAT = frozenset(f"{name}.weixin.qq.com" for name in ("api", "api2", "sh.api", "sz.api", "hk.api"))
_PORTS = {"http": 80, "https": 443}
# As a time: before all others. One object, as each `-math.inf` makes another, and each account has a dozen.
NEVER = -math.inf


@dataclass(frozen=True, slots=True)
class Account:
    """
    One WeChat account: the AppID and AppSecret that WeChat shows to its owner.

    Args:
        appid: The AppID, such as ``wx8a1b…``.
        secret: The AppSecret, or a function without arguments that gives it, such as one that reads a file, Vault or
            nacos. The function is called in a thread, for each fetch, and once more if WeChat says that the secret is
            wrong; white space around what it gives is dropped. The secret never shows in a ``repr``, a log or an error.
            A provider that only follows (``TokenProvider(Account(appid), store=..., follow=True)``) needs none.
        base_url: Where WeChat's API is: another of its hosts (``https://sh.api.weixin.qq.com``), a proxy of yours,
            or the simulator.

    Raises:
        ConfigurationError: A value is empty, has white space in it or quotes around it, or the URL is not an http(s)
            one, or is plain http to WeChat's own hosts.
    """

    appid: str
    secret: str | Callable[[], str] = field(default="", repr=False)
    base_url: str = field(default=WECHAT_URL, kw_only=True)

    # Whether the secret is what tells one token of this appid from another.
    _named_by_secret: ClassVar = False
    _names: ClassVar = ("appid", "secret")
    _hints: ClassVar = (
        "It stands on the account's page at mp.weixin.qq.com.",
        "Give the AppSecret, for example os.environ['WECHAT_SECRET'].",
    )
    _variables: ClassVar = ("WECHAT_APPID", "WECHAT_SECRET", "WECHAT_BASE_URL")

    def __post_init__(self) -> None:
        _check_word(self._names[0], self.appid, self._hints[0])
        if _SECRET_LIKE.fullmatch(self.appid):
            # Without a cause or the value: this may well be the secret.
            raise ConfigurationError("appid looks like an AppSecret. Have the two been swapped?")
        if self.appid.startswith("gh_"):
            raise ConfigurationError(
                "appid begins with gh_: that is the original id (原始ID). The AppID begins with wx."
            )
        if callable(self.secret):
            _check_function(self._names[1], self.secret)
        elif self.secret != "" or self._named_by_secret:
            _check_word(self._names[1], self.secret, self._hints[1])
        object.__setattr__(self, "base_url", _checked_url(self.base_url))

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Self:
        """
        Read ``WECHAT_APPID``, ``WECHAT_SECRET`` and, if it is set, ``WECHAT_BASE_URL``; of WeCom, its own three.

        Args:
            environ: The process's own environment by default.

        Raises:
            ConfigurationError: One of them is missing or malformed.
        """
        environ = os.environ if environ is None else environ
        appid, secret, url = cls._variables
        missing = [name for name in (appid, secret) if not environ.get(name)]
        if missing:
            raise ConfigurationError(f"Set the environment variable{'s' * (len(missing) > 1)} {' and '.join(missing)}.")
        where = {"base_url": environ[url]} if environ.get(url) else {}
        try:
            return cls(environ[appid], environ[secret], **where)
        except ConfigurationError as error:
            name, _, rest = str(error).partition(" ")
            variable = dict(zip((*cls._names, "base_url"), cls._variables, strict=True)).get(name)
            said = f"{variable} {rest}" if variable else f"In {appid}, {secret} or {url}: {error}"
            raise ConfigurationError(said) from None

    @property
    def fingerprint(self) -> str:
        """
        Twelve hex digits that all who share the account's token have in common, and that give nothing away.

        WeChat's hosts are one world, whichever is asked, and every other host is one of its own. The AppSecret is not
        in it: it may be reset, and who only reads the store has none. An app of WeCom's has no other name than its
        secret.
        """
        return _digest(_world(self.base_url), self.appid, self._apart())

    @property
    def mark(self) -> str:
        """Twelve hex digits that tell secrets of the account apart."""
        return _digest("secret", self.appid, self.secret if isinstance(self.secret, str) else "\0function")

    def _apart(self) -> str:
        """What tells it from other accounts of this AppID: nothing, but for WeCom's apps and authorised accounts."""
        return self.secret if self._named_by_secret and isinstance(self.secret, str) else ""

    @property
    def host(self) -> str:
        """The host of `base_url`, for messages."""
        return urlsplit(self.base_url).netloc


@dataclass(frozen=True, slots=True)
class WeComAccount(Account):
    """
    One app of a WeCom corp (企业微信): the CorpID and the secret of that app.

    Each app has a token of its own; two apps of a corp are two accounts.

    Args:
        appid: The CorpID, such as ``ww8a1b…``.
        secret: The app's secret, or a function that gives it; see `Account`.
        base_url: Where WeCom's API is: a proxy of yours, or the simulator.
        agentid: The app's AgentId. Needed if `secret` is a function: else nothing tells two apps of a corp apart. With
            it, the record in a store is found by the AgentId, also when the secret has changed.

    Raises:
        ConfigurationError: A value is empty, has white space in it or quotes around it, or the URL is not an http(s)
            one, or is plain http to WeChat's own hosts.
    """

    base_url: str = field(default=WECOM_URL, kw_only=True)
    agentid: int | str | None = field(default=None, kw_only=True)

    _named_by_secret: ClassVar = True
    _names: ClassVar = ("corpid", "secret")
    _hints: ClassVar = (
        "It stands on the corp's page at work.weixin.qq.com.",
        "Give the secret of the app, for example os.environ['WECOM_SECRET'].",
    )
    _variables: ClassVar = ("WECOM_CORPID", "WECOM_SECRET", "WECOM_BASE_URL")

    def __post_init__(self) -> None:
        Account.__post_init__(self)
        if isinstance(self.agentid, bool) or not isinstance(self.agentid, int | str | None) or self.agentid == "":
            raise ConfigurationError("agentid must be the AgentId of the app, a number.")
        if self.agentid is None and not isinstance(self.secret, str):
            raise ConfigurationError(
                "With a function for the secret, say agentid=, too: the apps of a corp have one CorpID."
            )

    def _apart(self) -> str:
        return Account._apart(self) if self.agentid is None else f"\0agent {self.agentid}"


@dataclass(frozen=True, slots=True)
class AuthorizerAccount(Account):
    """
    An account that has authorised a third-party platform. `Platform.authorizer` makes it.

    It has no secret that we know. In its place stands the platform's AppID: that, and not the platform's secret, which
    may be reset, tells its tokens from those of other platforms.
    """

    _named_by_secret: ClassVar = True
    _names: ClassVar = ("authorizer's appid", "platform's appid")
    _hints: ClassVar = ("WeChat names it in api_query_auth.", "It stands on the platform's page at open.weixin.qq.com.")


_QUOTES = "\"'`\u2018\u2019\u201c\u201d\uff02\uff07"


def in_quotes(value: str) -> bool:
    """Whether a value begins or ends with a quote."""
    return value.strip()[:1] in tuple(_QUOTES) or value.strip()[-1:] in tuple(_QUOTES)


def check_quotes(name: str, value: str) -> None:
    """
    See whether quotes were left around a value that comes from a file of the environment.

    Raises:
        ConfigurationError: They were. The message does not quote the value.
    """
    if in_quotes(value):
        raise ConfigurationError(
            f"{name} has quotes around it, and they count as a part of it. Leave them off: a shell takes them away, "
            "`docker run --env-file` does not."
        )


def _check_word(name: str, value: object, hint: str) -> None:
    if not isinstance(value, str):
        raise ConfigurationError(f"{name} must be a str, not {type(value).__name__}. {hint}")
    if not value:
        raise ConfigurationError(f"{name} is empty. {hint}")
    check_quotes(name, value)
    if value != value.strip() or any(c.isspace() or not c.isprintable() for c in value):
        raise ConfigurationError(f"{name} has white space or control characters in it. {hint}")


def _check_function(name: str, function: Callable[[], object]) -> None:
    """Check that a function can be called in a thread without arguments. Its result is checked when it is called."""
    if isinstance(function, type):
        raise ConfigurationError(f"{name} must be a str or a function, not the class {function.__name__}.")
    if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(getattr(function, "__call__", None)):  # noqa: B004
        raise ConfigurationError(f"The function for {name} must not be async. It runs in a thread, so it may block.")


def _checked_url(url: object) -> str:
    advice = f"Give one like {WECHAT_URL!r}, with http:// or https:// and no query."
    if not isinstance(url, str):
        raise ConfigurationError(f"base_url must be a str, not {type(url).__name__}. {advice}")
    check_quotes("base_url", url)
    try:
        parts = urlsplit(url)
        wellformed = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        wellformed = False
    # The URL itself stays out of the message: it may hold a password, and here nobody knows yet which part of it.
    if not wellformed or any(c.isspace() for c in url):
        raise ConfigurationError(f"base_url is not a URL of a host. {advice}")
    if parts.path.rstrip("/").endswith("/cgi-bin"):
        raise ConfigurationError(f"base_url ends in /cgi-bin; leave that off. {advice}")
    if any(c in url for c in "?#@"):
        raise ConfigurationError(f"base_url has a user, a query or a fragment. {advice}")
    if parts.scheme == "http" and f".{parts.hostname}".rstrip(".").endswith(".weixin.qq.com"):
        raise ConfigurationError("base_url is http:// to WeChat, so the secret would go in clear text. Write https://.")
    return url.rstrip("/")


@lru_cache(64)
def _world(url: str) -> str:
    """Name the WeChat behind a base URL: hosts that give the same tokens have the same name."""
    parts = urlsplit(url)
    host = (parts.hostname or "").rstrip(".")
    port = parts.port or _PORTS[parts.scheme]
    path = parts.path.rstrip("/")
    if (parts.scheme, port, path) == ("https", 443, "") and host in _SAME_WECHAT:
        return WECHAT_URL
    return f"{parts.scheme}://{host}:{port}{path}"


def _digest(*words: str) -> str:
    return hashlib.sha256("\0".join(words).encode()).hexdigest()[:12]


# WeChat asks for room for 512 characters, and gives 7200 s.
LONGEST_TOKEN = 4096
LONGEST_LIFE = 86_400.0


def is_token(value: object) -> bool:
    """Whether `value` can be a token: visible ASCII without blanks, `LONGEST_TOKEN` characters at most."""
    if not isinstance(value, str) or not 0 < len(value) <= LONGEST_TOKEN:
        return False
    return value.isascii() and value.isprintable() and " " not in value


@dataclass(frozen=True, slots=True)
class Grant:
    """A token as WeChat gave it: the value and its life in seconds, counted from before the request was sent."""

    value: str = field(repr=False)
    expires_in: float
    refresh: str | None = field(default=None, repr=False)  # what the next one must be asked for with, if it came along


class Cause(StrEnum):
    """The kind of a fetch's failure: it decides on the back-off, and on what is known of the old token."""

    TRANSIENT = "transient"  # WeChat surely did not act on the request
    AMBIGUOUS = "ambiguous"  # WeChat may have acted: only the answer was lost
    PERMANENT = "permanent"  # another request will not help until a person acts
    QUOTA = "quota"  # the day's fetches are used up


@dataclass(frozen=True, slots=True)
class Failure:
    """A fetch that brought no token. A value, not an exception: every waiting caller makes an error of its own."""

    cause: Cause
    message: str
    errcode: int | None = None
    errmsg: str = ""
    rid: str | None = None
    retry_after: float | None = None

    def error(self, retry_after: float | None = None) -> TokenError:
        """
        Make the exception to raise.

        Args:
            retry_after: Seconds until another call may help; this failure's own where not given.
        """
        kind = TokenRefused if self.cause is Cause.PERMANENT else TokenUnavailable
        wait = self.retry_after if retry_after is None else retry_after
        message = self.message if wait is None else f"{self.message}{_NEXT_TRY}{math.ceil(wait)} s."
        if wait is not None and self.cause is Cause.PERMANENT and self.errcode is not None:
            message += _MENDED
        return kind(message, errcode=self.errcode, errmsg=self.errmsg, rid=self.rid, retry_after=wait)


_NEXT_TRY = " The next try is in "
_MENDED = (
    " If it is mended already, provider.retry_now() tries at once; with a shared store, so does `wxmiddleware retry`."
)


def without_wait(error: TokenError) -> str:
    """Get the text of an error that `Failure.error` made, without the time of the next try."""
    return str(error).partition(_NEXT_TRY)[0]


@dataclass(frozen=True, slots=True)
class Lease:
    """
    A process's claim to do the next refresh. It ends by itself; until then the other processes wait.

    It saves work and proves nothing: what keeps a late holder from overwriting is the compare-and-swap of each save.

    Attributes:
        owner: The machine, the process and its refresh, in one word.
        until: Its end, on the clock of the `Record` that it is in.
    """

    owner: str
    until: float


@dataclass(frozen=True, slots=True)
class Cooldown:
    """
    A failure that is remembered, so that nobody repeats the request that led to it (negative caching, back-off).

    Attributes:
        until: The end of the back-off, on the clock of the `Record` that it is in, or else on the process's.
        failure: What callers without a token get until then.
        streak: Failures of the same kind in a row.
        rejected: The generation whose rejection led to the fetch that failed; 0 if none did. Another rejection of the
            same generation does not overrule the back-off.
        mark: The secret that the failure is about (`Account.mark`): processes with another one need not wait. Empty if
            all must.
    """

    until: float
    failure: Failure
    streak: int = 1
    rejected: int = 0
    mark: str = ""


@dataclass(frozen=True, slots=True)
class Record:
    """
    All that the processes of a fleet share about one token: one atomic value in the store.

    Times are seconds: in a store on the store's clock, in the engine on the process's (`shifted`).

    Attributes:
        generation: Rises with every token, also after the store was emptied, and orders tokens like a fencing token. At
            2**63 it begins anew: the number that follows is the one that is less than half of that ahead.
        value: The token, or ``None`` if there is none yet.
        expires_at: The end of its life.
        sent_at: When the request that brought it was sent.
        received_at: When its answer was there. What is known of when the token was minted.
        put_back: A process wrote the token back from its memory, after the store was down or the record was evicted
            (read repair). Another process may have fetched a later one meanwhile.
        lease: The process that is refreshing, if one is.
        cooldown: The failure after which no process sends a request for a while, if there was one.
        rejected_at: When a rejected token last caused a fetch.
        rejections: Such fetches in a row that cured nothing.
        forced_at: When the forced mode of ``stable_token`` was last used.
        forced_day: The day (of China's time) that `forced` counts for.
        forced: Uses of the forced mode on that day.
        refresh: What the next token must be asked for with (a platform's ``authorizer_refresh_token``). Nobody gives
            it a second time, so a record that has one is kept for ever.
        owed_until: When the day's budget will have paid for the requests that were sent so far (`budget_wait`).
    """

    generation: int = 0
    value: str | None = field(default=None, repr=False)
    expires_at: float = NEVER
    sent_at: float = NEVER
    received_at: float = NEVER
    put_back: bool = False
    lease: Lease | None = None
    cooldown: Cooldown | None = None
    rejected_at: float = NEVER
    rejections: int = 0
    forced_at: float = NEVER
    forced_day: int = 0
    forced: int = 0
    refresh: str | None = field(default=None, repr=False)
    owed_until: float = NEVER

    def shifted(self, seconds: float) -> Self:
        """Give the same record in times of a clock that is so many seconds ahead of this one's."""
        lease, cooldown = self.lease, self.cooldown
        return replace(
            self,
            expires_at=self.expires_at + seconds,
            sent_at=self.sent_at + seconds,
            received_at=self.received_at + seconds,
            rejected_at=_moved(self.rejected_at, seconds),
            forced_at=_moved(self.forced_at, seconds),
            owed_until=_moved(self.owed_until, seconds),
            lease=lease and replace(lease, until=lease.until + seconds),
            cooldown=cooldown and replace(cooldown, until=cooldown.until + seconds),
        )


def _moved(time: float, seconds: float) -> float:
    return NEVER if time == NEVER else time + seconds


@dataclass(frozen=True, slots=True)
class Loaded:
    """
    What a store answers when it is read.

    Attributes:
        record: What it holds, or ``None`` if it holds nothing.
        version: Changes whenever anything is saved. `save` takes it back, and saves only if nobody else did meanwhile
            (compare-and-swap).
        now: The store's clock, in seconds.
    """

    record: Record | None
    version: Any
    now: float


@dataclass(frozen=True, slots=True)
class Snapshot:
    """
    What this process hands out. Replaced as a whole, in one assignment; never changed.

    Times are seconds on the process's clock.

    Attributes:
        value: The token; the empty string if there is none.
        generation: The record's.
        expires_at: The end of its life.
        ahead_at: From this time on it is renewed while it is still handed out (refresh-ahead).
        revalidate_at: From this time on the shared store is read again.
        hot_until: Before this time nothing is due but handing it out.
        hot_ticks: The same on the cheapest clock (`CachedToken.ticks`), a second ahead at most: that clock may stand
            still while the machine is suspended. The hot path compares this, and only this.
        sent_at: When the request that brought it was sent.
        received_at: When its answer was there.
        own: Whether this process asked for it.
        rejected: Whether an API rejected it.
    """

    value: str = field(default="", repr=False)
    generation: int = 0
    expires_at: float = NEVER
    ahead_at: float = NEVER
    revalidate_at: float = math.inf
    hot_until: float = NEVER
    hot_ticks: float = NEVER
    sent_at: float = NEVER
    received_at: float = NEVER
    own: bool = False
    rejected: bool = False


NOTHING = Snapshot()

# What a refresh comes to.
RefreshResult = Snapshot | Failure
