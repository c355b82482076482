"""The command ``wxmiddleware serve``: a hub, as one file describes it."""

from __future__ import annotations

import asyncio
import logging
import secrets
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from logging.handlers import WatchedFileHandler
from pathlib import Path
from typing import TYPE_CHECKING

from ..exceptions import ConfigurationError

if TYPE_CHECKING:
    from ..hub._audit import Listener
    from ..hub._config import AccountConfig, Config
    from ..hub._settings import Caller

_SPARE = 300  # files besides connections, such as the store's
_logger = logging.getLogger("wxmiddleware")


def serve(path: str) -> int:
    """
    Serve until Ctrl-C or SIGTERM; read the file again on SIGHUP.

    Args:
        path: The file.

    Returns:
        0.

    Raises:
        ConfigurationError: The file is wrong, a package is missing, or one of its addresses cannot be listened at.
    """
    from ..hub._config import read_config
    from ..hub._upstream import check_installed

    check_installed()
    from ..hub._server import note_hang_ups

    noted = note_hang_ups()
    config = read_config(path)
    _log_to_stderr()
    with _audited(config.audit):
        asyncio.run(_serve(Path(path), config, noted))
    return 0


async def _serve(path: Path, config: Config, noted: list[int]) -> None:
    from ..hub._listen import Listeners, name_of
    from ..hub._metrics import PATH, shown
    from ..hub._server import file_limit, run, server
    from ..hub._service import Service

    with (
        closing(Service(path, config, listeners=_counting(config))) as service,
        closing(Listeners(config.listen, config.socket_mode)) as listeners,
        closing(Listeners(config.metrics, config.socket_mode)) as metrics,
    ):
        connections = max(100, (file_limit() - _SPARE) // 2)  # a forwarded call has one to WeChat as well
        made = server(service, leave=service.hub.leave, grace=config.grace, connections=connections)
        service.keep()
        _warn(config)
        for each in metrics.sockets:
            _logger.info("The metrics are at %s, path %s.", name_of(each), PATH)
        for each in listeners.sockets:
            _logger.info("The hub listens at %s.", name_of(each))
        async with shown(metrics.sockets):
            await run(made, listeners.sockets, service.reload, noted)
        _logger.info("The hub has ended.")


def _counting(config: Config) -> list[Listener]:
    if not config.metrics:
        return []
    from ..prometheus import instrument

    return [instrument().hub_request]


def _warn(config: Config) -> None:
    if not config.callers:
        _logger.warning("There are no callers, so nobody can use the hub yet: wxmiddleware serve --new-caller NAME")
    for warning in _idle(config):
        _logger.warning("%s", warning)
    far = [str(each) for each in config.listen if not each.is_local]
    if far:
        _logger.warning(
            "%s can be reached from other machines, and speaks plain HTTP: keys and tokens can be read on the way. "
            "Put a proxy with TLS in front, unless the network is yours alone.",
            ", ".join(far),
        )
    if config.store is None:
        _logger.warning("There is no store: the tokens end with this process, and replicas would not share them.")


def _log_to_stderr() -> None:
    from .keep import log_to_stderr

    log_to_stderr()
    theirs = logging.getLogger("uvicorn")
    if not theirs.hasHandlers():
        theirs.handlers, theirs.propagate = list(_logger.handlers), False
    theirs.setLevel(logging.WARNING)


@contextmanager
def _audited(where: str) -> Iterator[None]:
    """Write the audit to its place while this runs."""
    from ..hub._audit import logger

    if where == "off":
        logger.propagate = False
        logger.setLevel(logging.CRITICAL)
        yield
        return
    handler: logging.Handler
    try:
        # It opens the file anew when logrotate has moved it.
        handler = (
            logging.StreamHandler(getattr(sys, where))
            if where in ("stdout", "stderr")
            else WatchedFileHandler(where, encoding="utf-8")
        )
    except OSError as error:
        raise ConfigurationError(f"audit: {where} cannot be written: {error.strerror}.") from None
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        handler.close()


def check(path: str) -> int:
    """
    Say what would be served, and try the store and the commands. WeChat is not asked.

    Args:
        path: The file.

    Returns:
        0.

    Raises:
        ConfigurationError: The file is wrong.
        StoreError: The store cannot be reached.
    """
    from ..hub._config import read_config
    from ..hub._stock import Stock

    config = read_config(path)
    stock = Stock(config)
    try:
        print(f"listen   {', '.join(map(str, config.listen))}")
        print(f"metrics  {', '.join(map(str, config.metrics)) or 'none'}")
        print(f"audit    {config.audit}")
        print(f"keep     {'yes' if config.keep else 'no'}")
        for name, account in config.accounts.items():
            print(_account(name, account, config.hosts[name]))
        for caller in config.callers:
            print(_caller(caller))
        for warning in _idle(config):
            print(f"warning  {warning}")
        _try_secrets(config)
        _try_store(config)
    finally:
        stock.release()
    return 0


def _account(name: str, each: AccountConfig, hosts: tuple[str, ...]) -> str:
    account, secret = each.account, each.account.secret
    whose = f"{name}" if name == account.appid else f"{name} ({account.appid})"
    how = "follows the store" if each.follow else f"{each.source.kind}, secret from {secret}"
    return f"account  {whose}: {how}, at {account.host}" + "".join(f", as {host}" for host in hosts)


def _caller(caller: Caller) -> str:
    keys = len(caller.keys)
    said = [
        f"{keys} key" if keys == 1 else f"{keys} keys",
        f"accounts {' '.join(caller.accounts) or 'none'}",
        f"faces {' '.join(caller.faces) or 'none'}",
        f"tokens of {'the hub' if caller.tokens == 'hub' else 'WeChat'}",
        *([] if tuple(caller.paths) == ("/",) else [f"paths {' '.join(caller.paths)}"]),
        *([] if caller.rate is None else [f"{caller.rate:g} requests a minute"]),
    ]
    return f"caller   {caller.name}: {', '.join(said)}"


def _idle(config: Config) -> list[str]:
    """Say which callers have no account. That is no mistake: so `--new-caller` prints one."""
    return [
        f"The caller {caller.name} may use nothing yet: [callers.{_quoted(caller.name)}] accounts is empty."
        for caller in config.callers
        if not caller.accounts
    ]


def _try_secrets(config: Config) -> None:
    """Run what gives secrets: a start does not, as the store may have a token."""
    for name, each in config.accounts.items():
        if callable(each.account.secret):
            try:
                each.account.secret()
            except ConfigurationError as error:
                raise ConfigurationError(f"[accounts.{name}] secret: {error}.") from None


def _try_store(config: Config) -> None:
    if config.store is None:
        print("store    none: the tokens end with the process")
        return
    from .store import FleetStore

    with FleetStore(config.store) as store:
        store.load("wx")
        print(f"store    {store!r} answers")


def new_caller(name: str) -> int:
    """
    Make a key, and print it once with what belongs into the file.

    Args:
        name: The caller's.

    Returns:
        0.

    Raises:
        ConfigurationError: It is no name for a caller.
    """
    from ..hub import Caller, hash_key, new_key

    key = new_key()
    kept = hash_key(key)
    Caller(name, [kept], [])
    print(f'[callers.{_quoted(name)}]\nkeys = ["{kept}"]\naccounts = []  # names of tables [accounts.…]')
    # So that `>> hub.toml` does not take the key along.
    print(f"\nThe key of {name}, shown once; it goes where the caller has its AppSecret:\n", file=sys.stderr)
    print(key, file=sys.stderr)
    return 0


def _quoted(name: str) -> str:
    return f'"{name}"' if "." in name else name


def new_secret() -> int:
    """
    Print a new secret for the hub's own tokens.

    Returns:
        0.
    """
    print(secrets.token_urlsafe(32))
    return 0
