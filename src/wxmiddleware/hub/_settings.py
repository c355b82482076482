"""What a hub is told: accounts, callers, secrets. All of it is checked here, before the first request."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeVar

from .._engine.provider import TokenProvider
from .._rules.models import WeComAccount
from .._runtime import checks
from ..exceptions import ConfigurationError
from ._tokens import checked_secrets
from .keys import checked_hash

__all__ = ["Caller", "HubAccount", "Settings"]

Face = Literal["wechat", "gateway", "native", "jssdk", "status"]
FACES: tuple[Face, ...] = ("wechat", "gateway", "native", "jssdk")  # by default
_ALL: tuple[Face, ...] = (*FACES, "status")
_T = TypeVar("_T")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_PATH = re.compile(r"/(?:[A-Za-z0-9_.~-]+/)*(?:[A-Za-z0-9_.~-]+)?")
_HOST = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?")
RESERVED = frozenset({"v1", "livez", "readyz", "cgi-bin", "wxa", "sns", "card", "datacube", "status"})


@dataclass(frozen=True, slots=True)
class Caller:
    """
    A service that may use the hub.

    Args:
        name: A word for the audit, such as ``shop-php``.
        keys: Hashes of its keys (`hash_key`); two while one is replaced.
        accounts: The names of the accounts that it may use: their AppIDs, unless they were given other names.
        faces: What it may use: ``wechat`` (WeChat's own token endpoints), ``gateway`` (calls that the hub forwards),
            ``native`` (``/v1/tokens``), ``jssdk`` (``/v1/jssdk``). Those are the default; ``status`` (the status page
            of its accounts, at ``/status``) has to be named.
        tokens: ``hub`` gives it tokens of the hub's own, which only the hub takes: a rejected token is replaced there,
            and WeChat's never leaves the hub. ``wechat`` gives it WeChat's, for calls to WeChat itself.
        paths: The API paths that it may call through the hub, such as ``/cgi-bin/message/custom/send``; one that ends
            in ``/`` allows all below it. By default all.
        rate: Requests a minute that each replica takes from it; a quarter of them may come at once. By default there
            is no limit.
        longest_life: With ``tokens="wechat"``: no answer says that a token lives longer than so many seconds, so that
            a client that never notices a rejection asks again soon.
        margin: With ``tokens="wechat"``: seconds that are added to what is left, for a client that subtracts so many.
        keep_token: Whether an ``access_token`` that it puts into a call goes to WeChat as it is, if it is none of the
            hub's. By default the hub puts its own in.

    Raises:
        ConfigurationError: One of these is wrong.
    """

    name: str
    keys: Collection[str]
    accounts: Collection[str]
    faces: Collection[Face] = FACES
    tokens: Literal["hub", "wechat"] = "hub"
    paths: Collection[str] = ("/",)
    rate: float | None = None
    longest_life: float | None = None
    margin: float = 0.0
    keep_token: bool = False

    def __post_init__(self) -> None:
        _check_name("A caller's name", self.name)
        who = f"Caller {self.name!r}:"
        for name in ("keys", "accounts", "faces", "paths"):
            object.__setattr__(self, name, _words(f"{who} {name}", getattr(self, name)))
        for key in self.keys:
            checked_hash(f"{who} keys", key)
        if len(set(self.keys)) != len(self.keys):
            raise ConfigurationError(f"{who} keys has the same one twice.")
        self._check_faces(who)
        self._check_numbers(who)
        if not isinstance(self.keep_token, bool):
            raise ConfigurationError(f"{who} keep_token must be true or false.")

    def _check_faces(self, who: str) -> None:
        for face in self.faces:
            if face not in _ALL:
                raise ConfigurationError(f"{who} {face!r} is no face. There are {', '.join(_ALL)}.")
        if "status" in self.faces and not self.accounts:
            raise ConfigurationError(f"{who} the face status shows its accounts, and it has none. Name them.")
        if self.tokens not in ("hub", "wechat"):
            raise ConfigurationError(f"{who} tokens must be 'hub' or 'wechat'.")
        for path in self.paths:
            if not _PATH.fullmatch(path) or "/./" in path + "/" or "/../" in path + "/":
                raise ConfigurationError(f"{who} {path!r} is no path of an API, such as '/cgi-bin/message/'.")

    def _check_numbers(self, who: str) -> None:
        for name in ("rate", "longest_life"):
            if getattr(self, name) is not None:
                checks.seconds(f"{who} {name}", getattr(self, name))
        checks.seconds(f"{who} margin", self.margin, zero=True)
        if self.tokens == "hub" and (self.longest_life is not None or self.margin):
            raise ConfigurationError(f"{who} longest_life and margin are for tokens='wechat': the hub's do not end.")

    def may_call(self, path: str) -> bool:
        """Tell whether it may call this path of an API, which is one that `paths.checked` has passed."""
        return any(path == each or (each.endswith("/") and path.startswith(each)) for each in self.paths)


@dataclass(frozen=True, slots=True)
class HubAccount:
    """
    An account that the hub serves.

    Args:
        name: The first part of its paths: ``/{name}/cgi-bin/…``. The AppID by default; apps of one corp need others.
        provider: Gives its tokens.
        hosts: Names of the hub at which this account is meant, as for clients that lose a path in their base URL.

    Raises:
        ConfigurationError: One of these is wrong.
    """

    name: str
    provider: TokenProvider
    hosts: Collection[str] = ()

    def __post_init__(self) -> None:
        _check_name("An account's name", self.name)
        if self.name.lower() in RESERVED:
            raise ConfigurationError(f"An account cannot be called {self.name!r}: the hub has that path itself.")
        if not isinstance(self.provider, TokenProvider):
            raise ConfigurationError(
                f"Account {self.name!r}: provider must be a TokenProvider, not {checks.kind(self.provider)}."
            )
        hosts = _words(f"Account {self.name!r}: hosts", self.hosts)
        for host in hosts:
            if not _HOST.fullmatch(host):
                raise ConfigurationError(f"Account {self.name!r}: {host!r} is no host name in small letters.")
        object.__setattr__(self, "hosts", hosts)

    @property
    def appid(self) -> str:
        """The AppID, or the CorpID."""
        return self.provider.account.appid

    @property
    def is_wecom(self) -> bool:
        """Whether it is an app of WeCom."""
        return isinstance(self.provider.account, WeComAccount)


@dataclass(frozen=True, slots=True)
class UnknownAccount:
    """
    An account that a path names, and that is none of the hub's, or not only one. It is answered as if it were others'.

    Args:
        appid: What the path says.
    """

    appid: str


# The account that a path or a host names, if it does.
Here = HubAccount | UnknownAccount | None


@dataclass(frozen=True, slots=True)
class Settings:
    """
    All that a hub is told, as one value that can be exchanged for another.

    Args:
        accounts: The accounts, or providers alone where the AppID is name enough.
        callers: Who may use them.
        secrets: What tokens of the hub's own are signed with, 32 characters or more, the same in all replicas. The
            first signs, all are read, so that one can be replaced.

    Raises:
        ConfigurationError: One of these is wrong, or two do not fit each other.
    """

    accounts: Iterable[HubAccount | TokenProvider]
    callers: Iterable[Caller] = ()
    secrets: Sequence[str] = field(default=(), repr=False)
    by_name: Mapping[str, HubAccount] = field(init=False, repr=False, compare=False)
    by_host: Mapping[str, HubAccount] = field(init=False, repr=False, compare=False)
    by_caller: Mapping[str, Caller] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        accounts = tuple(
            HubAccount(each.account.appid, each) if isinstance(each, TokenProvider) else each for each in self.accounts
        )
        callers = tuple(self.callers)
        for one, kind in ((accounts, HubAccount), (callers, Caller)):
            for each in one:
                if not isinstance(each, kind):
                    raise ConfigurationError(f"Here stands {checks.kind(each)} where a {kind.__name__} is meant.")
        if not accounts:
            raise ConfigurationError("A hub needs an account.")
        object.__setattr__(self, "accounts", accounts)
        object.__setattr__(self, "callers", callers)
        object.__setattr__(self, "secrets", checked_secrets(self.secrets))
        object.__setattr__(self, "by_name", _unique("account", [(each.name, each) for each in accounts]))
        object.__setattr__(self, "by_caller", _unique("caller", [(each.name, each) for each in callers]))
        hosts = [(host, each) for each in accounts for host in each.hosts]
        object.__setattr__(self, "by_host", _unique("host", hosts))
        self._check_callers(callers)

    def with_appid(self, appid: str) -> HubAccount | UnknownAccount:
        """Get the only account with this AppID or CorpID, whatever its name."""
        found = [each for each in self.by_name.values() if each.appid == appid]
        return found[0] if len(found) == 1 else UnknownAccount(appid)

    def _check_callers(self, callers: tuple[Caller, ...]) -> None:
        check_keys(callers)
        for caller in callers:
            for name in caller.accounts:
                if name not in self.by_name:
                    raise ConfigurationError(f"Caller {caller.name!r}: there is no account {name!r}.")
        if not self.secrets:
            check_unsigned(callers)


def check_keys(callers: Iterable[Caller]) -> None:
    """
    See that no two callers have the same key.

    Raises:
        ConfigurationError: Two have.
    """
    keys: dict[str, str] = {}
    for caller in callers:
        for key in caller.keys:
            if keys.setdefault(key, caller.name) != caller.name:
                raise ConfigurationError(
                    f"Callers {keys[key]!r} and {caller.name!r} have the same key. "
                    "Make one of them another with `wxmiddleware serve --new-caller NAME`."
                )


def check_unsigned(callers: Iterable[Caller]) -> None:
    """
    See that callers can do without secrets.

    Raises:
        ConfigurationError: One is given tokens of the hub's own.
    """
    for caller in callers:
        if caller.tokens == "hub" and {"wechat", "gateway"} & set(caller.faces):
            raise ConfigurationError(
                f"Caller {caller.name!r} is given tokens of the hub's own, and nothing is there to sign them with. "
                'Give secrets, in the file as secrets = [{ file = "hub_secret" }]; '
                "`wxmiddleware serve --new-secret` makes one."
            )


def _check_name(what: str, name: object) -> None:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ConfigurationError(f"{what} must be 1 to 64 letters, digits, '-', '_' or '.', and not begin with a sign.")


def _words(what: str, value: object) -> tuple[str, ...]:
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise ConfigurationError(f"{what} must be a list, not {checks.kind(value)}.")
    words = tuple(value)
    if not all(isinstance(each, str) for each in words):
        raise ConfigurationError(f"{what} must be a list of texts.")
    return words


def _unique(what: str, pairs: list[tuple[str, _T]]) -> dict[str, _T]:
    found: dict[str, _T] = {}
    for name, each in pairs:
        if name in found:
            raise ConfigurationError(f"There are two of the {what} {name!r}.")
        found[name] = each
    return found
