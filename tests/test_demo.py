"""The demo, played in full once; and what it does when things do not go as they should."""

from __future__ import annotations

import contextlib
import io
import math
import os
import re
import shutil
import signal
import string
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis
from rich.console import Console
from stores.redis_server import RedisServer

from demo import _run, _screen, _story, _words
from demo.__main__ import main
from demo._screen import PlainScreen, RichScreen, marks, screen_for, strip
from demo._traffic import Tally
from wxmiddleware._rules.models import Record
from wxmiddleware._runtime.language import Text, columns
from wxmiddleware.exceptions import ConfigurationError
from wxmiddleware.stores.redis import RedisStore

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A demo that ends before the story has begun, with its directory in the test's own."""
    monkeypatch.setattr(_story, "END", 1.5)
    monkeypatch.setattr(_screen, "END", 1.5)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))


@pytest.fixture
def examples(tmp_path: Path) -> Path:
    """A copy of the examples that a test may break."""
    return Path(shutil.copytree(EXAMPLES, tmp_path / "examples", ignore=shutil.ignore_patterns("__pycache__")))


@pytest.mark.processes
def test_the_whole_story(tmp_path: Path) -> None:
    """It ends by itself with 0: no user saw an error, refusals happened and were healed, and it leaves nothing."""
    ended = subprocess.run(
        [sys.executable, "-m", "demo"],
        capture_output=True,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        cwd=ROOT,
        check=False,
    )

    assert (ended.returncode, ended.stderr) == (0, ""), ended.stdout
    assert ended.stdout.count("\nok  ") == 5
    assert "FAIL" not in ended.stdout
    assert "is rejected: errcode 40001" in ended.stdout
    assert "Flask 4" in ended.stdout
    assert "access_token" not in ended.stdout
    assert list(tmp_path.iterdir()) == []
    assert ended.stdout.isascii()


@pytest.mark.processes
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_leaves_no_process_behind(tmp_path: Path, number: signal.Signals) -> None:
    """Ctrl-C and SIGTERM end it with 130; after these and after SIGKILL no server goes on."""
    environ = {**os.environ, "TMPDIR": str(tmp_path), "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-c", _INTERRUPTIBLE]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environ, cwd=ROOT) as process:
        assert process.stdout is not None
        while "first token" not in process.stdout.readline():
            assert process.poll() is None
        assert len(_processes_with(str(tmp_path))) >= 4
        process.send_signal(number)
    code = process.returncode

    assert code == (-signal.SIGKILL if number is signal.SIGKILL else 130)
    assert _eventually(lambda: not _processes_with(str(tmp_path)))


def test_fails_if_the_story_did_not_happen(short: None, tmp_path: Path, capsys: Any) -> None:
    """A demo without a theft and an outage ends with 1, and names the directory with the servers' logs."""
    assert main(["--workers", "2"]) == 1

    out = capsys.readouterr().out
    assert "\nFAIL  The theft met 0 of 3 processes" in out
    assert "\nok    " in out
    directory = Path(out.rpartition(" is in ")[2].strip().rstrip("."))
    assert directory.parent == tmp_path
    assert {"flask.log", "starlette.log"} <= {path.name for path in directory.iterdir()}


@pytest.mark.processes
def test_leaves_nothing_in_the_store(short: None, tmp_path: Path) -> None:
    """A store that was named has forgotten the demo's tokens and messages at the end, and nothing of others'."""
    with RedisServer(tmp_path) as server:
        client = redis.Redis.from_url(server.url)
        theirs = ["wx:wechat:wx1:stable", "wx:wx1:webhook:00"]
        with contextlib.closing(RedisStore.from_url(server.url)) as store:
            for key in theirs:
                assert store.save(key, Record(value="theirs", expires_at=math.inf), "")
        out = io.StringIO()
        assert _run.run(workers=1, store=server.url, out=out) == 1
        saves, left = client.info("commandstats")["cmdstat_pexpireat"]["calls"], client.keys()
        client.close()

    assert saves > 20  # the demo's own, mostly of messages
    assert [f"{{{key}}}".encode() for key in theirs] == sorted(left)


@pytest.mark.processes
def test_fails_if_a_user_sees_an_error(short: None, examples: Path, capsys: Any) -> None:
    """An app that answers its users with errors makes it 1, and it is said what they saw."""
    app = examples / "starlette_app" / "app.py"
    app.write_text(app.read_text().replace("502 if result", "200 if result").replace("else 200)", "else 418)"))

    assert main(["--workers", "1", "--examples", str(examples)]) == 1

    out = capsys.readouterr().out
    assert "A user saw: /notify/ 418" in out
    assert "Starlette  x" in out
    assert "Flask      #" in out


@pytest.mark.processes
def test_fails_if_a_server_does_not_start(short: None, examples: Path, capsys: Any) -> None:
    """An app that cannot be imported makes it 1 at once, with the end of the server's log."""
    (examples / "starlette_app" / "app.py").write_text("raise RuntimeError('broken app')\n")

    assert main(["--workers", "1", "--examples", str(examples)]) == 1
    assert "broken app" in capsys.readouterr().out


@pytest.mark.processes
def test_fails_if_a_server_ends(short: None, examples: Path, capsys: Any) -> None:
    """A server that ends in the middle makes it 1."""
    app = examples / "starlette_app" / "app.py"
    app.write_text(app.read_text() + "\nimport threading\nthreading.Timer(1.2, os._exit, [1]).start()\n")

    assert main(["--workers", "1", "--examples", str(examples)]) == 1
    assert "uvicorn has ended" in capsys.readouterr().out


@pytest.mark.processes
@pytest.mark.parametrize(
    ("language", "titles"),
    [
        ("en", ("wxmiddleware demo", "What users see", "The token", "What happens", "What came of it")),
        ("zh", ("wxmiddleware 演示", "用户看到的", "重试成功", "经过", "结果", "微信正常", "剩余")),
    ],
)
def test_on_a_terminal(short: None, monkeypatch: pytest.MonkeyPatch, language: str, titles: tuple[str, ...]) -> None:
    """On a terminal the picture shows the users, the token and what happens; the summary stays."""
    monkeypatch.setenv("WXM_LANG", language)
    console = Console(file=io.StringIO(), force_terminal=True, width=110, height=36, record=True)
    monkeypatch.setattr(_run, "screen_for", lambda out: RichScreen(console))

    assert _run.run(workers=1) == 1

    assert isinstance(console.file, io.StringIO)
    drawn = console.file.getvalue()
    for title in titles:
        assert title in drawn
    assert "\u2717" in drawn


TEXTS = {name: text for name, text in vars(_words).items() if isinstance(text, Text)}
CHINESE = re.compile("[\u4e00-\u9fff]")


@pytest.mark.parametrize(("name", "text"), TEXTS.items())
def test_both_languages(name: str, text: Text) -> None:
    """Each text is there in both, with the same things filled in."""
    fields = [{field for _, field, _, _ in string.Formatter().parse(each) if field} for each in text]

    assert fields[0] == fields[1]
    assert text.en.isascii()
    assert CHINESE.search(text.zh) or name == "TOKEN"


def test_every_text_is_told() -> None:
    """None is left over."""
    code = "".join(path.read_text() for path in (ROOT / "demo").glob("_*.py"))

    assert [] == [name for name in TEXTS if len(re.findall(rf"\b{name}\b", code)) < 2]


@pytest.mark.processes
@pytest.mark.usefixtures("short")
def test_in_chinese(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    """Each line is Chinese, but for the names of things."""
    monkeypatch.setenv("WXM_LANG", "zh")

    assert main(["--workers", "1"]) == 1
    lines = [line for line in capsys.readouterr().out.splitlines() if line]
    assert len(lines) > 10
    assert [] == [line for line in lines if not CHINESE.search(line)]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("rejected", None),
        ("fetch_done", "rejected"),
        ("fetch_done", "first"),
        ("fetch_done", "ahead"),
        ("fetch_done", "expired"),
        ("adopted", None),
        ("fetch_failed", None),
    ],
)
def test_events_in_chinese(monkeypatch: pytest.MonkeyPatch, name: str, reason: str | None) -> None:
    monkeypatch.setenv("WXM_LANG", "zh")
    told = _story._told({"wx_name": name, "wx_reason": reason, "wx_seconds": 0.15})

    assert told is not None
    assert CHINESE.search(told[0])


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("width", [20, 41, 60])
def test_marks(monkeypatch: pytest.MonkeyPatch, language: str, width: int) -> None:
    """They take as many columns as the strips below them."""
    monkeypatch.setenv("WXM_LANG", language)

    assert width == columns(marks(width))


@pytest.mark.parametrize(
    ("language", "number", "said"),
    [
        ("en", 1, ("once", "1 fetch")),
        ("en", 2, ("twice", "2 fetches")),
        ("en", 0, ("0 times", "0 fetches")),
        ("zh", 1, (" 1 次", "共获取 1 次")),
        ("zh", 3, (" 3 次", "共获取 3 次")),
    ],
)
def test_numbers(monkeypatch: pytest.MonkeyPatch, language: str, number: int, said: tuple[str, str]) -> None:
    monkeypatch.setenv("WXM_LANG", language)

    assert said == (_words.times(number), _words.fetches(number))


class TestScreenFor:
    """Which screen is chosen."""

    class Terminal(io.TextIOWrapper):
        def __init__(self, encoding: str = "utf-8") -> None:
            super().__init__(io.BytesIO(), encoding)

        def isatty(self) -> bool:
            return True

    @pytest.fixture(autouse=True)
    def size(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name, value in {"TERM": "xterm", "COLUMNS": "100", "LINES": "30"}.items():
            monkeypatch.setenv(name, value)

    def test_terminal(self) -> None:
        """A terminal gets the picture."""
        assert isinstance(screen_for(self.Terminal()), RichScreen)

    def test_no_terminal(self) -> None:
        """A file or a pipe gets lines."""
        assert isinstance(screen_for(io.StringIO()), PlainScreen)

    @pytest.mark.parametrize(("name", "value"), [("TERM", "dumb"), ("COLUMNS", "60"), ("LINES", "20")])
    def test_poor_terminal(self, monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
        """A terminal that is dumb or small gets lines."""
        monkeypatch.setenv(name, value)

        assert isinstance(screen_for(self.Terminal()), PlainScreen)

    def test_no_unicode(self) -> None:
        """A terminal that cannot show the picture's characters gets lines."""
        assert isinstance(screen_for(self.Terminal("ascii")), PlainScreen)

    def test_no_rich(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without rich there are lines."""
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)

        assert isinstance(screen_for(self.Terminal()), PlainScreen)


def test_strip_shows_every_error() -> None:
    """A column is bad if any of its requests was, however few columns there are."""
    tally = Tally("app", "")
    for at in (0.1, 0.2, 15.0):
        tally.note(at, 0.01, None)
    tally.note(15.1, 0.3, "500")

    assert strip(tally, 60) == "#" + 29 * "." + "x" + 29 * "."
    assert strip(tally, 4) == "#.x."
    assert (tally.done, tally.errors, tally.slowest, tally.first_errors) == (3, 1, 0.3, ["500"])


def test_no_examples(tmp_path: Path, capsys: Any) -> None:
    """Without the examples it says where they are."""
    assert main(["--examples", str(tmp_path)]) == 2
    assert "make demo" in capsys.readouterr().err


@pytest.mark.parametrize("options", [["--workers", "0"], ["--workers", "x"], ["--what"], ["--work", "3"]])
def test_wrong_options(options: list[str], capsys: Any) -> None:
    """What cannot be right is 2, and is said on standard error."""
    assert main(options) == 2
    assert "demo: error: " in capsys.readouterr().err


@pytest.mark.parametrize("url", ["nonsense", "gopher://me:pa55word@host", "memory:", "redis://me:pa55word@h:x/y"])
def test_no_such_store(url: str, capsys: Any) -> None:
    """What names no shared store is 2."""
    assert main(["--store", url]) == 2
    assert "pa55word" not in capsys.readouterr().err


def test_no_url(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    """--store without a URL anywhere is 2, and names the variable."""
    monkeypatch.delenv("WXM_STORE", raising=False)

    assert main(["--store"]) == 2
    assert "WXM_STORE" in capsys.readouterr().err


def test_help(capsys: Any) -> None:
    """--help is 0, and lists the exit codes."""
    assert main(["--help"]) == 0
    assert "\n  4    the store cannot be reached" in capsys.readouterr().out


def test_missing_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a server it says what to install."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "gunicorn" else object())

    with pytest.raises(ConfigurationError, match="needs gunicorn; `make demo` installs"):
        _run.run(EXAMPLES)


def test_nothing_is_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What is missing is said at once: packages and the source tree."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name in ("flask", "gunicorn") else object())

    with pytest.raises(ConfigurationError, match=r"needs flask, gunicorn; `make demo` .* flask_app"):
        _run.run(tmp_path)


# A test runner in the background may have been started with SIGINT ignored.
_INTERRUPTIBLE = """
import signal, sys
from demo.__main__ import main

signal.signal(signal.SIGINT, signal.default_int_handler)
sys.exit(main(["--workers", "2"]))
"""


def _processes_with(tmpdir: str) -> list[str]:
    """The processes that were started with this TMPDIR, without those that have ended and wait to be collected."""
    if not Path("/proc/self/environ").exists():
        pytest.skip("There is no /proc to look for processes in.")
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and f"TMPDIR={tmpdir}".encode() in (entry / "environ").read_bytes().split(b"\0"):
                found.append(entry.name)
        except OSError:
            continue
    return found


def _eventually(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 10
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True
