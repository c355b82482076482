"""
Whatever goes wrong, neither the secret nor a token shows: not in an error, what is behind it, an event or a log record.

The log is that of every package, at DEBUG: urllib3 logs the path and query of every request there, and with
`ClassicToken` the secret is in the query.
"""

from __future__ import annotations

import io
import logging
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any
from urllib.parse import quote

import anyio
import pytest
from support.background import landed
from support.leaks import everything_logged, shown

from wxmiddleware import (
    Account,
    ClassicToken,
    ConfigurationError,
    Runtime,
    StableToken,
    TokenError,
    TokenEvent,
    TokenProvider,
)
from wxmiddleware.simulator import SimulatedClock, SimulatorServer, WeChat
from wxmiddleware.sources import Grant

EVERYWHERE = "/cgi-bin/*"
LEAKED = '{"access_token":"88_leakedleakedleaked","expires_in":%s}'


class Scene:
    """A simulated WeChat, and a provider that has had a token from it once."""

    def __init__(self, wechat: WeChat, server: SimulatorServer, clock: SimulatedClock, source: Any) -> None:
        self.wechat = wechat
        self.server = server
        self.clock = clock
        self.source = source
        self.url = server.url
        self.secret = wechat.secret
        self.events: list[TokenEvent] = []

    def fault(self, kind: str, **options: Any) -> None:
        self.wechat.faults.add(EVERYWHERE, kind, times=None, **options)

    def provider(self) -> TokenProvider:
        account = Account(self.wechat.appid, self.secret, base_url=self.url)
        return TokenProvider(
            account,
            source=self.source,
            runtime=Runtime(clock=self.clock, time=self.clock),
            observers=[self.events.append],
        )


def no_dns(scene: Scene) -> None:
    scene.url = "http://wechat.invalid"


def stopped(scene: Scene) -> None:
    scene.server.stop()


def no_tls(scene: Scene) -> None:
    scene.url = scene.url.replace("http:", "https:")


def impossible_host(scene: Scene) -> None:
    scene.url = "http://x..y"


def wrong_secret(scene: Scene) -> None:
    scene.secret = scene.secret[::-1]


def ip_not_allowed(scene: Scene) -> None:
    scene.wechat.accounts[scene.wechat.appid].ip_allowlist = ["10.0.0.1"]


def broken_source(scene: Scene) -> None:
    class Broken:
        kind, timeout, refresh_ahead, revokes_previous, can_force = "broken", 5.0, 600.0, True, False

        def fetch(self, account: Account, *, force: bool = False) -> Grant:
            raise RuntimeError(account.secret, account)

    scene.source = Broken()


def fault(kind: str, **options: Any) -> Callable[[Scene], None]:
    def add(scene: Scene) -> None:
        scene.fault(kind, **options)

    add.__name__ = "-".join([kind, *map(str, options.values())])[:40]
    return add


def quoting(kind: str, text: str, **options: Any) -> Callable[[Scene], None]:
    def add(scene: Scene) -> None:
        said = text.replace("SECRET", scene.secret)
        scene.fault(kind, **{**options, "errmsg" if kind == "errcode" else "body": said})

    add.__name__ = f"{kind}-that-quotes"
    return add


TROUBLES: list[Callable[[Scene], None]] = [
    no_dns,
    stopped,
    no_tls,
    impossible_host,
    wrong_secret,
    ip_not_allowed,
    broken_source,
    fault("hang"),
    fault("trickle", seconds=0.05),
    fault("reset", executed=False),
    fault("reset", executed=True),
    fault("lost"),
    fault("half"),
    fault("empty"),
    fault("html"),
    fault("status", status=500),
    fault("status", status=302),
    fault("status", status=404),
    fault("errcode", errcode=-1),
    fault("errcode", errcode=40013),
    fault("errcode", errcode=40125),
    fault("errcode", errcode=45009),
    fault("errcode", errcode=89503),
    fault("body", body=LEAKED % "0"),
    fault("body", body=LEAKED % '"abc"'),
    fault("body", body=LEAKED % "1e999"),
    fault("body", body=LEAKED % '7200,"errcode":40013'),
    fault("body", body=LEAKED % "7200" + "x"),
    fault("body", body=LEAKED % "7200" + "x" * 100_000),
    fault("body", body='{"access_token":["88_leakedleakedleaked"],"expires_in":7200}'),
    quoting("html", "<html>GET /cgi-bin/token?secret=SECRET</html>"),
    quoting("status", "GET /cgi-bin/token?secret=SECRET", status=502),
    quoting("errcode", "no route: /cgi-bin/token?secret=SECRET", errcode=40066),
    quoting("errcode", "invalid ip SECRET, not in whitelist", errcode=40164),
    quoting("errcode", "busy hint: [SECRET]", errcode=-1),
]


@pytest.fixture(scope="module")
def one_server() -> Iterator[SimulatorServer]:
    """One for the whole file: starting one for each test would take most of its time."""
    with SimulatorServer(WeChat(clock=SimulatedClock(), overlap=0)) as server:
        yield server


@pytest.fixture(params=[StableToken, ClassicToken], ids=["stable", "classic"])
def scene(
    request: pytest.FixtureRequest, one_server: SimulatorServer, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Scene]:
    wechat = one_server.wechat
    wechat.revoke()
    resolve = socket.getaddrinfo

    def resolve_here(host: Any, *args: Any, **options: Any) -> Any:
        if host == "wechat.invalid":
            raise socket.gaierror(-2, "Name or service not known")
        return resolve(host, *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", resolve_here)
    # A clock of the client's own is a cache of its own.
    clock = SimulatedClock(wechat.clock())
    trouble = request.node.callspec.params.get("trouble")
    impatient = getattr(trouble, "__name__", "").startswith(("hang", "trickle"))
    yield Scene(wechat, one_server, clock, request.param(connect_timeout=1.0, timeout=1.0 if impatient else 5.0))
    wechat.faults.clear()
    wechat.accounts[wechat.appid].ip_allowlist = None
    with suppress(ConfigurationError):  # it runs already
        one_server.start()
    assert wechat.wait_for(lambda: wechat.in_progress == 0)  # what hung goes on now


@pytest.fixture(params=["thread", "asyncio"])
def get(request: pytest.FixtureRequest) -> Callable[..., str]:
    if request.param == "thread":
        return TokenProvider.get_token
    return lambda provider, rejected=None: anyio.run(provider.aget_token, rejected)


@pytest.fixture
def logged() -> Iterator[io.StringIO]:
    """All that is logged at DEBUG, by anybody."""
    with everything_logged() as text:
        yield text


def failing(provider: TokenProvider, get: Callable[..., str], *rejected: str) -> TokenError:
    with pytest.raises(TokenError) as caught:
        get(provider, *rejected)
    return caught.value


def check(scene: Scene, errors: list[TokenError], logged: io.StringIO, *tokens: str) -> None:
    landed()
    everything = "\n".join([*map(shown, errors), repr(scene.events), logged.getvalue()])
    hidden = {scene.secret, scene.wechat.secret, quote(scene.secret, safe=""), "88_leakedleaked", *tokens}

    assert errors
    assert "backing_off" in logged.getvalue()
    assert [] == [one[:3] + "..." for one in hidden if one in everything]


@pytest.mark.parametrize("trouble", TROUBLES, ids=lambda trouble: trouble.__name__)
def test_first_fetch(
    scene: Scene, trouble: Callable[[Scene], None], get: Callable[..., str], logged: io.StringIO
) -> None:
    """Nothing shows of the secret when there is no token yet, at once or when the failure is remembered."""
    trouble(scene)
    provider = scene.provider()
    errors = [failing(provider, get), failing(provider, get)]

    check(scene, errors, logged)


@pytest.mark.parametrize("trouble", TROUBLES[6:], ids=lambda trouble: trouble.__name__)
def test_refused_token(scene: Scene, trouble: Callable[[Scene], None], logged: io.StringIO) -> None:
    """Nothing shows of the token, either, when it was rejected and cannot be replaced."""
    provider = scene.provider()
    token = provider.get_token()
    scene.wechat.revoke()
    if trouble is broken_source:
        broken_source(scene)
        provider = scene.provider()
    else:
        trouble(scene)
    error = failing(provider, TokenProvider.get_token, token)

    check(scene, [error], logged, token)


def test_success(scene: Scene, get: Callable[..., str], logged: io.StringIO) -> None:
    """Nothing shows where nothing goes wrong: of the first token, the next ones, the provider, its status."""
    provider = scene.provider()
    tokens = [get(provider)]
    scene.wechat.steal()
    tokens.append(get(provider, tokens[0]))
    scene.clock.advance(7200)
    assert isinstance(scene.wechat.clock, SimulatedClock)
    scene.wechat.clock.advance(7200)
    tokens.append(get(provider))
    provider.confirm(tokens[-1])
    landed()
    everything = f"{provider!r} {provider.status()!r} {provider.account!r} {scene.events!r} {logged.getvalue()}"

    assert len(set(tokens)) == 3
    assert logged.getvalue().count("fetch_done") >= 3
    assert [] == [one[:3] for one in (scene.secret, *tokens) if one in everything]


def test_encoded_secret(scene: Scene, get: Callable[..., str], logged: io.StringIO) -> None:
    """A secret that a gateway quotes as it stood in the URL is masked, too."""
    scene.secret = "s3cr+t/s3cr+t=="
    scene.fault("errcode", errcode=-1, errmsg=f"no route: /cgi-bin/token?secret={quote(scene.secret, safe='')}")

    check(scene, [failing(scene.provider(), get)], logged)


def test_the_check_itself(logged: io.StringIO) -> None:
    """What these tests look through would show a secret, wherever it were."""
    for place in ("args", "attribute", "note", "cause", "context"):
        error = TokenError("x" if place != "args" else "s3cret")
        if place == "attribute":
            error.errmsg = "s3cret"
        if place == "note":
            error.add_note("s3cret")
        if place == "cause":
            error.__cause__ = ValueError("s3cret")
        if place == "context":
            error.__context__ = ValueError(ValueError("s3cret"))

        assert "s3cret" in shown(error)
    logging.getLogger("wxmiddleware.x").debug("x", extra={"y": "s3cret"})

    assert "s3cret" in logged.getvalue()
