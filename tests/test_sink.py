"""The files of `wxmiddleware keep --sink`: their names, and what others may do to them."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from wxmiddleware import Account, ConfigurationError, WeComAccount
from wxmiddleware._rules.models import AuthorizerAccount
from wxmiddleware.cli.sink import Sink, file_name

TOKEN = "88_abcDEF-ghi"


@pytest.mark.parametrize(
    ("account", "kind", "name"),
    [
        (Account("wx1"), "stable", "wx1.stable.token"),
        (Account("wx1", realm="wechat"), "stable", "wx1.stable.token"),
        (Account("wx1", base_url="http://127.0.0.1:8000"), "stable", "wx1.stable.token"),
        (Account("wx1", realm="a.b"), "stable", "a.b@wx1.stable.token"),
        (WeComAccount("ww1", agentid=1000002), "wecom", "ww1.1000002.wecom.token"),
        (WeComAccount("ww1", agentid="a/b.c"), "wecom", "ww1.a%2Fb%2Ec.wecom.token"),
        (WeComAccount("ww1", agentid=7, realm="wecom"), "wecom", "ww1.7.wecom.token"),
        (WeComAccount("ww1", agentid=7, realm="private"), "wecom", "private@ww1.7.wecom.token"),
        (AuthorizerAccount("wx1", "wxplatform"), "authorizer", "wx1.wxplatform.authorizer.token"),
        (Account("../a@b"), "o.k", "%2E%2E%2Fa%40b.o%2Ek.token"),
    ],
)
def test_name(account: Account, kind: str, name: str) -> None:
    """An official account's is its AppID and the kind; an app or a realm of its own stands in it, too."""
    assert name == file_name(account, kind)


def test_two_secrets() -> None:
    """Apps without an AgentId are told apart by their secrets, which are not in the name."""
    names = {file_name(WeComAccount("ww1", secret), "wecom") for secret in ("first-secret", "second-secret")}

    assert 2 == len(names)
    assert not [name for name in names if "-secret" in name]


def changed(path: Path) -> None:
    before = path.stat()
    path.write_text(TOKEN.swapcase())
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def replaced(path: Path) -> None:
    path.with_name("backup").write_text("an-older-token")
    path.with_name("backup").replace(path)


def longer(path: Path) -> None:
    path.write_text(f"{TOKEN}\n")


def linked(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


def piped(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize("change", [changed, replaced, longer, linked, piped, Path.unlink])
def test_changed_by_others(tmp_path: Path, change: Callable[[Path], object]) -> None:
    """What another program has put in the file's place is replaced."""
    sink, path = Sink(str(tmp_path)), tmp_path / "wx1.stable.token"
    assert sink.write(path.name, TOKEN)
    change(path)

    assert sink.write(path.name, TOKEN)
    assert not path.is_symlink()
    assert path.is_file()
    assert TOKEN == path.read_text()


def test_pipe_with_the_token(tmp_path: Path) -> None:
    """A pipe is no file, also if the token waits in it: only one could read it."""
    sink, path = Sink(str(tmp_path)), tmp_path / "wx1.stable.token"
    sink.write(path.name, TOKEN)
    piped(path)
    end = os.open(path, os.O_RDWR)
    try:
        os.write(end, TOKEN.encode())
        assert sink.write(path.name, TOKEN)
        assert path.is_file()
    finally:
        os.close(end)


def test_left_alone(tmp_path: Path) -> None:
    """A file that has the token is not written again."""
    sink, path = Sink(str(tmp_path)), tmp_path / "wx1.stable.token"
    sink.write(path.name, TOKEN)
    before = path.stat().st_ino, path.stat().st_mtime_ns
    sink.write(path.name, TOKEN)

    assert before == (path.stat().st_ino, path.stat().st_mtime_ns)


def test_remains(tmp_path: Path) -> None:
    """What a killed keeper has left behind is removed with the next token; what another one is writing now is not."""
    sink, name = Sink(str(tmp_path)), "wx1.stable.token"
    old, new, other = tmp_path / f".{name}.old", tmp_path / f".{name}.new", tmp_path / ".wx2.stable.token.old"
    for path in (old, new, other):
        path.write_text("half a tok")
    for path in (old, other):
        os.utime(path, (1e9, 1e9))

    assert sink.write(name, TOKEN)
    assert {new, other, tmp_path / name} == set(tmp_path.iterdir())


def test_directory_that_cannot_be_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The token is written all the same."""

    def refuse(_: str) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "scandir", refuse)

    assert Sink(str(tmp_path)).write("wx1.stable.token", TOKEN)


def test_directory_of_all(tmp_path: Path) -> None:
    """Where every user may replace the file, it is not written; with the sticky bit none can."""
    tmp_path.chmod(0o777)
    with pytest.raises(ConfigurationError, match="every user of this machine may replace the files"):
        Sink(str(tmp_path))

    tmp_path.chmod(0o1777)
    assert Sink(str(tmp_path)).write("wx1.stable.token", TOKEN)


def test_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A sink that fails says so once, and once more if it fails anew after it has worked."""
    caplog.set_level(logging.WARNING, "wxmiddleware")
    sink, path = Sink(str(tmp_path)), tmp_path / "wx1.stable.token"
    path.mkdir()
    assert [False] * 3 == [sink.write(path.name, TOKEN) for _ in range(3)]
    assert 1 == len(caplog.messages)

    path.rmdir()
    assert sink.write(path.name, TOKEN)
    path.unlink()
    path.mkdir()
    assert not sink.write(path.name, TOKEN)
    assert 2 == len(caplog.messages)
    assert TOKEN not in caplog.text
    assert [path.name] == os.listdir(tmp_path)


def test_mode_was_changed(tmp_path: Path) -> None:
    """A file that others have opened to all is closed again at the next look."""
    sink, path = Sink(str(tmp_path)), tmp_path / "wx1.stable.token"
    sink.write("wx1.stable.token", "T1")
    path.chmod(0o644)

    assert sink.write("wx1.stable.token", "T1")
    assert 0o600 == path.stat().st_mode & 0o777


def test_restarted(tmp_path: Path) -> None:
    """After a restart a file that holds the token already is not written again."""
    path = tmp_path / "wx1.stable.token"
    Sink(str(tmp_path)).write("wx1.stable.token", "T1")
    before = path.stat().st_ino

    assert Sink(str(tmp_path)).write("wx1.stable.token", "T1")
    assert before == path.stat().st_ino
