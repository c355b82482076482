"""The command ``wxmiddleware simulate``."""

from __future__ import annotations

import secrets
import shlex
import sys
import threading
import time
from collections.abc import Sequence
from typing import Any, TextIO

from wxmiddleware.exceptions import ConfigurationError

from ..simulator._clock import SimulatedClock
from ..simulator._log import LogEntry
from ..simulator._server import SimulatorServer
from ..simulator._wechat import WeChat
from .signals import set_by_signals

_MOST_ACCOUNTS = 100


def simulate(
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    admin: bool = True,
    hosts: Sequence[str] = (),
    accounts: int = 1,
    platform: bool = False,
    wecom: bool = False,
    suite: bool = False,
    quiet: bool = False,
    speed: float = 1.0,
    out: TextIO | None = None,
    stop: threading.Event | None = None,
    **knobs: Any,
) -> int:
    """
    Run a simulated WeChat until Ctrl-C or SIGTERM, and tell the shell's user how to reach it.

    Args:
        host: The address to listen on.
        port: The port, or 0 for a free one.
        admin: Also serve ``/_simulator/``.
        hosts: Other names under which ``/_simulator/`` is served.
        accounts: How many accounts there are.
        platform: Have a third-party platform there, too, with a ticket, and an ``auth_code`` of each account.
        wecom: Have a WeCom corp with an app there, too.
        suite: Have a provider of WeCom with a suite there, too, with a ticket, and the ``auth_code`` of a corp.
        quiet: Print no line per request.
        speed: Simulated seconds per real second; 60 lets a token die after two minutes.
        out: Where to print; by default the standard output.
        stop: Another way to end it.
        knobs: The other arguments of :class:`WeChat`: ``appid``, ``secret``, ``overlap``, ``lifetime``, ...

    Returns:
        0.

    Raises:
        ConfigurationError: An argument is of no use.
        OSError: The port is taken.
    """
    if isinstance(accounts, bool) or not isinstance(accounts, int) or not 1 <= accounts <= _MOST_ACCOUNTS:
        raise ConfigurationError(f"accounts is how many there are, 1 to {_MOST_ACCOUNTS}; got {accounts!r}.")
    out = sys.stdout if out is None else out
    stop = threading.Event() if stop is None else stop
    wechat = WeChat(clock=SimulatedClock(time.time(), speed), **knobs)
    with set_by_signals(stop), SimulatorServer(wechat, host, port, admin=admin, hosts=hosts) as server:
        print(f"A simulated WeChat answers at {server.url}. Ctrl-C ends it.\n", file=out)
        # The secrets are made up here, open nothing and have to be known to be used.
        names = {"WECHAT_APPID": wechat.appid, "WECHAT_SECRET": wechat.secret, "WECHAT_BASE_URL": server.url}
        for number in range(2, accounts + 1):
            account = wechat.add_account(f"wx{secrets.token_hex(8)}", secrets.token_hex(16))
            names |= {f"WECHAT_APPID_{number}": account.appid, f"WECHAT_SECRET_{number}": account.secret}
        if platform:
            names |= _platform(wechat)
        if suite:
            names |= {**_suite(wechat), "WECOM_BASE_URL": server.url}
        if wecom:
            corpid, secret = f"ww{secrets.token_hex(8)}", secrets.token_urlsafe(32)
            app = wechat.add_app(corpid, secret)
            names |= {"WECOM_CORPID": corpid, "WECOM_SECRET": secret, "WECOM_BASE_URL": server.url}
            names["WECOM_AGENTID"] = str(app.agentid)
        for name, value in names.items():
            print(f"export {name}={shlex.quote(value)}", file=out)
        if admin:
            print(f"\ncurl {server.url}/_simulator/state", file=out)
            print(f"curl -X POST {server.url}/_simulator/steal", file=out)
            if wechat.overlap:
                hint = (
                    f"the stolen token lives on for {wechat.overlap:.0f} s, as at WeChat; --overlap 0 kills it at once"
                )
                print(f"  # {hint}", file=out)
            fault = '{"path": "/cgi-bin/stable_token", "kind": "errcode", "errcode": 40164}'
            print(f"curl -X POST {server.url}/_simulator/faults --json {shlex.quote(fault)}", file=out)
            print(f"curl -X POST '{server.url}/_simulator/advance?seconds=7200'", file=out)
            if platform:
                print(f"curl -X POST {server.url}/_simulator/ticket", file=out)
                print(f"curl -X POST '{server.url}/_simulator/authorise?appid={wechat.appid}'", file=out)
        print(file=out, flush=True)
        _follow(wechat, stop, None if quiet else out)
    return 0


def _platform(wechat: WeChat) -> dict[str, str]:
    made = wechat.add_platform(f"wx{secrets.token_hex(8)}", secrets.token_hex(16))
    names = {"WECHAT_COMPONENT_APPID": made.appid, "WECHAT_COMPONENT_SECRET": made.secret}
    names["WECHAT_COMPONENT_TICKET"] = made.push_ticket()
    for number, appid in enumerate(wechat.accounts, 1):
        names["WECHAT_AUTH_CODE" if number == 1 else f"WECHAT_AUTH_CODE_{number}"] = made.authorise(appid)
    return names


def _suite(wechat: WeChat) -> dict[str, str]:
    provider = wechat.add_provider(f"ww{secrets.token_hex(8)}", secrets.token_urlsafe(32))
    made = provider.add_suite(f"ww{secrets.token_hex(8)}", secrets.token_urlsafe(32))
    names = {"WECOM_PROVIDER_CORPID": provider.corpid, "WECOM_PROVIDER_SECRET": provider.secret}
    names |= {"WECOM_SUITE_ID": made.suite_id, "WECOM_SUITE_SECRET": made.secret}
    return {**names, "WECOM_SUITE_TICKET": made.push_ticket(), "WECOM_AUTH_CODE": made.install("ww0000000000000001")}


def _follow(wechat: WeChat, stop: threading.Event, out: TextIO | None) -> None:
    shown = 0

    def news() -> bool:
        return stop.is_set() or wechat._ledger.newest() != shown

    while not stop.is_set():
        wechat.wait_for(news, timeout=0.2)
        newest = wechat._ledger.newest()
        if newest < shown:  # reset_counters() starts the numbers again
            shown = 0
        for entry in wechat.log if newest != shown and out is not None else ():
            if shown < entry.number:
                print(line(entry), file=out, flush=True)
        shown = newest


def line(entry: LogEntry) -> str:
    """Write one request as one line."""
    at = time.strftime("%H:%M:%S", time.localtime(entry.at))
    status = "----" if entry.status is None else str(entry.status)
    parts = [at, f"{entry.method:<4}", status, entry.path]
    if entry.errcode:
        parts.append(f"errcode {entry.errcode}")
    if entry.errcode == 40066:
        parts.append("the simulator does not play this API")
    if entry.fault:
        parts.append(f"fault {entry.fault}")
    return "  ".join(parts)
