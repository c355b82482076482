"""Sets the stage, plays the story, and leaves nothing behind."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import secrets
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from wxmiddleware._rules.models import Account, Record
from wxmiddleware.cli.inspect import keys_of
from wxmiddleware.cli.store import FleetStore
from wxmiddleware.exceptions import ConfigurationError, StoreError
from wxmiddleware.simulator import SimulatorServer
from wxmiddleware.webhook._names import Names
from wxmiddleware.webhook._seen import keys_of as keys_of_messages

from . import _words as words
from ._screen import Screen, screen_for
from ._servers import DemoError, running
from ._story import FIRST_LIFE, BriskWeChat, Story
from ._traffic import WEBHOOK, Crowd, Tally, dict_with_ttl, user_of
from ._words import say

_NEEDED = ("flask", "gunicorn", "uvicorn", "httpx", "defusedxml")


def run(examples: Path | None = None, *, workers: int = 4, store: str | None = None, out: TextIO | None = None) -> int:
    """
    Run the demo.

    Args:
        examples: Where ``flask_app`` and ``starlette_app`` are; by default in the source tree.
        workers: How many workers the Flask app gets.
        store: URL of the store that all processes share; by default a JSON file that is removed at the end.
        out: Where to show it; by default the standard output.

    Returns:
        0 if no user saw an error and everything came as it should, else 1.

    Raises:
        ConfigurationError: Something that it needs is not there.
        StoreError: The store cannot be reached.
        KeyboardInterrupt: Ctrl-C. Everything it started has ended by then.
    """
    out = sys.stdout if out is None else out
    examples = _found(examples)
    screen = screen_for(out)
    if store is not None:
        store = _for_any_directory(store)
        with FleetStore(store) as there:
            there.load("wx")  # one that is down is said before anything starts
    directory = Path(tempfile.mkdtemp(prefix="wxmiddleware-demo-"))
    good = interrupted = False
    try:
        with _ended_by_sigterm():
            screen.say(say(words.STARTING, workers=workers))
            story = _play(examples, directory, store or f"file:{directory / 'token.json'}", workers, screen)
        checks = story.checks()
        screen.close(story, checks)
        good = all(check.holds for check in checks)
        for wrong in {wrong for tally in story.tallies for wrong in tally.first_errors}:
            screen.say(say(words.USER_SAW, wrong=wrong))
    except DemoError as error:
        screen.say(str(error))
    except KeyboardInterrupt:
        interrupted = True
        raise
    finally:
        if good or interrupted:
            shutil.rmtree(directory, ignore_errors=True)
        else:
            screen.say(say(words.LOGS, directory=directory))
    return 0 if good else 1


def _play(examples: Path, directory: Path, store: str, workers: int, screen: Screen) -> Story:
    # Strict: a forced refresh leaves nothing of the token before. One that was only renewed lives on for a while, as
    # WeChat's do for 300 s of 7200.
    wechat = BriskWeChat(
        lifetime=FIRST_LIFE, overlap=8.0, stable_forced_keeps_previous=False, token_latency=0.15, log_size=100_000
    )
    rival = wechat.add_account(appid=f"wx{secrets.token_hex(8)}", secret=secrets.token_hex(16))
    webhook_token = secrets.token_hex(8)
    with (
        SimulatorServer(wechat) as server,
        _shared(store, Account(wechat.appid, wechat.secret, base_url=server.url), webhook_token) as shared,
    ):
        screen.say(say(words.SHARED, store=repr(shared)))
        settings = {
            "WECHAT_APPID": wechat.appid,
            "WECHAT_SECRET": wechat.secret,
            "WECHAT_BASE_URL": server.url,
            "WECHAT_TOKEN": webhook_token,
            "WXM_STORE": store,
        }
        with running(examples, directory, settings, workers) as servers:
            crowds = [
                Crowd(Tally(each.name, each.title), user_of(each.url, webhook_token), threads=4, rate=12.0)
                for each in servers
            ]
            tally = Tally(say(words.DICT), say(words.DICT_TITLE))
            dict_crowd = Crowd(tally, dict_with_ttl(server.url, rival.appid, rival.secret), threads=1, rate=10.0)
            story = Story(wechat, rival.appid, servers, crowds, dict_crowd)
            with screen.playing(story):
                story.play(screen.show)
            return story


@contextlib.contextmanager
def _shared(url: str, account: Account, webhook_token: str) -> Iterator[FleetStore]:
    """The store; at the end it has forgotten the simulated account and its webhook, which are new ones each time."""
    names = Names([webhook_token], stored=True)
    memories = names.of_webhook(webhook_token, None, WEBHOOK), names.of_token(webhook_token)
    with FleetStore(url) as store:
        try:
            yield store
        finally:
            with contextlib.suppress(StoreError):
                for key in [*keys_of(account), *(key for each in memories for key in keys_of_messages(each))]:
                    loaded = store.load(key)
                    if loaded.record is not None:
                        store.save(key, Record(), loaded.version)


def _for_any_directory(url: str) -> str:
    """The URL of a file, for processes with other working directories."""
    for start in ("file:", "sqlite:///"):
        name = url.removeprefix(start)
        if name != url and not name.startswith("/"):
            return f"{start}{Path(name).absolute()}"
    return url


def _found(examples: Path | None) -> Path:
    if os.name != "posix":
        raise ConfigurationError("The demo runs gunicorn, which needs Linux or macOS.")
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    problems = [f"The demo needs {', '.join(missing)}; `make demo` installs what it needs."] if missing else []
    place = Path(__file__).parents[1] / "examples" if examples is None else examples.absolute()
    if not all((place / name / "app.py").is_file() for name in ("flask_app", "starlette_app")):
        problems.append(
            "The demo runs the two example apps, flask_app and starlette_app, and they are not there. Name their "
            "directory: make demo ARGS='--examples DIR'."
        )
    if problems:
        raise ConfigurationError(" ".join(problems))
    return place


@contextlib.contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """Let SIGTERM end the block as Ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may listen to signals
        return

    def end(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
