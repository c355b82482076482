"""A token in a file that another program writes, in every state that such a file can be in."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from wxmiddleware import Account, ConfigurationError
from wxmiddleware.sources import Cause, Failure, FileToken, Grant, TokenSource, _reading, file

ACCOUNT = Account("wx0123456789abcdef")
NOW = 1_800_000_000.0
TOKEN = "88_abcDEF-ghi"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "token.json"


@pytest.fixture(autouse=True)
def _now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file, "time", SimpleNamespace(time=lambda: NOW))


@pytest.fixture
def read(path: Path) -> Callable[..., Grant | Failure]:
    """Write the file, as if it had been written so many seconds ago, and read it."""

    def write_and_read(content: Any, *, age: float = 0.0, **options: Any) -> Grant | Failure:
        path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
        os.utime(path, (NOW - age, NOW - age))
        return FileToken(path, **options).fetch(ACCOUNT)

    return write_and_read


@pytest.mark.parametrize(
    ("content", "age", "options", "left"),
    [
        ({"access_token": TOKEN, "expires_in": 7200}, 0, {}, 7200.0),
        ({"access_token": TOKEN, "expires_in": 7200}, 200, {}, 7000.0),
        ({"access_token": TOKEN, "expires_in": 7200}, -300, {}, 7200.0),  # a clock that is ahead
        ({"access_token": TOKEN, "expires_in": 86_400}, -300, {}, 86_400.0),
        ({"access_token": TOKEN, "expires_in": "7200"}, 200, {}, 7000.0),
        ({"access_token": TOKEN, "expires_at": NOW + 60.5}, 999, {}, 60.5),
        ({"accessToken": TOKEN, "expireTime": (NOW + 60) * 1000}, 999, {}, 60.0),
        ({"access_token": TOKEN, "expires_in": NOW + 60}, 999, {}, 60.0),  # as nest-wechat writes it
        ({"token": TOKEN, "other": 1}, 9999, {}, 7200.0),
        ({"access_token": TOKEN, "expires_time": NOW - 999}, 999, {}, 7200.0),  # the article's: when it was fetched
        ({"data": {"t": TOKEN, "end": NOW + 9}}, 0, {"field": "data.t", "expires": "data.end"}, 9.0),
        ({"access_token": "another", "ticket": TOKEN, "expires_in": 1}, 0, {"field": "ticket"}, 1.0),
        (TOKEN, 9999, {}, 7200.0),  # in quotes
        (TOKEN.encode(), 9999, {}, 7200.0),
        (f"\ufeff{TOKEN}\r\n".encode(), 0, {}, 7200.0),
        (f' {{"token": "{TOKEN}"}}\n'.encode(), 0, {}, 7200.0),
    ],
)
def test_read(
    read: Callable[..., Grant | Failure], content: Any, age: float, options: dict[str, str], left: float
) -> None:
    """The token is found, and its end where the file has one."""
    assert Grant(TOKEN, left) == read(content, age=age, **options)


@pytest.mark.parametrize(
    ("content", "options", "cause", "said"),
    [
        (b"", {}, Cause.TRANSIENT, "has no token at present"),
        (b" \n", {}, Cause.TRANSIENT, "has no token at present"),
        (b"null", {}, Cause.TRANSIENT, "has no token at present"),
        (b"{}", {}, Cause.TRANSIENT, "has no token at present"),
        (b'""', {}, Cause.TRANSIENT, "has no token at present"),
        ({"access_token": ""}, {}, Cause.TRANSIENT, "has no token at present"),
        ({"secret_word": TOKEN}, {}, Cause.TRANSIENT, "has no field access_token or accessToken or token"),
        ({"access_token": TOKEN}, {"field": "data.token"}, Cause.TRANSIENT, "has no field data.token"),
        (TOKEN.encode(), {"field": "data.token"}, Cause.TRANSIENT, "is no JSON, so it has no field data.token"),
        (
            f'{{"access_token": "{TOKEN}", "exp'.encode(),
            {},
            Cause.TRANSIENT,
            "is no whole JSON. It may be half written",
        ),
        (f'"{TOKEN}'.encode(), {}, Cause.TRANSIENT, "is no whole JSON"),
        (b"[" * 60_000, {}, Cause.TRANSIENT, "is no whole JSON"),
        (b"\xff\xfe" + TOKEN.encode("utf-16-le"), {}, Cause.TRANSIENT, "is not text"),
        (f"{TOKEN} {TOKEN}".encode(), {}, Cause.PERMANENT, "something that is not a token"),
        (f"<p>{TOKEN}</p>\n<p>".encode(), {}, Cause.TRANSIENT, "has no token at present"),
        (b"<html></html>", {}, Cause.TRANSIENT, "has no token at present"),
        (b"false\n", {}, Cause.TRANSIENT, "has no token at present"),
        (b"None", {}, Cause.TRANSIENT, "has no token at present"),
        (b"undefined", {}, Cause.TRANSIENT, "has no token at present"),
        (b"40001", {}, Cause.TRANSIENT, "has no token at present"),
        (b"-1", {}, Cause.TRANSIENT, "has no token at present"),
        ([TOKEN], {}, Cause.PERMANENT, "something that is not a token"),
        ({"access_token": 88}, {}, Cause.PERMANENT, "something that is not a token"),
        (TOKEN.encode() * 6000, {}, Cause.PERMANENT, "more than 65536 bytes"),
        ({"access_token": TOKEN, "expires_at": NOW - 30}, {}, Cause.TRANSIENT, "a token that ended 30 s ago"),
        ({"access_token": TOKEN, "expires_in": 0}, {}, Cause.TRANSIENT, "a token that ended 0 s ago"),
        ({"access_token": TOKEN, "expires_in": "soon"}, {}, Cause.PERMANENT, "end is not plausible"),
        ({"access_token": TOKEN, "expires_in": True}, {}, Cause.PERMANENT, "end is not plausible"),
        ({"access_token": TOKEN, "expires_in": 90_000}, {}, Cause.PERMANENT, "end is not plausible"),
        ({"access_token": TOKEN, "expires_at": NOW + 90_000}, {}, Cause.PERMANENT, "end is not plausible"),
    ],
)
def test_cannot_be_used(
    read: Callable[..., Grant | Failure],
    path: Path,
    content: Any,
    options: dict[str, str],
    cause: Cause,
    said: str,
) -> None:
    """What is wrong is said, with the path, and without a word of what the file holds."""
    failure = read(content, **options)

    assert isinstance(failure, Failure)
    assert cause is failure.cause
    assert failure.message.startswith(f"The file {path} ")
    assert said in failure.message
    assert not [each for each in ("88", "secret_word", TOKEN[:4]) if each in repr(failure).replace(str(path), "")]


@pytest.mark.parametrize("token", ["nullify", "88_false", "0123456789", "a<b>"])
def test_nearly_none(read: Callable[..., Grant | Failure], token: str) -> None:
    """A token may have such a word in it."""
    assert Grant(token, 7200.0) == read(token.encode())


def test_away(path: Path) -> None:
    """A file that is not there may yet come."""
    failure = FileToken(path).fetch(ACCOUNT)

    assert Failure(Cause.TRANSIENT, f"The file {path} is not there.") == failure
    path.write_text(TOKEN)
    assert isinstance(FileToken(path).fetch(ACCOUNT), Grant)


def test_no_file(tmp_path: Path, path: Path) -> None:
    """A directory is no file, nor is a pipe, which hangs nobody."""
    os.mkfifo(path)

    for place in (tmp_path, path):
        failure = FileToken(place, timeout=60.0).fetch(ACCOUNT)
        assert isinstance(failure, Failure)
        assert Cause.PERMANENT is failure.cause
        assert f"The file {place} is not a regular file" in failure.message


@pytest.mark.parametrize(
    ("error", "cause", "said"),
    [
        (PermissionError(13, "Permission denied"), Cause.PERMANENT, "may not be read by the user"),
        (OSError(5, "88_quoted"), Cause.TRANSIENT, "cannot be read (Input/output error)"),
        (OSError("88_quoted"), Cause.TRANSIENT, "cannot be read ("),
    ],
)
def test_unreadable(path: Path, monkeypatch: pytest.MonkeyPatch, error: OSError, cause: Cause, said: str) -> None:
    """What the system says is told, by its number and not by its text."""
    path.write_text(TOKEN)

    def refuse(*args: Any) -> int:
        raise error

    monkeypatch.setattr(_reading, "os", SimpleNamespace(**{**vars(os), "open": refuse}))
    failure = FileToken(path).fetch(ACCOUNT)

    assert isinstance(failure, Failure)
    assert cause is failure.cause
    assert said in failure.message
    assert "88" not in failure.message.replace(str(path), "")


def test_drive_that_hangs(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A read that hangs is given up in time, and there is no second one beside it; then it is as before."""
    path.write_text(TOKEN)
    back, opened = threading.Event(), []

    def hang(*args: Any) -> int:
        opened.append(args)
        assert back.wait(30)
        return os.open(*args)

    monkeypatch.setattr(_reading, "os", SimpleNamespace(**{**vars(os), "open": hang}))
    source = FileToken(path, timeout=0.05)
    said = [source.fetch(ACCOUNT) for _ in range(3)]
    back.set()

    assert ["cannot be read within 0.05 s" in each.message for each in said if isinstance(each, Failure)] == [True] * 3
    assert 1 == len(opened)
    assert Grant(TOKEN, 7200.0) == FileToken(path).fetch(ACCOUNT)


def test_relative(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative path is meant from where the process was: a daemon may go elsewhere."""
    path.write_text(TOKEN)
    monkeypatch.chdir(path.parent)
    source = FileToken("token.json")
    monkeypatch.chdir("/")

    assert FileToken(path) == source
    assert isinstance(source.fetch(ACCOUNT), Grant)


def test_kind(path: Path) -> None:
    """Two files, or two fields of one, are two kinds of token; in every process that reads the same they are one."""
    kinds = [FileToken(path).kind, FileToken(path, field="ticket").kind, FileToken(path.parent / "other").kind]

    assert 3 == len(set(kinds))
    assert FileToken(str(path), timeout=1).kind == kinds[0]
    assert isinstance(FileToken(path), TokenSource)
    assert hash(FileToken(path)) == hash(FileToken(path))


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        ([""], {}),
        (["a\0b"], {}),
        ([b"bytes"], {}),
        ([None], {}),
        ([7], {}),
        (["t"], {"field": ""}),
        (["t"], {"field": 7}),
        (["t"], {"expires": ""}),
        (["t"], {"timeout": 0}),
        (["t"], {"refresh_after": -1}),
    ],
)
def test_arguments(arguments: list[Any], options: dict[str, Any]) -> None:
    """What cannot be meant is said when it is made."""
    with pytest.raises(ConfigurationError):
        FileToken(*arguments, **options)
