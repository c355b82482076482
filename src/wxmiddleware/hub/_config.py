"""What one TOML file says of a hub: whose tokens, where they are kept, who may use them, and where it listens."""

from __future__ import annotations

import os
import re
import stat
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .._rules.models import Account, WeComAccount
from ..exceptions import ConfigurationError
from ..sources import ClassicToken, StableToken, TokenSource, WeComToken
from ._listen import Address, address
from ._metrics import check_installed
from ._reference import FORMS, Reference, reference
from ._settings import Caller, check_keys, check_unsigned
from ._table import Problems, Table

_LARGEST = 1024 * 1024  # bytes of the file
_DEFAULT = "127.0.0.1:8040"
_METRICS = "127.0.0.1:9140"
_SOURCES: dict[str, type[TokenSource]] = {"stable": StableToken, "classic": ClassicToken}
_MODE = re.compile(r"0?[0-7]{3}")
_PASSWORD = re.compile(r"@|pass|pwd", re.IGNORECASE)
GRACE = 50.0
_LONGEST_GRACE = 3600


@dataclass(frozen=True, slots=True)
class AccountConfig:
    """
    One account. What is equal needs no other provider.

    Attributes:
        account: Whose tokens; its secret is a `Reference`, or empty.
        source: How they are asked for.
        follow: Whether another service fetches them.
    """

    account: Account
    source: TokenSource
    follow: bool


@dataclass(frozen=True, slots=True)
class Config:
    """
    What the file says, checked.

    Attributes:
        accounts: The accounts by their names in the hub.
        hosts: The names of the hub at which each is meant.
        callers: Who may use them.
        secrets: What the hub's own tokens are signed with.
        store: The URL of the store; ``None`` for the memory of this process.
        keep: Whether the tokens are kept young also when nobody asks.
        listen: Where it listens.
        metrics: Where it shows its metrics; nowhere if there is none.
        socket_mode: Who may connect to its unix sockets.
        audit: ``stdout``, ``stderr``, ``off`` or the path of a file.
        grace: Seconds for which requests may go on after the signal to end.
    """

    accounts: dict[str, AccountConfig]
    hosts: dict[str, tuple[str, ...]]
    callers: tuple[Caller, ...]
    secrets: tuple[str, ...] = field(repr=False)
    store: str | None = field(repr=False)
    keep: bool
    listen: tuple[Address, ...]
    metrics: tuple[Address, ...]
    socket_mode: int
    audit: str
    grace: float


def read_config(path: str | Path) -> Config:
    """
    Read a file, with what it refers to. Secrets of accounts that a command gives are not asked for.

    Raises:
        ConfigurationError: Something in it is wrong: all that is, with where it stands and what to write. No secret
            is quoted.
    """
    path = Path(path)
    problems = Problems(str(path))
    top = Table("", _parsed(path), problems)
    config = _Reader(top, problems, path.absolute().parent).config()
    top.done()
    problems.tell()
    return config


def _parsed(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            if os.name == "posix" and os.fstat(file.fileno()).st_mode & stat.S_IWOTH:
                raise ConfigurationError(
                    f"Every user of this machine may write to {path}, and so name commands for the hub to run. "
                    f"Run chmod o-w {path}."
                )
            content = file.read(_LARGEST)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}.") from None
    try:
        return tomllib.loads(content.decode())
    except UnicodeDecodeError:
        problem = "it is not UTF-8"
    except tomllib.TOMLDecodeError as error:
        problem = str(error)  # a place, and a key or a single character at most
    except (ValueError, RecursionError):
        problem = "a number in it is too long, or it is nested too deeply"
    raise ConfigurationError(f"{path} is no TOML: {problem}.")


class _Reader:
    """Reads the tables of one file, each in a method of its own."""

    def __init__(self, top: Table, problems: Problems, beside: Path) -> None:
        self._top, self._problems, self._beside = top, problems, beside

    def config(self) -> Config:
        top = self._top
        store = top.read("store", self._store)
        accounts, hosts = self._accounts(has_store="store" in top)
        config = Config(
            accounts=accounts,
            hosts=hosts,
            callers=self._callers(set(hosts)),
            secrets=top.read("secrets", self._secrets) or (),
            store=store,
            keep=top.get("keep", bool, store is not None),
            listen=top.read("listen", _listeners) or (address(_DEFAULT),),
            metrics=top.read("metrics", _measured) or (),
            socket_mode=top.read("socket_mode", _mode) or 0o660,
            audit=self._audit(),
            grace=self._grace(),
        )
        self._check_callers(config)
        self._check_listen(config)
        self._check_metrics(config)
        return config

    def _store(self, value: Any) -> str:
        if isinstance(value, str):
            if _PASSWORD.search(value):
                raise ConfigurationError(
                    f"a password does not stand in this file. Say where the whole URL lies: {FORMS}"
                )
            return value
        return reference(value, self._beside)()

    def _secrets(self, value: Any) -> tuple[str, ...]:
        if isinstance(value, dict):
            value = [value]
        if not isinstance(value, list):
            raise ConfigurationError(f"must be a list of {FORMS}")
        return tuple(reference(each, self._beside)() for each in value)

    def _audit(self) -> str:
        audit = self._top.get("audit", str, "stdout")
        return audit if audit in ("stdout", "stderr", "off") else str(self._beside / os.path.expanduser(audit))

    def _grace(self) -> float:
        grace = self._top.get("grace", float, GRACE)
        if not 0 < grace <= _LONGEST_GRACE:
            self._problems.add("grace", f"must be a positive number of seconds, {_LONGEST_GRACE} at most")
        return grace

    def _accounts(self, *, has_store: bool) -> tuple[dict[str, AccountConfig], dict[str, tuple[str, ...]]]:
        accounts, hosts = {}, {}
        tables = self._top.tables("accounts")
        if not tables:
            self._problems.add("[accounts]", "there is none. Write a table such as [accounts.wx0123456789abcdef]")
        for name, table in tables:
            found = self._account(name, table, has_store=has_store)
            hosts[name] = table.texts("hosts")
            table.done()
            if found is not None:
                accounts[name] = found
        return accounts, hosts

    def _account(self, name: str, table: Table, *, has_store: bool) -> AccountConfig | None:
        appid, corpid = table.maybe("appid", str), table.maybe("corpid", str)
        agentid: Any = table.read("agentid", _agentid)
        secret = table.read("secret", self._reference)
        source, follow = table.maybe("source", str), table.get("follow", bool, False)
        said = {key: table.maybe(key, str) for key in ("base_url", "realm")}
        more: dict[str, Any] = {key: value for key, value in said.items() if value is not None}
        with self._problems.at(table.where):
            if follow and not has_store:
                raise ConfigurationError("follow takes what another service puts into the store: name it, store = …")
            if not follow and secret is None and "secret" not in table:
                raise ConfigurationError(f"secret is missing. Say where it lies: secret = {FORMS}")
            if source is not None and (corpid is not None or source not in _SOURCES):
                raise ConfigurationError('source must be "stable" or "classic", and WeCom has none of them')
            if corpid is None:
                if agentid is not None:
                    raise ConfigurationError("agentid is WeCom's. Write corpid, too")
                return AccountConfig(
                    Account(appid or name, secret or "", **more), _SOURCES[source or "stable"](), follow
                )
            if appid is not None:
                raise ConfigurationError("appid and corpid are of two kinds of account. Leave one of them off")
            if "agentid" not in table:
                raise ConfigurationError("agentid is missing. It tells the apps of a corp apart")
            return AccountConfig(WeComAccount(corpid, secret or "", agentid=agentid, **more), WeComToken(), follow)
        return None

    def _reference(self, value: Any) -> Reference:
        found = reference(value, self._beside)
        found.check()
        return found

    def _callers(self, names: set[str]) -> tuple[Caller, ...]:
        found = []
        for name, table in self._top.tables("callers"):
            given: dict[str, Any] = {"keys": table.texts("keys"), "accounts": table.texts("accounts")}
            for key, kind in _OF_CALLERS.items():
                value = table.texts(key) if kind is list and key in table else table.maybe(key, kind)
                given |= {key: value} if value is not None else {}
            for key in ("keys", "accounts"):
                if key not in table:
                    self._problems.add(table.place(key), "is missing")
            table.done()
            for each in given["accounts"]:
                if each not in names:
                    self._problems.add(table.place("accounts"), f"there is no table [accounts.{each}]")
            with self._problems.at(table.where):
                found.append(Caller(name, **given))
        return tuple(found)

    def _check_callers(self, config: Config) -> None:
        with self._problems.at("[callers]"):
            check_keys(config.callers)
        if config.secrets == () and not self._problems.has("secrets"):  # those that cannot be read are told already
            with self._problems.at("secrets"):
                check_unsigned(config.callers)

    def _check_listen(self, config: Config) -> None:
        far = [str(each) for each in config.listen if not each.is_local]
        if far and not config.callers:
            self._problems.add(
                "listen",
                f"{far[0]} can be reached from other machines, and there are no callers. Add [callers.NAME], which "
                "`wxmiddleware serve --new-caller NAME` prints, or listen at 127.0.0.1 or a unix socket",
            )

    def _check_metrics(self, config: Config) -> None:
        may_be_far = self._top.get("metrics_open", bool, False)
        far = [str(each) for each in config.metrics if not each.is_local]
        if far and not may_be_far:
            self._problems.add(
                "metrics",
                f"{far[0]} can be reached from other machines, and who comes there is not asked for a key. Listen at "
                "127.0.0.1 or a unix socket, or say that all may read them: metrics_open = true",
            )
        both = [str(each) for each in config.metrics if each in config.listen and (each.path or each.port)]
        if both:
            self._problems.add("metrics", f"at {both[0]} the hub listens for callers. Take another address")


_OF_CALLERS: dict[str, type] = {
    "faces": list,
    "tokens": str,
    "paths": list,
    "rate": float,
    "longest_life": float,
    "margin": float,
    "keep_token": bool,
}


def _agentid(value: Any) -> int | str:
    if isinstance(value, int | str) and not isinstance(value, bool) and value != "":
        return value
    raise ConfigurationError("must be the AgentId of the app, a number")


def _measured(value: Any) -> tuple[Address, ...]:
    check_installed()
    return _listeners(value, _METRICS)


def _listeners(value: Any, like: str = _DEFAULT) -> tuple[Address, ...]:
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not texts or not all(isinstance(each, str) for each in texts):
        raise ConfigurationError(f'must be an address such as "{like}", or a list of them')
    return tuple(dict.fromkeys(map(address, texts)))


def _mode(value: Any) -> int:
    if not isinstance(value, str) or not _MODE.fullmatch(value):
        raise ConfigurationError('must be an octal number in quotes, such as "0660"')
    return int(value, 8)
