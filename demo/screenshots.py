"""
``python -m demo.screenshots``, which is what ``make screenshots`` runs: the status page, as the README shows it.

Five hours of two accounts are played against the simulated WeChat, in a second: tokens renewed in time, one stolen by
another system, a fetch that fails, an address that WeChat does not allow. Then chromium takes the pictures.
"""

from __future__ import annotations

import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from wxmiddleware import Account, Runtime, TokenError, TokenProvider
from wxmiddleware.simulator import SimulatedClock, SimulatorServer, WeChat
from wxmiddleware.status import StatusPage
from wxmiddleware.stores.jsonfile import JSONFileStore

from ._browser import Browser, missing

_HERE = Path(__file__).parent.parent / "docs" / "images"
_STABLE = "/cgi-bin/stable_token"
_ACCOUNTS = {"wx8a1b2c3d4e5f6071": "5" * 32, "wx91c2d3e4f5061728": "7" * 32}
_STEP, _STEPS = 60, 5 * 60  # five hours, a minute at a time
LARGEST = 150_000  # bytes of one picture


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Silent(WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def played(folder: Path) -> Iterator[StatusPage]:
    """
    Play the five hours.

    Args:
        folder: Where the tokens are kept.
    """
    clock = SimulatedClock(time.time() - _STEP * _STEPS)
    wechat = WeChat(clock=clock, overlap=0)
    for name, secret in _ACCOUNTS.items():
        wechat.add_account(name, secret)
    with SimulatorServer(wechat) as server:
        store, runtime = JSONFileStore(folder / "tokens.json", clock=clock), Runtime(clock=clock, time=clock)
        providers = [
            TokenProvider(Account(name, secret, base_url=server.url), store=store, runtime=runtime)
            for name, secret in _ACCOUNTS.items()
        ]
        page = StatusPage(*providers, runtime=runtime)
        for minute in range(_STEPS):
            _minute(minute, wechat, providers)
            clock.advance(_STEP)
        _refused(wechat, providers[1])
        clock.advance(20)
        yield page


def _minute(minute: int, wechat: WeChat, providers: list[TokenProvider]) -> None:
    for provider in providers:
        token = provider.get_token()
        flight = provider._own.flight
        if flight is not None:
            flight.wait(10.0)
        if minute == 140 and provider is providers[0]:
            wechat.steal(provider.account.appid, "stable")
            provider.get_token(rejected=token)
    if minute in (250, 255):
        wechat.faults.add(_STABLE, "errcode", errcode=-1)


def _refused(wechat: WeChat, provider: TokenProvider) -> None:
    """Another way out of the network, whose address WeChat does not know."""
    wechat.revoke(provider.account.appid)
    wechat.faults.add(_STABLE, "errcode", errcode=40164)
    with suppress(TokenError):
        provider.get_token(rejected=provider.get_token())


@contextmanager
def _served(page: StatusPage) -> Iterator[str]:
    with make_server("127.0.0.1", 0, page, _Server, _Silent) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            serving.join()


def main() -> int:
    """
    Take the pictures.

    Returns:
        0; 1 if chromium is missing, or a picture is too large.
    """
    if absent := missing():
        print(f"Install Debian's {' and '.join(absent)} first.", file=sys.stderr)
        return 1
    _HERE.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        played(Path(folder)) as page,
        _served(page) as url,
        Browser.started() as browser,
    ):
        for language in ("en", "zh"):
            browser.be(760, height=760)
            browser.open(f"{url}?lang={language}")
            browser.picture(_HERE / f"status-{language}.png", whole=False)
    found = {each.name: each.stat().st_size for each in sorted(_HERE.glob("status-*.png"))}
    print("\n".join(f"{name}: {size} bytes" for name, size in found.items()))
    return int(max(found.values()) > LARGEST)


if __name__ == "__main__":
    sys.exit(main())
