"""What happened, told to logging and to observers. Which events a refresh makes: tests/engine."""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import FrozenInstanceError, asdict, fields
from pathlib import Path
from typing import Any

import pytest
from stores.redis_server import RedisServer
from support.background import landed
from support.sources import EndlessSource

from wxmiddleware import Runtime, TokenProvider
from wxmiddleware._engine.events import EventType, TokenEvent, log, logger, notify
from wxmiddleware._rules.models import Account, Cause
from wxmiddleware.simulator import SimulatorServer, WeChat

FULL = TokenEvent(
    EventType.FETCH_FAILED,
    "wx1",
    "stable",
    "No.",
    generation=3,
    seconds=0.25,
    reason="ahead",
    cause=Cause.PERMANENT,
    errcode=40013,
    rid="a-b-c",
    store="RedisStore(127.0.0.1:6379, db=0)",
    mirror="ArticleTable(wx_token, access_token)",
    app="1000002",
    at=1.5,
)


def event(name: EventType = EventType.FETCH_DONE) -> TokenEvent:
    return TokenEvent(name, "wx1", "stable", "Something happened.")


def test_frozen() -> None:
    """An observer cannot change what the next one sees."""
    with pytest.raises(FrozenInstanceError):
        FULL.message = "else"  # type: ignore[misc]


class TestLog:
    def test_fields(self, caplog: pytest.LogCaptureFixture) -> None:
        """Every field of an event is an attribute of its log record."""
        with caplog.at_level(logging.DEBUG, "wxmiddleware"):
            log(FULL)

        (record,) = caplog.records
        assert {f"wx_{name}": value for name, value in asdict(FULL).items()} == {
            name: value for name, value in vars(record).items() if name.startswith("wx_")
        }
        assert (record.name, record.getMessage()) == ("wxmiddleware", "fetch_failed (appid wx1, stable): No.")

    def test_no_field_without_a_value(self, caplog: pytest.LogCaptureFixture) -> None:
        """What an event does not have is not in its record."""
        with caplog.at_level(logging.DEBUG, "wxmiddleware"):
            log(event())

        assert {"wx_name", "wx_appid", "wx_kind", "wx_message", "wx_at"} == {
            name for name in vars(caplog.records[0]) if name.startswith("wx_")
        }

    @pytest.mark.parametrize(
        ("name", "level"),
        [
            (EventType.FETCH_BEGUN, logging.DEBUG),
            (EventType.FETCH_DONE, logging.INFO),
            (EventType.FETCH_FAILED, logging.WARNING),
            (EventType.ADOPTED, logging.DEBUG),
            (EventType.KEPT, logging.WARNING),
            (EventType.REJECTED, logging.WARNING),
            (EventType.HEALED, logging.INFO),
            (EventType.NOT_HEALED, logging.INFO),
            (EventType.BACKING_OFF, logging.WARNING),
            (EventType.OTHER_SYSTEM, logging.WARNING),
            (EventType.OWNER_LATE, logging.WARNING),
            (EventType.STORE_FAILED, logging.WARNING),
            (EventType.STORE_BACK, logging.INFO),
            (EventType.STORE_LAGS, logging.WARNING),
            (EventType.MIRROR_FAILED, logging.WARNING),
            (EventType.MIRROR_BACK, logging.INFO),
        ],
    )
    def test_level(self, name: EventType, level: int, caplog: pytest.LogCaptureFixture) -> None:
        """What a person should look at is a warning."""
        with caplog.at_level(logging.DEBUG, "wxmiddleware"):
            log(event(name))

        assert [level] == [record.levelno for record in caplog.records]

    def test_levels_cover_every_happening(self) -> None:
        """The table above is whole."""
        marks = TestLog.test_level.pytestmark  # type: ignore[attr-defined]

        assert set(EventType) == {row[0] for row in marks[0].args[1]}

    def test_no_clash_with_logging(self) -> None:
        """No field's name is one that logging keeps for itself, which would be a KeyError."""
        own = vars(logging.LogRecord("n", 10, "p", 1, "m", (), None))

        assert [] == [one.name for one in fields(TokenEvent) if f"wx_{one.name}" in own]

    def test_below_the_level_nothing_is_made(self, caplog: pytest.LogCaptureFixture) -> None:
        """A record below the logger's level does not exist."""
        with caplog.at_level(logging.WARNING, "wxmiddleware"):
            log(event())

        assert [] == caplog.records

    def test_warnings_by_default(self) -> None:
        """A program that has not set up logging sees warnings and errors on stderr, and nothing less."""
        code = (
            "from wxmiddleware._engine.events import TokenEvent, EventType, notify\n"
            "def broken(event): raise ValueError\n"
            "notify([TokenEvent(name, 'wx1', 'stable', 'No.') for name in EventType], [])\n"
            "notify([TokenEvent(EventType.HEALED, 'wx1', 'stable', 'No.')], [broken])\n"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
        told = [line.partition(" (")[0] for line in done.stderr.splitlines()]

        assert (0, "") == (done.returncode, done.stdout)
        assert [
            "fetch_failed",
            "rejected",
            "kept",
            "backing_off",
            "other_system",
            "owner_late",
            "store_failed",
            "store_lags",
            "mirror_failed",
        ] == told[:-1]
        assert "An observer of wxmiddleware's events raised ValueError." == told[-1]

    def test_goes_through_to_the_root(self) -> None:
        """A program that has set up logging sees it without doing anything for this package."""
        code = (
            "import logging, wxmiddleware, wxmiddleware.wsgi, wxmiddleware.requests\n"
            "logger = logging.getLogger('wxmiddleware')\n"
            "print(logger.propagate, logger.handlers, logger.level)\n"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)

        assert f"True [] {logging.NOTSET}\n" == done.stdout


_PASSWORD = """
from wxmiddleware.stores.redis import RedisStore
store = RedisStore.from_url("redis://:wrong-s3cret@127.0.0.1:{redis}/0")
with TokenProvider(Account("{appid}", "{secret}", base_url="{url}"), store=store) as provider:
    provider.get_token()
store.close()
"""
_DEAD = """
with TokenProvider(Account("{appid}", "{secret}", base_url="{url}")) as provider:
    provider.get_token(rejected=provider.get_token())
"""
_SECRET = """
with TokenProvider(Account("{appid}", "wrong-s3cret", base_url="{url}")) as provider:
    try:
        provider.get_token()
    except TokenError:
        pass
"""
_PUSH = """
from werkzeug.test import Client
from wxmiddleware.webhook.wsgi import WebhookMiddleware
Client(WebhookMiddleware(lambda environ, start: [], path="/w", token="s3cret")).post("/w")
"""
_TROUBLES = {
    "a wrong password": (_PASSWORD, "store_failed"),
    "a dead token": (_DEAD, "rejected"),
    "a wrong secret": (_SECRET, "fetch_failed"),
    "a refused push": (_PUSH, "Refused a push to the webhook"),
}


@pytest.mark.parametrize(
    "trouble",
    [pytest.param(name, marks=pytest.mark.servers if "redis" in code else ()) for name, (code, _) in _TROUBLES.items()],
)
def test_trouble_is_seen(trouble: str, wechat: WeChat, wechat_server: SimulatorServer, tmp_path: Path) -> None:
    """Each of these leaves a line on the stderr of a program that has configured nothing, without a secret in it."""
    code, told = _TROUBLES[trouble]
    with RedisServer(tmp_path, "--requirepass", "right") if "redis" in code else nullcontext() as redis:
        names = {"appid": wechat.appid, "secret": wechat.secret, "url": wechat_server.url}
        code = "from wxmiddleware import *" + code.format(**names, redis=getattr(redis, "port", 0))
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)

    assert (0, "") == (done.returncode, done.stdout), done.stderr
    assert told in done.stderr
    assert "s3cret" not in done.stderr
    assert wechat.secret not in done.stderr


ANYTHING = [ValueError("x"), RuntimeError(), MemoryError(), StopIteration(), concurrent.futures.CancelledError()]
# These end a thread or a task; an observer that calls into gevent or asyncio may raise them by accident.
ENDS = [asyncio.CancelledError(), SystemExit(1)]


class TestTell:
    def test_order(self) -> None:
        """Events come one after the other, each to every observer."""
        seen: list[tuple[str, str]] = []
        events = [event(EventType.FETCH_BEGUN), event(EventType.FETCH_DONE)]

        notify(events, [lambda e: seen.append(("a", e.name)), lambda e: seen.append(("b", e.name))])

        assert [("a", "fetch_begun"), ("b", "fetch_begun"), ("a", "fetch_done"), ("b", "fetch_done")] == seen

    def test_every_observer_sees_every_event(self) -> None:
        """Observers that come as an iterator are not used up by the first event."""
        seen: list[TokenEvent] = []

        notify([FULL, event()], iter([seen.append]))

        assert [FULL, event()] == seen

    @pytest.mark.parametrize("raised", ANYTHING, ids=lambda e: type(e).__name__)
    def test_survives(self, raised: Exception, caplog: pytest.LogCaptureFixture) -> None:
        """What an observer raises is logged by its name alone, and the others are told all the same."""
        seen: list[TokenEvent] = []

        def broken(_: TokenEvent) -> None:
            raise raised

        notify([FULL], [broken, seen.append])

        assert [FULL] == seen
        assert f"An observer of wxmiddleware's events raised {type(raised).__name__}." in caplog.messages
        assert [] == [record for record in caplog.records if record.exc_info]

    def test_a_broken_logging_handler(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A handler of the program's that raises does not keep the observers from being told."""
        seen: list[TokenEvent] = []

        class Broken(logging.Handler):
            def handle(self, record: logging.LogRecord) -> bool:
                raise ValueError

        monkeypatch.setattr(logger, "handlers", [Broken()])
        notify([FULL], [seen.append])

        assert [FULL] == seen


def provider(observer: Any, appid: str) -> tuple[TokenProvider, EndlessSource]:
    source = EndlessSource("T{number}")
    now = [0.0]
    made = TokenProvider(
        Account(appid, "secret"),
        source=source,
        observers=[observer],
        runtime=Runtime(clock=lambda: now[0], time=lambda: 1.7e9),
    )
    return made, source


@pytest.fixture
def refreshes_end(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What ends a flight's thread, once everything is done, is not the test's business."""
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    yield
    landed()


class TestObserversOfAProvider:
    @pytest.mark.parametrize("raised", [*ANYTHING, *ENDS], ids=lambda e: type(e).__name__)
    @pytest.mark.usefixtures("refreshes_end")
    def test_harm_nothing(self, raised: BaseException) -> None:
        """Callers get their tokens, whatever an observer raises at whichever event."""
        seen = []

        def broken(happened: TokenEvent) -> None:
            seen.append(happened.name)
            raise raised

        made, source = provider(broken, f"wx-{type(raised).__name__}")
        first = made.get_token()
        try:
            second = made.get_token(rejected=first)
        except BaseException as exc:
            pytest.fail(f"The caller got {type(exc).__name__}.")

        landed()

        assert ("T1", "T2", 2) == (first, second, source.fetches)
        assert EventType.REJECTED in seen

    def test_may_ask_for_a_token(self) -> None:
        """An observer that uses the provider is outside every lock and finds the new token."""
        got: list[str] = []
        told = threading.Event()

        def asks(happened: TokenEvent) -> None:
            if happened.name is EventType.FETCH_DONE:
                got.append(made.get_token())
                told.set()

        made, _ = provider(asks, "wx-asks")
        made.get_token()

        assert told.wait(10)
        assert ["T1"] == got

    def test_told_after_the_callers_are_served(self) -> None:
        """A slow observer keeps nobody waiting."""
        go_on, told = threading.Event(), threading.Event()

        def slow(happened: TokenEvent) -> None:
            told.set()
            go_on.wait(10)

        made, _ = provider(slow, "wx-slow")
        token = made.get_token(timeout=5)
        go_on.set()

        assert token == "T1"
        assert told.wait(10)
