"""`wxmiddleware keep`: real processes that nobody asks, one of which is killed."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests
from support.program import PATIENCE, environment, kill_group

from wxmiddleware import TokenProvider, WeComAccount
from wxmiddleware.simulator import SimulatorServer, WeChat
from wxmiddleware.stores import store_from_url

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(wechat: WeChat, wechat_server: SimulatorServer, tmp_path: Path) -> Iterator[Start]:
    """Start ``wxmiddleware keep`` with a file as the store and a directory for the token."""
    (tmp_path / "out").mkdir()
    running: list[subprocess.Popen[str]] = []

    def begin(*more: str, source: str | None = "classic") -> subprocess.Popen[str]:
        env = environment(WECHAT_APPID=wechat.appid, WECHAT_SECRET=wechat.secret, WECHAT_BASE_URL=wechat_server.url)
        command = [sys.executable, "-m", "wxmiddleware", "keep", "--store", f"file:{tmp_path}/token.json"]
        command += ["--sink", str(tmp_path / "out"), *([] if source is None else ["--source", source]), *more]
        running.append(subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True, start_new_session=True))
        return running[-1]

    yield begin
    for process in running:
        kill_group(process)
        assert process.stderr is not None
        process.stderr.close()


def until(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT])
def test_end(start: Start, wechat: WeChat, tmp_path: Path, end: signal.Signals) -> None:
    """The token is in the file, for its owner alone; the process leaves when it is told, and said nothing secret."""
    file = tmp_path / "out" / f"{wechat.appid}.classic.token"
    process = start()
    until(file.exists)
    first = file.read_text()

    assert wechat.check(first) is None
    assert 0o600 == stat.S_IMODE(file.stat().st_mode)
    process.send_signal(end)
    _, said = process.communicate(timeout=PATIENCE)
    assert (0, 1) == (process.returncode, wechat.fetches())
    assert "fetch_done" in said
    assert not [word for word in (first, wechat.secret) if word in said]
    assert [file.name] == os.listdir(tmp_path / "out")


def test_app_of_wecom(start: Start, wechat: WeChat, wechat_server: SimulatorServer, tmp_path: Path) -> None:
    """The token of an app of WeCom: in the store for its Python processes, and in a file named by CorpID and app."""
    app = wechat.add_app("ww1", "secret-of-an-app", agentid=1000002)
    (tmp_path / "secret").write_text(app.secret)
    file = tmp_path / "out" / "ww1.1000002.wecom.token"
    options = ["--corpid", "ww1", "--agentid", "1000002", "--secret-file", str(tmp_path / "secret")]
    process = start(*options, "--base-url", wechat_server.url, source=None)
    until(file.exists)

    url = f"{wechat_server.url}/cgi-bin/department/list"
    assert 0 == requests.get(url, {"access_token": file.read_text()}, timeout=PATIENCE).json()["errcode"]
    account = WeComAccount("ww1", agentid=1000002, base_url=wechat_server.url)
    with TokenProvider(account, store=store_from_url(f"file:{tmp_path}/token.json"), follow=True) as follower:
        assert file.read_text() == follower.get_token()
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=PATIENCE)
    assert (0, 1) == (process.returncode, app.fetches)
    assert "fetch_done" in said
    assert not [word for word in (file.read_text(), app.secret) if word in said]


@pytest.mark.parametrize("moment", ["with a token", "while it fetches"])
def test_two(start: Start, wechat: WeChat, tmp_path: Path, moment: str) -> None:
    """Two share one store: one fetches; when it is killed, the other goes on."""
    wechat.lifetime = 12
    file = tmp_path / "out" / f"{wechat.appid}.classic.token"
    both = [start("--sink-mode", "0640"), start("--sink-mode", "0640")]
    until(file.exists)
    tokens = {file.read_text()}
    if moment == "while it fetches":
        hang = wechat.faults.add("/cgi-bin/token", "hang", times=1)
        until(lambda: hang.hits)
    # Who has fetched last, or fetches now, holds the lease, or will; killing either must do.
    os.killpg(both[0].pid, signal.SIGKILL)
    for _ in range(2):
        until(lambda: file.read_text() not in tokens)
        tokens.add(file.read_text())

    assert wechat.check(file.read_text()) is None
    assert 0o640 == stat.S_IMODE(file.stat().st_mode)
    assert both[1].poll() is None
    # Three tokens were seen; one fetch more may have been lost with the dead process, or be under way.
    assert 3 <= wechat.minted() <= 5


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--sink", "nowhere"], "there is no directory"),
        (["--sink", __file__], "is a file. Name the directory"),
        (["--sink-mode", "0666"], "nobody else writes"),
        (["--sink-mode", "rw"], "octal number"),
    ],
)
def test_mistakes(start: Start, more: list[str], says: str) -> None:
    """A mistake is told at once."""
    process = start(*more)
    _, said = process.communicate(timeout=PATIENCE)

    assert 2 == process.returncode
    assert says in said
