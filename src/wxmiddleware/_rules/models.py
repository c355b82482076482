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
from typing import Any, ClassVar, Self
from urllib.parse import quote, urlsplit

from ..exceptions import ConfigurationError, TokenError, TokenRefused, TokenUnavailable
from .copies import replace

_SECRET_LIKE = re.compile(r"[0-9a-f]{32}")
_REALM = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,61}[a-z0-9])?")
WECHAT_URL = "https://api.weixin.qq.com"
WECOM_URL = "https://qyapi.weixin.qq.com"
_WECOM = ("wecom", WECOM_URL, "WeComAccount")
# As a time: before all others. One object, as each `-math.inf` makes another, and each account has a dozen.
NEVER = -math.inf
# One object likewise, which nobody changes.
NOTHING_MORE: Mapping[str, Any] = {}


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
        realm: Which WeChat that is, in one short word. Members of a fleet share a token if they have the same realm,
            whatever their `base_url`. By default every https URL is a way to the real WeChat, and every http URL leads
            to one of its own, such as a simulator. Say ``realm="wechat"`` where plain http leads to the real one
            through a gateway of yours, and a word of your own where https leads to another one.

    Raises:
        ConfigurationError: A value is empty, has white space in it or quotes around it, or the URL is not an http(s)
            one, or is plain http to WeChat's own hosts, or `realm` is no such word, or one of the two is WeCom's.
    """

    appid: str
    secret: str | Callable[[], str] = field(default="", repr=False)
    base_url: str = field(default=WECHAT_URL, kw_only=True)
    realm: str | None = field(default=None, kw_only=True)

    _names: ClassVar = ("appid", "secret")
    _hints: ClassVar = (
        "It stands on the account's page at mp.weixin.qq.com.",
        "Give the AppSecret, for example os.environ['WECHAT_SECRET'].",
    )
    _variables: ClassVar = ("WECHAT_APPID", "WECHAT_SECRET")
    _optional: ClassVar = {"base_url": "WECHAT_BASE_URL", "realm": "WECHAT_REALM"}
    _own_realm: ClassVar = "wechat"

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
        elif self.secret != "" or not self._may_lack_secret():
            _check_word(self._names[1], self.secret, self._hints[1])
        object.__setattr__(self, "base_url", _checked_url(self.base_url))
        if self.realm is not None:
            _check_realm(self.realm)
        self._check_world()

    def _check_world(self) -> None:
        """See that neither realm nor URL is that of the other kind of account."""
        other, url, instead = ("wechat", WECHAT_URL, "Account") if self._own_realm == "wecom" else _WECOM
        if self.realm == other:
            raise ConfigurationError(
                f"realm is {other!r}, and this account's is {self._own_realm!r}. Leave realm out; or, where the "
                f"account is meant to be another one, make it with {instead}."
            )
        if (urlsplit(self.base_url).hostname or "").rstrip(".") == urlsplit(url).hostname:
            raise ConfigurationError(
                f"base_url leads to {urlsplit(url).hostname}, which does not know this kind of account. Leave base_url "
                f"out; or, where the account is meant to be another one, make it with {instead}."
            )

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None, *, secret: bool = True) -> Self:
        """
        Read ``WECHAT_APPID``, ``WECHAT_SECRET`` and, where they are set, ``WECHAT_BASE_URL`` and ``WECHAT_REALM``.

        A `WeComAccount` reads ``WECOM_CORPID``, ``WECOM_SECRET``, and ``WECOM_BASE_URL``, ``WECOM_REALM`` and
        ``WECOM_AGENTID``.

        Args:
            environ: The process's own environment by default.
            secret: Whether the secret must be there. A provider that only follows, and sources that take a token from
                elsewhere, need none.

        Raises:
            ConfigurationError: One of them is missing or malformed.
        """
        environ = os.environ if environ is None else environ
        appid, of_secret = cls._variables
        missing = [name for name in (appid, of_secret)[: 1 + secret] if not environ.get(name)]
        if missing:
            raise ConfigurationError(f"Set the environment variable{'s' * (len(missing) > 1)} {' and '.join(missing)}.")
        more: dict[str, Any] = {name: environ[key] for name, key in cls._optional.items() if environ.get(key)}
        try:
            return cls(environ[appid], environ.get(of_secret, ""), **more)
        except ConfigurationError as error:
            name, _, rest = str(error).partition(" ")
            variable = (dict(zip(cls._names, cls._variables, strict=True)) | cls._optional).get(name)
            said = (
                f"{variable} {rest}" if variable else f"In {appid}, {of_secret} or {cls._optional['base_url']}: {error}"
            )
            raise ConfigurationError(said) from None

    @property
    def mark(self) -> str:
        """Twelve hex digits that tell secrets of the account apart."""
        return self.mark_of(self.secret if isinstance(self.secret, str) else "\0function")

    def mark_of(self, secret: str) -> str:
        """The mark of a secret that the function gave."""
        return _digest("secret", self.appid, secret)

    def _may_lack_secret(self) -> bool:
        """Whether it can be told from others without its secret, as who only follows must."""
        return True

    def _app(self) -> str:
        """What tells it from others with this AppID, as it stands in keys: nothing, but for WeCom and platforms."""
        return ""

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
        secret: The app's secret, or a function that gives it; see `Account`. With an `agentid`, a provider that only
            follows needs none.
        base_url: Where WeCom's API is: a proxy of yours, or the simulator.
        realm: Which WeCom that is; see `Account`. A WeCom on premises (私有化部署) behind https needs a word of yours.
        agentid: The app's AgentId. Give it: it tells the apps of a corp apart, also when the secret has changed.
            Without it a digest of the secret does, so each secret has a record of its own in a store. It is needed if
            `secret` is a function.

    Raises:
        ConfigurationError: A value is empty, has white space in it or quotes around it, or the URL is not an http(s)
            one, or is plain http to WeChat's own hosts, or `realm` is no short word, or one of the two is not WeCom's.
    """

    base_url: str = field(default=WECOM_URL, kw_only=True)
    agentid: int | str | None = field(default=None, kw_only=True)

    _names: ClassVar = ("corpid", "secret")
    _hints: ClassVar = (
        "It stands on the corp's page at work.weixin.qq.com.",
        "Give the secret of the app, for example os.environ['WECOM_SECRET'].",
    )
    _variables: ClassVar = ("WECOM_CORPID", "WECOM_SECRET")
    _optional: ClassVar = {"base_url": "WECOM_BASE_URL", "realm": "WECOM_REALM", "agentid": "WECOM_AGENTID"}
    _own_realm: ClassVar = "wecom"

    def __post_init__(self) -> None:
        Account.__post_init__(self)
        if isinstance(self.agentid, bool) or not isinstance(self.agentid, int | str | None) or self.agentid == "":
            raise ConfigurationError("agentid must be the AgentId of the app, a number.")
        if isinstance(self.agentid, str):
            _check_word("agentid", self.agentid, "It stands on the app's page at work.weixin.qq.com.")
        if self.agentid is None and not isinstance(self.secret, str):
            raise ConfigurationError(
                "With a function for the secret, say agentid=, too: the apps of a corp have one CorpID."
            )

    def _may_lack_secret(self) -> bool:
        return self.agentid is not None

    def _app(self) -> str:
        if self.agentid is not None:
            return quote(str(self.agentid), safe="")
        assert isinstance(self.secret, str)
        return f"secret={_digest(self.appid, self.secret)}"  # no AgentId can look like this: it would be quoted


@dataclass(frozen=True, slots=True)
class AuthorizerAccount(Account):
    """
    An account that has authorised a third-party platform. `Platform.authorizer` makes it.

    It has no secret that we know. In its place stands the platform's AppID: that, and not the platform's secret, which
    may be reset, tells its tokens from those of other platforms.
    """

    _names: ClassVar = ("authorizer's appid", "platform's appid")
    _hints: ClassVar = ("WeChat names it in api_query_auth.", "It stands on the platform's page at open.weixin.qq.com.")

    def _may_lack_secret(self) -> bool:
        return False

    def _app(self) -> str:
        assert isinstance(self.secret, str)
        return quote(self.secret, safe="")


@dataclass(frozen=True, slots=True)
class SuiteAccount(Account):
    """
    A suite of a service provider of WeCom (第三方应用), or a template of apps developed for one corp (代开发模板).

    Args:
        appid: The suite id, such as ``ww5d0f…``; of a template ``dk…``.
        secret: The ``suite_secret``, or a function that gives it; see `Account`.
        base_url: Where WeCom's API is: a proxy of yours, or the simulator.
        realm: Which WeCom that is; see `Account`.

    Raises:
        ConfigurationError: As for `WeComAccount`.
    """

    base_url: str = field(default=WECOM_URL, kw_only=True)

    _names: ClassVar = ("suite_id", "suite_secret")
    _hints: ClassVar = (
        "It stands on the suite's page at open.work.weixin.qq.com.",
        "Give the suite_secret, for example os.environ['WECOM_SUITE_SECRET'].",
    )
    _variables: ClassVar = ("WECOM_SUITE_ID", "WECOM_SUITE_SECRET")
    _optional: ClassVar = {"base_url": "WECOM_BASE_URL", "realm": "WECOM_REALM"}
    _own_realm: ClassVar = "wecom"


@dataclass(frozen=True, slots=True)
class ProviderAccount(SuiteAccount):
    """
    A service provider of WeCom (服务商) itself: its own CorpID, and the ``provider_secret``.

    Takes the arguments of `SuiteAccount`.
    """

    _names: ClassVar = ("provider's corpid", "provider_secret")
    _hints: ClassVar = (
        "It stands on the provider's page at open.work.weixin.qq.com.",
        "Give the provider_secret, for example os.environ['WECOM_PROVIDER_SECRET'].",
    )
    _variables: ClassVar = ("WECOM_PROVIDER_CORPID", "WECOM_PROVIDER_SECRET")


@dataclass(frozen=True, slots=True)
class CorpAccount(WeComAccount):
    """
    A corp that has authorised a suite. `Suite.corp` makes it.

    It has no secret that we know. In its place stands the suite id: that, and neither the suite's secret nor the
    permanent code, which may both be reset, tells its tokens from those of other suites. The `agentid` is for messages.
    """

    _names: ClassVar = ("corp's corpid", "suite id")
    _hints: ClassVar = ("WeCom names it in get_permanent_code.", "It stands on the suite's page.")

    def _may_lack_secret(self) -> bool:
        return False

    def _app(self) -> str:
        assert isinstance(self.secret, str)
        return quote(self.secret, safe="")


def agent_of(account: Account) -> int | None:
    """The number of the WeCom app that an account names; ``None`` if it names none, or by a word."""
    agentid = str(getattr(account, "agentid", ""))
    return int(agentid) if agentid.isascii() and agentid.isdecimal() else None


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


def _check_realm(realm: object) -> None:
    advice = "A realm is a short word of a-z, 0-9, '.' and '-', 63 characters at most, such as 'private'."
    if not isinstance(realm, str):
        raise ConfigurationError(f"realm must be a str, not {type(realm).__name__}. {advice}")
    check_quotes("realm", realm)
    if not _REALM.fullmatch(realm):
        raise ConfigurationError(f"realm is not such a word. {advice}")


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


def one_line(text: str, longest: int = 4096) -> str:
    """The text as it may be shown and logged: no line of its own in it, nothing that a terminal obeys."""
    return "".join(c if c.isprintable() else "?" for c in text[:longest])


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
    """
    Why there is no token, or no other one. A value, not an exception: every waiting caller makes an error of its own.

    Attributes:
        cause: What kind of failure.
        message: What went wrong, and what to do, for people.
        errcode: WeChat's error code.
        errmsg: WeChat's text.
        rid: WeChat's id of the request.
        retry_after: Seconds until another request may help, if the source knows.
        mark: Which secret it was asked with (`Account.mark_of`), if a function gave that. It is in no record: there it
            is the cool-down's.
    """

    cause: Cause
    message: str
    errcode: int | None = None
    errmsg: str = ""
    rid: str | None = None
    retry_after: float | None = None
    mark: str = field(default="", repr=False, compare=False)

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
        streak: Failures in a row; transient ones and lost answers count together.
        rejected: The generation whose rejection last led to a fetch that failed; 0 if none did. Another rejection of
            the same generation does not overrule the back-off.
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
        replaced: When rejected tokens were replaced by a fetch: the last times of `rejected_at`, oldest first. Their
            intervals tell who else fetches.
        fetched_day: The day (of China's time) that `fetched` counts for.
        fetched: Requests to the token endpoint on that day, but for those that WeChat surely has not seen.
        extra: What a later version has written beside these, as it stands in the store; it is written back as it was.
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
    replaced: tuple[float, ...] = ()
    fetched_day: int = 0
    fetched: int = 0
    extra: Mapping[str, Any] = field(default_factory=lambda: NOTHING_MORE, repr=False, hash=False)

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
            replaced=tuple(time + seconds for time in self.replaced),
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
