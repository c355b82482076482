"""Files of other programs: read as they may be met, replaced as a whole, and still theirs."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from wxmiddleware.exceptions import ConfigurationError, StoreError
from wxmiddleware.layouts import ArticleFile, CoWechatApiFile, Kept
from wxmiddleware.layouts import _files as files

NOW = 1_795_819_524.0
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")


class TestArticleFile:
    def test_what_php_has_written(self, tmp_path: Path) -> None:
        """A token of PHP's lives for two hours from its fetch, which is what the file tells."""
        path = tmp_path / "access_token.json"
        path.write_text('{"access_token": "T", "expires_time": 1795819524}')

        assert Kept("T", NOW + 7200) == ArticleFile(path, clock=lambda: NOW + 5000).read()

    def test_what_is_written(self, tmp_path: Path) -> None:
        """An hour before the end is written, so that PHP leaves the file alone till then."""
        path = tmp_path / "access_token.json"
        layout = ArticleFile(path, clock=lambda: NOW)

        layout.write("T", NOW + 7200)

        assert {"access_token": "T", "expires_time": 1795819524 + 3600} == json.loads(path.read_text())
        assert Kept("T", NOW + 7200) == layout.read()

    @pytest.mark.parametrize(
        "content",
        [
            "",
            '{"access_tok',
            "null",
            "[]",
            "{}",
            '{"access_token": "", "expires_time": 1}',
            '{"access_token": 7}',
            "\xff",
        ],
    )
    def test_no_token(self, tmp_path: Path, content: str) -> None:
        """An empty file, half a file, an error that PHP has kept: no token, and no exception."""
        path = tmp_path / "access_token.json"
        path.write_text(content, encoding="latin-1")

        assert None is ArticleFile(path).read()
        assert None is ArticleFile(tmp_path / "none").read()

    def test_no_end(self, tmp_path: Path) -> None:
        """A token with a time that is none has an end that nobody knows."""
        path = tmp_path / "access_token.json"
        path.write_text('{"access_token": "T", "expires_time": "soon"}')

        assert Kept("T", None) == ArticleFile(path).read()

    def test_relative(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A relative path is below the directory of now, also after a daemon has changed it."""
        monkeypatch.chdir(tmp_path)
        layout = ArticleFile()
        monkeypatch.chdir("/")

        layout.write("T", NOW)

        assert f"ArticleFile({tmp_path}/access_token.json)" == layout.name == repr(layout)
        assert (tmp_path / "access_token.json").exists()


class TestCoWechatApiFile:
    def test_both_ways(self, tmp_path: Path) -> None:
        """Its end is ten seconds before the token's, in milliseconds."""
        path = tmp_path / "access_token.txt"
        layout = CoWechatApiFile(path)

        layout.write("T", NOW)

        assert {"accessToken": "T", "expireTime": 1795819514000} == json.loads(path.read_text())
        assert Kept("T", NOW) == layout.read()

    @pytest.mark.parametrize("content", ["null", "{}", '{"accessToken": null}', '{"accessToken": "T'])
    def test_no_token(self, tmp_path: Path, content: str) -> None:
        """While it fetches, co-wechat-api keeps null."""
        path = tmp_path / "access_token.txt"
        path.write_text(content)

        assert None is CoWechatApiFile(path).read()

    def test_no_end(self, tmp_path: Path) -> None:
        """A record without an end is one all the same."""
        path = tmp_path / "access_token.txt"
        path.write_text('{"accessToken": "T"}')

        assert Kept("T", None) == CoWechatApiFile(path).read()


class TestReplace:
    def test_a_reader_has_the_old_or_the_new(self, tmp_path: Path) -> None:
        """Who has the old file open goes on reading it, whole: nothing is written over it."""
        path = tmp_path / "access_token.json"
        layout = ArticleFile(path)
        layout.write("old", NOW)
        with path.open() as reader:
            layout.write("new", NOW)

            assert "old" == json.load(reader)["access_token"]
        assert [path] == list(tmp_path.iterdir())

    def test_mode(self, tmp_path: Path) -> None:
        """A new file is for our own user, unless told otherwise; the mode of one which is there stays."""
        path, other = tmp_path / "access_token.json", tmp_path / "access_token.txt"
        ArticleFile(path).write("T", NOW)
        CoWechatApiFile(other).write("T", NOW)
        assert [0o600] * 2 == [stat.S_IMODE(each.stat().st_mode) for each in (path, other)]

        for wanted in (0o660, 0o664):
            path.unlink()
            ArticleFile(path, mode=wanted).write("T", NOW)
            other.unlink()
            CoWechatApiFile(other, mode=wanted).write("T", NOW)
            assert [wanted] * 2 == [stat.S_IMODE(each.stat().st_mode) for each in (path, other)]

        ArticleFile(path).write("U", NOW)
        assert 0o664 == stat.S_IMODE(path.stat().st_mode)

    @pytest.mark.parametrize("mode", [0o666, 0o400, 0o755, 0o4600, 600, "0600", None, True])
    def test_bad_modes(self, tmp_path: Path, mode: Any) -> None:
        """Not every user writes a token, and the owner reads and writes it."""
        for kind in (ArticleFile, CoWechatApiFile):
            with pytest.raises(ConfigurationError, match="0o640"):
                kind(tmp_path / "a.json", mode=mode)

    def test_a_directory_that_is_a_link(self, tmp_path: Path) -> None:
        """A link above the file is followed, as a deployment has one; the file behind it is replaced."""
        (tmp_path / "release").mkdir()
        (tmp_path / "current").symlink_to("release")

        ArticleFile(tmp_path / "current" / "a.json").write("T", NOW)

        assert "T" == json.loads((tmp_path / "release" / "a.json").read_text())["access_token"]

    def test_link(self, tmp_path: Path) -> None:
        """A link stays one, and the file that it leads to is replaced."""
        path, link = tmp_path / "real.json", tmp_path / "access_token.json"
        link.symlink_to(path)

        ArticleFile(link).write("T", NOW)

        assert link.is_symlink()
        assert "T" == json.loads(path.read_text())["access_token"]

    @as_root
    def test_owner(self, tmp_path: Path) -> None:
        """PHP's file stays PHP's, or PHP could write it no more."""
        path = tmp_path / "access_token.json"
        path.write_text("{}")
        os.chown(path, 33, 33)

        ArticleFile(path).write("T", NOW)

        assert (33, 33) == (path.stat().st_uid, path.stat().st_gid)
        assert "T" == json.loads(path.read_text())["access_token"]

    def test_somebody_else_s(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A file that cannot be given back to its owner is written in place, and nothing of the old one is left."""
        path = tmp_path / "access_token.json"
        path.write_text(json.dumps({"access_token": "old" * 99}))
        before = path.stat().st_ino
        owners = iter([(1, 1), (2, 2)])

        def refuse(*_: object) -> None:
            raise PermissionError

        monkeypatch.setattr(files, "_owner", lambda about: next(owners, (2, 2)))
        monkeypatch.setattr(os, "fchown", refuse)

        ArticleFile(path).write("T", NOW)

        assert before == path.stat().st_ino
        assert {"access_token": "T", "expires_time": int(NOW) - 3600} == json.loads(path.read_text())
        assert [path] == list(tmp_path.iterdir())

    @pytest.fixture
    def swap(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Path], object]], None]:
        """Put something else where the file was, between the look at it and the write in place."""
        path = tmp_path / "access_token.json"
        path.write_text("{}")
        owners = iter([(1, 1), (2, 2)])

        def swap(put: Callable[[Path], object]) -> None:
            def refuse(*_: object) -> None:
                path.unlink()
                put(path)
                raise PermissionError

            monkeypatch.setattr(files, "_owner", lambda about: next(owners, (2, 2)))
            monkeypatch.setattr(os, "fchown", refuse)

        return swap

    def test_a_link_just_put_there(self, tmp_path: Path, swap: Callable[[Callable[[Path], object]], None]) -> None:
        """What is written in place is never what a link leads to."""
        victim = tmp_path / "victim"
        victim.write_text("precious")
        swap(lambda path: path.symlink_to(victim))

        with pytest.raises(OSError, match="symbolic links"):
            ArticleFile(tmp_path / "access_token.json").write("T", NOW)

        assert "precious" == victim.read_text()

    def test_a_pipe_just_put_there(self, tmp_path: Path, swap: Callable[[Callable[[Path], object]], None]) -> None:
        """It is not waited for."""
        path = tmp_path / "access_token.json"
        swap(os.mkfifo)
        with pytest.raises(OSError, match="No such device"):
            ArticleFile(path).write("T", NOW)

    def test_a_pipe_that_is_read(self, tmp_path: Path, swap: Callable[[Callable[[Path], object]], None]) -> None:
        """No token goes into it."""
        path, readers = tmp_path / "access_token.json", []

        def put(path: Path) -> None:
            os.mkfifo(path)
            readers.append(os.open(path, os.O_RDONLY | os.O_NONBLOCK))

        swap(put)
        with pytest.raises(StoreError, match="not a regular file"):
            ArticleFile(path).write("T", NOW)

        assert b"" == os.read(readers[0], 100)
        os.close(readers[0])

    @as_root
    @pytest.mark.parametrize("links", [1, 2])
    def test_somebody_else_s_link(self, tmp_path: Path, links: int) -> None:
        """Whose directory it is cannot have us replace what only we may: such a link leads nowhere, at whatever hop."""
        victim, web = tmp_path / "victim", tmp_path / "web"
        victim.write_text("precious")
        web.mkdir()
        os.chown(web, 33, 33)
        link = web / "a.json"
        link.symlink_to(victim)
        os.lchown(link, 33, 33)
        if links == 2:
            first = tmp_path / "a.json"
            first.symlink_to("web/a.json")
            link = first

        with pytest.raises(StoreError, match="belongs to user 33"):
            ArticleFile(link).write("T", NOW)

        assert "precious" == victim.read_text()
        assert not victim.is_symlink()

    def test_links_in_a_circle(self, tmp_path: Path) -> None:
        """They are an error, and not followed for ever."""
        path = tmp_path / "access_token.json"
        path.symlink_to(path)

        with pytest.raises(OSError, match="symbolic links"):
            ArticleFile(path).write("T", NOW)

    @pytest.mark.parametrize("make", [os.mkdir, os.mkfifo])
    def test_no_file(self, tmp_path: Path, make: Callable[[Path], None]) -> None:
        """A directory or a pipe is neither read, which would wait for a writer, nor replaced."""
        path = tmp_path / "access_token.json"
        layout = ArticleFile(path)
        make(path)
        before = path.stat()

        with pytest.raises(StoreError, match="not a regular file"):
            layout.read()
        with pytest.raises(StoreError, match="not a regular file"):
            layout.write("T", NOW)

        assert os.path.samestat(before, path.stat())
        assert [path] == list(tmp_path.iterdir())

    def test_a_pipe_that_goes(self, tmp_path: Path) -> None:
        """When it is gone, the file is written and read as ever."""
        path = tmp_path / "access_token.json"
        os.mkfifo(path)
        layout = ArticleFile(path, clock=lambda: NOW)
        with pytest.raises(StoreError):
            layout.read()
        path.unlink()

        layout.write("T", NOW + 7200)

        assert Kept("T", NOW + 7200) == layout.read()

    def test_no_directory(self, tmp_path: Path) -> None:
        """What cannot be written is an error, and leaves nothing behind."""
        with pytest.raises(FileNotFoundError):
            ArticleFile(tmp_path / "none" / "access_token.json").write("T", NOW)


@pytest.mark.parametrize("path", ["", 7, None, b"x", "a\0b", "file:///tmp/x"])
def test_no_path(path: object) -> None:
    """A path that is none is found out at construction."""
    with pytest.raises(ConfigurationError, match=r"^path must be"):
        ArticleFile(path)  # type: ignore[arg-type]


@pytest.mark.parametrize("layout", [ArticleFile, CoWechatApiFile])
def test_directory(tmp_path: Path, layout: Callable[[Path], object]) -> None:
    """A directory in the place of the file is found out at construction, and not when a mirror is written."""
    with pytest.raises(ConfigurationError, match="path is a directory"):
        layout(tmp_path)


def test_no_token_in_a_repr() -> None:
    """What is kept does not show its token."""
    assert "TOKEN" not in repr(Kept("TOKEN", 1.0))
