"""A simulated WeChat, a hub before it in a server of its own, and SDKs in programs, all on the test's clock."""

from __future__ import annotations

import json
import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from layouts.php import view
from processes.server import Kind, Server
from support import faketime, node
from support.prelude import SharedClock
from support.program import Program, environment

from wxmiddleware.hub import hash_key, new_key
from wxmiddleware.simulator import APICall, SimulatedApp, SimulatorServer, WeChat

HERE = Path(__file__).parent
CORP = "ww0123456789abcdef"
PICTURE = b"\xff\xd8\xff\xe0" + os.urandom(5000)
LIFE = 7200.0
_UVICORN = Kind("uvicorn", "uvicorn --port {port} --log-level warning hub.sdks.app:app", 1)


@dataclass(frozen=True)
class SDK:
    """
    One that is a client of the hub.

    Attributes:
        name: Also of its account in the hub, and of its callers.
        program: The file that drives it; for PHP the form in which it keeps its token.
        how: What the file is told besides.
        wecom: Whether it is for WeCom.
        can: What it can do beside a call.
    """

    name: str
    program: str
    how: str = ""
    wecom: bool = False
    can: tuple[str, ...] = ("upload", "ticket")

    @property
    def of_php(self) -> bool:
        """Whether each call is a page view of its own."""
        return not Path(self.program).suffix


class Article:
    """The article's class as a client: it lives for a page view, and its token where it keeps it."""

    def __init__(self, site: Site, form: str, told: dict[str, str]) -> None:
        self._site, self._form, self._told = site, form, told

    def ask(self, what: str) -> dict[str, Any]:
        """View a page."""
        assert what == "call"
        return view(self._form, self._told["WECHAT_BASE_URL"], ahead=self._site.ahead, **self._told)

    def close(self) -> None:
        """Nothing of it runs."""


class Client:
    """An SDK's object that lives in a program."""

    def __init__(self, program: Program) -> None:
        self._program = program

    def ask(self, what: str) -> dict[str, Any]:
        """Have it do something."""
        self._program.say(what)
        said: dict[str, Any] = json.loads(self._program.hear())
        return said

    def close(self) -> None:
        """End it."""
        self._program.close()


class Site:
    """
    What the SDKs of a table live in. Each has an account of its own, and two callers: one is given tokens of the hub's,
    and one, ``-direct``, WeChat's.

    Args:
        sdks: Which.
        place: A directory of its own.
        told: What PHP is told of its database and its memcached.
    """

    def __init__(self, sdks: tuple[SDK, ...], place: Path, told: dict[str, str]) -> None:
        self._told = {**told, "ARTICLE_FILE": str(place / "access_token.json")}
        self.place = place
        self.ahead = 0.0
        self.clock = SharedClock.create(place / "clock", float(int(time.time())))
        self._faketime = faketime.Ahead(place / "ahead")
        (place / "picture.jpg").write_bytes(PICTURE)
        self.wechat = WeChat(clock=self.clock, overlap=0.0, stable_forced_keeps_previous=False)
        self.wechat.route("/cgi-bin/media/upload", self._takes, method="POST")
        self.uploads: list[bytes] = []
        self.simulator = SimulatorServer(self.wechat).start()
        self._keys = {name: new_key() for sdk in sdks for name in (sdk.name, f"{sdk.name}-direct")}
        self._apps: dict[str, SimulatedApp] = {}
        self._appids: dict[str, str] = {}
        accounts = [self._account(number, sdk) for number, sdk in enumerate(sdks)]
        settings = {"accounts": accounts, "callers": self._callers(sdks), "secrets": [new_key()]}
        (place / "hub.json").write_text(json.dumps(settings))
        self._server = Server(_UVICORN, {"WX_TEST_HUB": str(place / "hub.json"), "WX_TEST_CLOCK": str(place / "clock")})
        self.url = self._server.url
        self._running: list[Client | Article] = []

    def _hub(self, port: int | None) -> Server:
        told = {"WX_TEST_HUB": str(self.place / "hub.json"), "WX_TEST_CLOCK": str(self.place / "clock")}
        return Server(_UVICORN, told, port)

    def kill_hub(self) -> None:
        """Kill the hub, and start it again; it has kept nothing."""
        self._server.close()
        self._server = self._hub(int(self.url.rpartition(":")[2]))

    def _account(self, number: int, sdk: SDK) -> dict[str, Any]:
        agentid, secret = 1000002 + number, f"{number:032x}"
        if sdk.wecom:
            self._appids[sdk.name] = CORP
            self._apps[sdk.name] = self.wechat.add_app(CORP, secret, agentid=agentid)
        else:
            self._appids[sdk.name] = f"wx{number:016x}"
            self.wechat.add_account(self._appids[sdk.name], secret)
        found = {"name": sdk.name, "appid": self._appids[sdk.name], "secret": secret, "base_url": self.simulator.url}
        return {**found, "agentid": agentid if sdk.wecom else None}

    def _callers(self, sdks: tuple[SDK, ...]) -> list[dict[str, Any]]:
        return [
            {"name": name, "keys": [hash_key(self._keys[name])], "accounts": [sdk.name], "tokens": tokens}
            for sdk in sdks
            for name, tokens in ((sdk.name, "hub"), (f"{sdk.name}-direct", "wechat"))
        ]

    def _takes(self, call: APICall) -> dict[str, Any]:
        self.uploads.append(call.body)
        return {"type": "image", "media_id": "MEDIA", "created_at": 1_700_000_000}

    def client(self, sdk: SDK, base: str, *, direct: bool = False, **told: str) -> Client | Article:
        """Start an SDK with this base URL, as the caller that is given the hub's tokens or WeChat's."""
        app = self._apps.get(sdk.name)
        told |= {
            "WECHAT_BASE_URL": base,
            "WECHAT_APPID": self._appids[sdk.name],
            "WECHAT_SECRET": self._keys[f"{sdk.name}-direct" if direct else sdk.name],
            "WECHAT_AGENTID": str(app.agentid if app is not None else 0),
            "WX_TEST_PICTURE": str(self.place / "picture.jpg"),
        }
        self._running.append(self._article(sdk, told) if sdk.of_php else self._program(sdk, told))
        return self._running[-1]

    def _article(self, sdk: SDK, told: dict[str, str]) -> Article:
        return Article(self, sdk.program, {**self._told, **told})

    def _program(self, sdk: SDK, told: dict[str, str]) -> Client:
        place = Path(tempfile.mkdtemp(dir=self.place))  # where one of them keeps files
        more: dict[str, Any] = {}
        if sdk.program.endswith(".cjs"):
            told = {**told, "NODE_PATH": node.packages()}
            more["runs"] = [node.node()]
        env = {**environment(measured=False), **self._faketime.environment, **told}
        words = [sdk.how] if sdk.how else []
        return Client(Program(HERE / sdk.program, *words, env=env, place=place, **more))

    def pass_time(self, seconds: float) -> None:
        """Let time pass for all."""
        self.ahead += seconds
        self.clock.advance(seconds)
        self._faketime.advance(seconds)

    def end_token(self, sdk: SDK, *, by_thief: bool) -> None:
        """End the token that WeChat gave last: another service has one fetched, or somebody resets the secret."""
        if sdk.wecom:
            self._apps[sdk.name].revoke()
        elif by_thief:
            self.wechat.steal(self._appids[sdk.name])
        else:
            assert self.wechat.revoke(self._appids[sdk.name])

    def fetches(self, sdk: SDK) -> int:
        """How often WeChat was asked for a token."""
        app = self._apps.get(sdk.name)
        return self.wechat.fetches(self._appids[sdk.name]) if app is None else app.fetches

    def texts(self, sdk: SDK) -> list[str | None]:
        """The messages that WeChat took from this account."""
        app = self._apps.get(sdk.name)
        if app is not None:
            return [each.text for each in self.wechat.sent if each.body.get("agentid") == app.agentid]
        return [each.text for each in self.wechat.sent if each.appid == self._appids[sdk.name]]

    def ticket(self, sdk: SDK) -> str | None:
        """The ticket for the JS-SDK that WeChat has given."""
        if sdk.wecom:
            (found,) = self.wechat._corps.tickets_of(CORP)
            return found
        return self.wechat.current_ticket(self._appids[sdk.name])

    def is_wechats(self, sdk: SDK, token: str | None) -> bool:
        """Whether WeChat takes this token."""
        return self.wechat._corps.app(token) is not None if sdk.wecom else self.wechat.is_valid(token)

    def end_clients(self) -> None:
        """End the SDKs' programs."""
        while self._running:
            self._running.pop().close()

    def close(self) -> None:
        """End all."""
        self.end_clients()
        self._server.close()
        self.simulator.stop()
        self.clock.__exit__()
