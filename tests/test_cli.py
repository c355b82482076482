"""The shell's commands against the simulator."""

from __future__ import annotations

import io
import json
import math
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from missing import without
from stores.redis_server import RedisServer, free_port
from stores.sql_servers import MariaDB, PostgreSQL

from wxmiddleware import Account, StoreError, TokenProvider
from wxmiddleware._rules.models import Cause, Cooldown, Failure, Lease, Record
from wxmiddleware._rules.policies import china_day
from wxmiddleware._runtime import process as _process
from wxmiddleware.cli import OK, REFUSED, USAGE, main
from wxmiddleware.simulator import SimulatorServer, WeChat
from wxmiddleware.sources import ClassicToken, StableToken
from wxmiddleware.stores import record_key, store_from_url
from wxmiddleware.stores.jsonfile import JSONFileStore
from wxmiddleware.stores.sql import SQLStore


@pytest.fixture
def account(wechat: WeChat, wechat_account: Account, monkeypatch: pytest.MonkeyPatch) -> Account:
    """The simulator's account, in the environment."""
    monkeypatch.setenv("WECHAT_APPID", wechat_account.appid)
    monkeypatch.setenv("WECHAT_SECRET", wechat.secret)
    monkeypatch.setenv("WECHAT_BASE_URL", wechat_account.base_url)
    return wechat_account


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment without an account."""
    for name in ("WECHAT_APPID", "WECHAT_SECRET", "WECHAT_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def no_store(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment without a store."""
    monkeypatch.delenv("WXM_STORE", raising=False)


class TestToken:
    """``wxmiddleware token``"""

    def test_prints_a_token_and_nothing_else(self, account: Account, wechat: WeChat, capsys: Any) -> None:
        """The output is the token and the end of the line."""
        assert main(["token"]) == 0
        assert capsys.readouterr() == (f"{wechat.current(slot='stable')}\n", "")

    def test_classic(self, account: Account, wechat: WeChat, capsys: Any) -> None:
        """--source classic asks the other endpoint."""
        assert main(["token", "--source", "classic"]) == 0
        assert capsys.readouterr().out == f"{wechat.current(slot='classic')}\n"

    def test_account_from_options(
        self, wechat_account: Account, nobody: None, tmp_path: Path, wechat: WeChat, capsys: Any
    ) -> None:
        """AppID, host and the file with the secret can be given as options, and the file may end with a newline."""
        file = tmp_path / "secret"
        file.write_text(f"{wechat_account.secret}\n")
        options = ["--appid", wechat_account.appid, "--base-url", wechat_account.base_url, "--secret-file", str(file)]

        assert main(["token", *options]) == 0
        assert capsys.readouterr().out == f"{wechat.current(slot='stable')}\n"

    def test_secret_from_standard_input(
        self, account: Account, monkeypatch: pytest.MonkeyPatch, wechat: WeChat, capsys: Any
    ) -> None:
        """--secret-file - reads the standard input, and goes before WECHAT_SECRET."""
        monkeypatch.setenv("WECHAT_SECRET", "wrong")
        monkeypatch.setattr(sys, "stdin", io.StringIO(wechat.secret))

        assert main(["token", "--secret-file", "-"]) == 0
        assert capsys.readouterr().out == f"{wechat.current(slot='stable')}\n"


class TestTokenNearItsEnd:
    """The process ends with its answer, so nothing is left to be done behind the caller's back."""

    def aged(self, account: Account, wechat: WeChat, tmp_path: Path, left: float, source: str = "classic") -> str:
        """A store whose token has `left` seconds to live."""
        path = tmp_path / "token.json"
        url = f"file:{path}"
        assert main(["token", "--source", source, "--store", url]) == 0
        store = JSONFileStore(path)
        (key,) = store.keys()
        loaded = store.load(key)
        assert loaded.record is not None
        sent = loaded.now + left - 7200
        old = replace(loaded.record, expires_at=loaded.now + left, sent_at=sent, received_at=sent)
        assert store.save(key, old, loaded.version) is not None
        return url

    def test_is_renewed_first(self, account: Account, wechat: WeChat, tmp_path: Path, capsys: Any) -> None:
        """In the last part of a life the renewal ends before the answer, which is the new token."""
        url = self.aged(account, wechat, tmp_path, 100.0)
        capsys.readouterr()

        assert main(["token", "--source", "classic", "--store", url]) == 0

        assert capsys.readouterr() == (f"{wechat.current(slot='classic')}\n", "")
        assert wechat.fetches() == 2

    @pytest.mark.parametrize(("left", "wanted", "fetches"), [(3000.0, "1000", 1), (3000.0, "5000", 2)])
    def test_min_ttl(
        self, account: Account, wechat: WeChat, tmp_path: Path, capsys: Any, left: float, wanted: str, fetches: int
    ) -> None:
        """A token that lives long enough is printed as it is; another one is renewed."""
        url = self.aged(account, wechat, tmp_path, left)
        capsys.readouterr()

        assert main(["token", "--source", "classic", "--store", url, "--min-ttl", wanted]) == 0

        assert capsys.readouterr() == (f"{wechat.current(slot='classic')}\n", "")
        assert wechat.fetches() == fetches

    def test_no_later_one(self, account: Account, wechat: WeChat, capsys: Any) -> None:
        """If WeChat gives none that lives so long, that is 4, and nothing is printed."""
        wechat.lifetime = 3000

        assert main(["token", "--min-ttl", "5000"]) == 4

        out, err = capsys.readouterr()
        assert out == ""
        assert "--min-ttl" in err

    @pytest.mark.parametrize("wanted", ["0", "-1", "7200", "nan", "soon"])
    def test_wrong(self, account: Account, wanted: str, capsys: Any) -> None:
        """What no token can have is a wrong option."""
        assert main(["token", f"--min-ttl={wanted}"]) == 2
        assert "--min-ttl: it is a number of seconds above 0 and below 7200" in capsys.readouterr().err


class TestTokenOfAFleet:
    """``wxmiddleware token --store``"""

    @pytest.mark.parametrize("source", ["stable", "classic"])
    @pytest.mark.parametrize("how", ["option", "environment", "empty option"])
    def test_shares(
        self,
        account: Account,
        wechat: WeChat,
        monkeypatch: pytest.MonkeyPatch,
        tmp_path: Path,
        capsys: Any,
        source: str,
        how: str,
    ) -> None:
        """The fleet's token is printed, and WeChat is not asked again."""
        url = f"file:{tmp_path / 'token.json'}"
        theirs = ClassicToken() if source == "classic" else StableToken()
        with TokenProvider(account, source=theirs, store=store_from_url(url)) as provider:
            token = provider.get_token()
        options = {"option": ["--store", url], "environment": [], "empty option": ["--store"]}[how]
        if how != "option":
            monkeypatch.setenv("WXM_STORE", url)

        assert main(["token", "--source", source, *options]) == 0

        assert capsys.readouterr() == (f"{token}\n", "")
        assert wechat.fetches() == 1

    @pytest.mark.parametrize("command", ["token", "inspect"])
    def test_namespace_of_the_app(
        self, account: Account, wechat: WeChat, tmp_path: Path, capsys: Any, command: str
    ) -> None:
        """An app with a table of its own name has that in the URL, which then names the same store for the command."""
        url = f"sqlite:///{tmp_path / 'tokens.db'}"
        with (
            closing(SQLStore.from_url(url, table="app_token")) as store,
            TokenProvider(account, source=ClassicToken(), store=store) as provider,
        ):
            token = provider.get_token()

        assert (
            main(
                [command, *(["--source", "classic"] if command == "token" else []), "--store", f"{url}?table=app_token"]
            )
            == 0
        )

        assert wechat.is_valid(token)
        assert wechat.fetches() == 1
        out = capsys.readouterr().out
        assert out == f"{token}\n" if command == "token" else account.appid in out

    @pytest.mark.parametrize("command", ["token", "inspect"])
    @pytest.mark.parametrize(
        "url",
        [
            *("sqlite://pa55word/x.db", "mysql://u:p@h/d?connect_timeout=pa55word", "redis://:pa55word#x@h"),
            *("postgres://u:pa55word@$HOST/d", "memcached://h:pa55word", "redis://h?pa55word=1", "sentinel://pa55word"),
        ],
    )
    def test_bad_url(self, account: Account, command: str, url: str, capsys: Any) -> None:
        """A URL that cannot be meant is a wrong option, and not quoted."""
        assert main([command, "--store", url]) == 2

        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith("wxmiddleware: ")
        assert "pa55word" not in err
        assert "Unexpected" not in err

    def test_fills_an_empty_store(self, account: Account, wechat: WeChat, tmp_path: Path, capsys: Any) -> None:
        """Where there is no token it fetches one, for the others too."""
        url = f"file:{tmp_path / 'token.json'}"

        assert main(["token", "--source", "classic", "--store", url]) == 0
        assert main(["token", "--source", "classic", "--store", url]) == 0

        token = f"{wechat.current(slot='classic')}\n"
        assert capsys.readouterr().out == token * 2
        assert wechat.fetches() == 1

    @pytest.mark.parametrize("command", ["token", "inspect"])
    def test_unreachable(self, account: Account, wechat: WeChat, command: str, capsys: Any) -> None:
        """A store that cannot be reached is 4, in one line without its password, and nothing is fetched."""
        url = f"redis://me:pa55word@127.0.0.1:{free_port()}/0"

        assert main([command, "--store", url]) == 4

        out, err = capsys.readouterr()
        assert out == ""
        assert err.count("\n") == 1
        assert "failed (ConnectionError). Nothing listens there." in err
        assert "pa55word" not in err
        assert wechat.fetches() == 0

    def test_store_that_takes_nothing(
        self, account: Account, wechat: WeChat, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Any
    ) -> None:
        """If the store can be read and not written, WeChat is not asked: the fleet's token would be dead."""

        def full(*_: object) -> None:
            raise StoreError("The disk is full.")

        monkeypatch.setattr(JSONFileStore, "save", full)

        assert main(["token", "--source", "classic", "--store", f"file:{tmp_path / 'token.json'}"]) == 4

        assert "The disk is full. So WeChat was not asked" in capsys.readouterr().err
        assert wechat.fetches() == 0

    def test_store_that_fails_at_the_end(
        self, account: Account, wechat: WeChat, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Any
    ) -> None:
        """If the store fails after the fetch, the token is printed, and a warning."""
        save, calls = JSONFileStore.save, []

        def once(*args: Any) -> str | None:
            calls.append(args)
            if len(calls) > 1:
                raise StoreError("The disk is full.")
            return save(*args)

        monkeypatch.setattr(JSONFileStore, "save", once)

        assert main(["token", "--store", f"file:{tmp_path / 'token.json'}"]) == 0

        out, err = capsys.readouterr()
        assert out == f"{wechat.current(slot='stable')}\n"
        assert "may not know this token" in err

    @pytest.mark.parametrize("url", ["nonsense", "gopher://me:pa55word@host", "memory:", "redis://me:pa55word@h:x/y"])
    @pytest.mark.parametrize("command", ["token", "inspect"])
    def test_no_such_store(self, account: Account, command: str, url: str, capsys: Any) -> None:
        """What names no shared store is 2."""
        assert main([command, "--store", url]) == 2

        out, err = capsys.readouterr()
        assert out == ""
        assert "pa55word" not in err

    @pytest.mark.parametrize("command", ["token", "inspect"])
    def test_no_url(self, account: Account, command: str, capsys: Any) -> None:
        """--store without a URL anywhere is 2, and names the variable."""
        assert main([command, "--store"]) == 2
        assert "WXM_STORE" in capsys.readouterr().err

    def test_missing_package(self, account: Account, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
        """A store whose package is missing is 2, and says what to install."""
        monkeypatch.delitem(sys.modules, "wxmiddleware.stores.redis", raising=False)
        without("redis", monkeypatch)

        assert main(["token", "--store", "redis://localhost/0"]) == 2
        assert "pip install 'wxmiddleware[redis]'" in capsys.readouterr().err


class TestExitCodes:
    """What scripts branch on."""

    def test_wrong_secret(self, account: Account, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
        """A secret that WeChat refuses is 3, and is not shown."""
        monkeypatch.setenv("WECHAT_SECRET", "not-the-secret")

        assert main(["token"]) == 3

        out, err = capsys.readouterr()
        assert out == ""
        assert "40125" in err
        assert "not-the-secret" not in err

    def test_wechat_is_down(self, account: Account, wechat_server: SimulatorServer, capsys: Any) -> None:
        """A WeChat that cannot be reached is 4, and the secret is not shown."""
        wechat_server.stop()

        assert main(["token", "--source", "classic"]) == 4

        out, err = capsys.readouterr()
        assert out == ""
        assert "cannot be reached" in err
        assert "Check base_url" in err
        assert "next try" not in err  # not by this command
        assert account.secret not in err

    @pytest.mark.parametrize("command", ["token", "inspect"])
    def test_said_once(self, command: str) -> None:
        """What goes wrong is told by the command alone, not by the log's warnings as well."""
        nobody = f"http://127.0.0.1:{free_port()}"
        env = {**os.environ, "WECHAT_APPID": "wx1", "WECHAT_SECRET": "x" * 32, "WECHAT_BASE_URL": nobody}
        program = [sys.executable, "-m", "wxmiddleware", command]
        done = subprocess.run(program, env=env, capture_output=True, text=True, timeout=60, check=False)

        assert 4 == done.returncode
        assert "cannot be reached" in done.stdout + done.stderr
        assert "fetch_failed" not in done.stderr

    def test_timeout(self, account: Account, wechat: WeChat, capsys: Any) -> None:
        """A WeChat that answers later than --timeout is 4."""
        wechat.faults.add("/cgi-bin/stable_token", "hang")

        for command in ("token", "inspect"):
            assert main([command, "--timeout", "0.1"]) == 4
            assert "0.1 s" in capsys.readouterr().err

    @pytest.mark.usefixtures("nobody")
    def test_no_account(self, capsys: Any) -> None:
        """A missing account is 2, and the message names the variables."""
        assert main(["token"]) == 2
        assert "WECHAT_APPID and WECHAT_SECRET" in capsys.readouterr().err

    @pytest.mark.parametrize(
        "options",
        [
            [],
            ["nothing"],
            ["token", "--what"],
            ["token", "--time", "3"],
            ["token", "--timeout", "soon"],
            ["token", "--timeout", "-1"],
            ["token", "--source", "both"],
            ["token", "--base-url", "nowhere"],
            ["simulate", "--overlap", "-1"],
            ["schema", "--dialect", "oracle"],
            ["schema", "--table", "a b"],
        ],
    )
    def test_wrong_options(self, account: Account, options: list[str], capsys: Any) -> None:
        """What cannot be right is 2, and is said on standard error alone."""
        assert main(options) == 2

        out, err = capsys.readouterr()
        assert out == ""
        assert err

    @pytest.mark.parametrize("options", [["--secret", "s3cret"], ["--secret=s3cret"], ["--secret"]])
    @pytest.mark.parametrize("command", ["token", "inspect", "simulate"])
    def test_secret_on_the_command_line(self, command: str, options: list[str], capsys: Any) -> None:
        """--secret is refused with a better way, and its value is not repeated."""
        assert main([command, *options]) == 2

        err = capsys.readouterr().err
        assert "--secret-file" in err
        assert "s3cret" not in err

    @pytest.mark.parametrize("content", [None, b"", b" \n", b"\xff\xfe"])
    def test_useless_secret_file(self, account: Account, tmp_path: Path, content: bytes | None, capsys: Any) -> None:
        """A file of the secret that is missing, empty or no text is 2."""
        file = tmp_path / "secret"
        if content is not None:
            file.write_bytes(content)

        assert main(["token", "--secret-file", str(file)]) == 2
        assert "file of the secret" in capsys.readouterr().err

    def test_ctrl_c(self, account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
        """Ctrl-C is 130."""

        def interrupted(*_: object, **__: object) -> str:
            raise KeyboardInterrupt

        monkeypatch.setattr(TokenProvider, "get_token", interrupted)

        assert main(["token"]) == 130

    def test_unexpected(self, account: Account, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
        """A mistake of our own is 1; its text is not shown, because nobody knows what it quotes."""

        def broken(*_: object, **__: object) -> str:
            raise RuntimeError(account.secret)

        monkeypatch.setattr(TokenProvider, "get_token", broken)

        assert main(["token"]) == 1

        out, err = capsys.readouterr()
        assert out == ""
        assert "RuntimeError at test_cli.py:" in err
        assert account.secret not in err
        assert "Traceback" not in err

    @pytest.mark.parametrize("command", [[], ["token"], ["inspect"], ["schema"], ["simulate"]])
    def test_help_tells_the_exit_codes(self, command: list[str], capsys: Any) -> None:
        """--help is 0, and each command's lists the exit codes."""
        assert main([*command, "--help"]) == 0
        assert "\n  4    no token at the moment" in capsys.readouterr().out

    def test_reader_has_gone(self, account: Account) -> None:
        """Writing to a pipe that nobody reads is 1, without a traceback."""
        read, write = os.pipe()
        os.close(read)

        ended = subprocess.run(
            [sys.executable, "-m", "wxmiddleware", "token"], stdout=write, stderr=subprocess.PIPE, check=False
        )
        os.close(write)

        assert (ended.returncode, ended.stderr) == (1, b"")


class TestInspect:
    """``wxmiddleware inspect``"""

    def test_table(self, account: Account, wechat: WeChat, capsys: Any) -> None:
        """The rows say whose token it is and how long it lives; the token is not among them."""
        assert main(["inspect"]) == 0

        out, err = capsys.readouterr()
        rows = dict(re.split(r" {2,}", line) for line in out.splitlines())
        assert (rows["appid"], rows["kind"], rows["state"]) == (account.appid, "stable", "fresh")
        assert rows["ends in"] == "7200 s"
        assert str(wechat.current(slot="stable")) not in out
        assert err == ""

    def test_json(self, account: Account, wechat: WeChat, capsys: Any) -> None:
        """--json prints one object with the same, and without the token."""
        assert main(["inspect", "--json"]) == 0

        out = capsys.readouterr().out
        status = json.loads(out)
        assert (status["appid"], status["host"], status["state"]) == (account.appid, account.host, "fresh")
        assert 7190 < status["expires_in"] <= 7200
        assert 6900 < status["renews_in"] < status["expires_in"]
        assert status["backing_off"] is None
        assert str(wechat.current(slot="stable")) not in out

    def test_failure(self, account: Account, wechat: WeChat, capsys: Any) -> None:
        """Without a token the table tells the state and, once, the reason; the exit code is that of the failure."""
        wechat.accounts[account.appid].frozen = True

        assert main(["inspect"]) == 3

        out, err = capsys.readouterr()
        assert "empty" in out
        assert re.search(r"^reason .*40243", out, re.MULTILINE)
        assert re.search(r"^back-off +60 s: no request is sent to WeChat$", out, re.MULTILINE)
        assert err == ""
        assert account.secret not in out

    def test_failure_as_json(self, account: Account, wechat_server: SimulatorServer, capsys: Any) -> None:
        """Without a token --json still prints one object."""
        wechat_server.stop()

        assert main(["inspect", "--json"]) == 4

        out, err = capsys.readouterr()
        assert err == ""
        status = json.loads(out)
        assert status["state"] == "empty"
        assert status["expires_in"] is None
        assert status["backing_off"] > 0
        assert account.host in status["failure"]

    @pytest.mark.parametrize("rich", [True, False])
    def test_terminal(self, account: Account, monkeypatch: pytest.MonkeyPatch, capsys: Any, rich: bool) -> None:
        """On a terminal the table has colours if rich is there, and is plain if not."""
        monkeypatch.setenv("TERM", "xterm-256color")
        monkeypatch.delenv("NO_COLOR", raising=False)
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
        if not rich:
            monkeypatch.setitem(sys.modules, "rich.console", None)

        assert main(["inspect"]) == 0

        out = capsys.readouterr().out
        assert "fresh" in out
        assert ("\x1b[" in out) is rich


FAILURE = Failure(Cause.PERMANENT, "No. \x1b[31m", errcode=40164, errmsg="invalid ip 10.0.0.1", rid="a-b")


class TestInspectStore:
    """``wxmiddleware inspect --store``"""

    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        return tmp_path / "token.json"

    def put(self, path: Path, key: str = "wx:wechat:wx1:stable", **changes: Any) -> Record:
        """Have the store hold a record."""
        store = JSONFileStore(path)
        loaded = store.load(key)
        now = loaded.now
        good = Record(7, "T0ken", expires_at=now + 7200, sent_at=now - 60.2, received_at=now - 60)
        made = replace(good, **{name: each(now) if callable(each) else each for name, each in changes.items()})
        assert store.save(key, made, loaded.version) is not None
        return made

    @pytest.mark.usefixtures("nobody")
    @pytest.mark.parametrize(
        ("changes", "code"),
        [
            ({}, 0),
            ({"expires_at": lambda now: now + 100}, 0),
            ({"expires_at": lambda now: now - 1}, 4),
            ({"value": None, "expires_at": -math.inf}, 4),
            (
                {
                    "expires_at": lambda now: now - 1,
                    "cooldown": lambda now: Cooldown(now + 60, Failure(Cause.PERMANENT, "The secret is wrong.", 40125)),
                },
                3,
            ),
        ],
    )
    def test_check(self, path: Path, capsys: Any, changes: dict[str, Any], code: int) -> None:
        """--check is 0 only if each token in the store can be used."""
        self.put(path, "wx:wechat:wx1:stable")
        self.put(path, "wx:wechat:wx2:stable", lease=Lease("x", 2e9), **changes)

        assert main(["inspect", "--store", f"file:{path}"]) == 0
        assert main(["inspect", "--check", "--store", f"file:{path}"]) == code
        assert ("wx2" in capsys.readouterr().err) == bool(code)
        assert main(["inspect", "--check", "--appid", "wx1", "--store", f"file:{path}"]) == 0
        assert main(["inspect", "--check", "--appid", "wx3", "--store", f"file:{path}"]) == 4

    def look(self, path: Path, capsys: Any, *options: str) -> list[dict[str, Any]]:
        """What it prints as JSON; the store stays as it is."""
        before = path.read_bytes()

        assert main(["inspect", "--store", f"file:{path}", "--json", *options]) == 0

        out = capsys.readouterr().out
        assert "T0ken" not in out
        assert before == path.read_bytes()
        found: list[dict[str, Any]] = json.loads(out)["records"]
        return found

    @pytest.mark.usefixtures("nobody")
    def test_fresh(self, path: Path, capsys: Any) -> None:
        """A good token: whose, how long, since when."""
        self.put(path)
        (found,) = self.look(path, capsys)

        assert (found["appid"], found["kind"], found["realm"]) == ("wx1", "stable", "wechat")
        assert (found["state"], found["generation"]) == ("fresh", 7)
        assert 7100 < found["expires_in"] <= 7200
        assert 60 <= found["fetched_ago"] < 120
        assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\+00:00", found["fetched_at"])
        assert (found["lease"], found["cooldown"]) == (None, None)
        assert (found["rejections"], found["forced_today"]) == (0, 0)

    @pytest.mark.parametrize(
        ("key", "changes", "state"),
        [
            ("wx:wechat:wx1:stable", {"expires_at": lambda now: now + 400}, "fresh"),
            (
                "wx:wechat:wx1:stable",
                {"expires_at": lambda now: now + 280, "received_at": lambda now: now - 6900},
                "ahead",
            ),
            (
                "wx:wechat:wx1:classic",
                {"expires_at": lambda now: now + 580, "received_at": lambda now: now - 6600},
                "ahead",
            ),
            ("wx:wechat:wx1:ticket", {"expires_at": lambda now: now + 5}, "fresh"),
            ("wx:wechat:wx1:stable", {"expires_at": lambda now: now - 5, "rejected_at": lambda now: now}, "expired"),
            (
                "wx:wechat:wx1:stable",
                {"value": None, "expires_at": -math.inf, "received_at": -math.inf, "rejected_at": lambda now: now},
                "empty",
            ),
        ],
    )
    @pytest.mark.usefixtures("nobody")
    def test_state(self, path: Path, capsys: Any, key: str, changes: dict[str, Any], state: str) -> None:
        """The state is what a process that reads the record would make of it."""
        self.put(path, key, **changes)

        assert state == self.look(path, capsys)[0]["state"]

    @pytest.mark.usefixtures("nobody")
    def test_troubles(self, path: Path, capsys: Any) -> None:
        """Who refreshes, why WeChat is left alone, and what was spent; what is over is not shown."""
        day = china_day(time.time())
        self.put(
            path,
            lease=lambda now: Lease(f"{_process.name()}ab", now + 8),
            cooldown=lambda now: Cooldown(now + 60, FAILURE, 3),
            rejections=4,
            forced=5,
            forced_day=day,
            fetched=14,
            fetched_day=day,
        )
        self.put(
            path,
            "wx:wechat:wx2:classic",
            lease=lambda now: Lease("x", now - 1),
            cooldown=lambda now: Cooldown(now - 1, FAILURE, 3),
            forced=5,
            forced_day=day - 1,
            fetched=14,
            fetched_day=day - 1,
        )
        found, over = self.look(path, capsys)

        assert str(os.getpid()) in found["lease"]["owner"]
        assert 0 < found["lease"]["seconds"] <= 8
        assert found["lease"]["ended"] is False
        assert 0 < found["cooldown"].pop("seconds") <= 60
        assert found["cooldown"] == {
            "cause": "permanent",
            "streak": 3,
            "errcode": 40164,
            "errmsg": "invalid ip 10.0.0.1",
            "rid": "a-b",
            "message": FAILURE.message.replace("\x1b", "?"),
        }
        assert (found["rejections"], found["fetches_today"], found["forced_today"]) == (4, 14, 5)
        assert (over["lease"], over["cooldown"], over["fetches_today"], over["forced_today"]) == (None, None, 0, 0)

    @pytest.mark.usefixtures("nobody")
    def test_table(self, path: Path, capsys: Any) -> None:
        """For people there is a table for each record; nothing in it is obeyed by a terminal."""
        self.put(path, lease=lambda now: Lease("elsewhere/12/3/4/ab", now + 8))
        self.put(path, "wx:wechat:wx2:classic", cooldown=lambda now: Cooldown(now + 60, FAILURE, 3))

        assert main(["inspect", "--store", f"file:{path}"]) == 0

        out, err = capsys.readouterr()
        first, second = (dict(re.split(r" {2,}", line) for line in table.splitlines()) for table in out.split("\n\n"))
        assert re.fullmatch("by process 12 on elsewhere, for [78] s at most", first["being renewed"])
        assert first["forced today"] == "0 of 10"
        assert second["appid"] == "wx2"
        assert second["cause"] == "permanent, 3 in a row"
        assert second["WeChat's text"] == "invalid ip 10.0.0.1"
        assert second["reason"] == "No. ?[31m"
        assert "T0ken" not in out
        assert err == ""

    @pytest.mark.usefixtures("nobody")
    def test_no_messages(self, path: Path, capsys: Any) -> None:
        """What a webhook remembers in the same store is no token."""
        self.put(path)
        self.put(path, "wx:wx1:webhook:3f")

        assert main(["inspect", "--store", f"file:{path}"]) == 0
        assert "webhook" not in capsys.readouterr().out

    @pytest.mark.usefixtures("nobody")
    def test_one_appid(self, path: Path, capsys: Any) -> None:
        """--appid leaves out the others."""
        for appid in ("wx1", "wx2"):
            self.put(path, f"wx:wechat:{appid}:stable")

        assert ["wx2"] == [found["appid"] for found in self.look(path, capsys, "--appid", "wx2")]

    @pytest.mark.usefixtures("nobody")
    @pytest.mark.parametrize(("url", "code"), [("file:%s", 4), ("file://%s", 4), ("sqlite:///%s", 2)])
    def test_nothing_there(self, tmp_path: Path, capsys: Any, url: str, code: int) -> None:
        """That there is no such file or database is said; a look creates nothing."""
        assert main(["inspect", "--json", "--store", url % (tmp_path / "nothing")]) == code

        out, err = capsys.readouterr()
        assert out == ""
        assert "does not exist" in err or "There is no SQLite database" in err
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.usefixtures("nobody")
    def test_empty(self, path: Path, capsys: Any) -> None:
        """An empty store is no error, and told from one that holds other accounts only."""
        self.put(path)
        path.write_text(json.dumps({**json.loads(path.read_text()), "records": {}}))
        assert main(["inspect", "--json", "--store", f"file:{path}"]) == 0
        assert capsys.readouterr() == ('{\n  "records": []\n}\n', "wxmiddleware: The store is empty.\n")

        self.put(path)
        assert main(["inspect", "--store", f"file:{path}", "--appid", "wx2"]) == 0
        assert capsys.readouterr() == ("", "wxmiddleware: The store holds no such record.\n")

    @pytest.mark.usefixtures("nobody")
    def test_no_table(self, tmp_path: Path, capsys: Any) -> None:
        """A table that is missing stays missing."""
        file = tmp_path / "db"
        sqlite3.connect(file).close()
        file.touch()
        main(["inspect", "--store", f"sqlite:///{file}"])

        connection = sqlite3.connect(file)
        try:
            assert connection.execute("SELECT * FROM sqlite_master").fetchall() == []
        finally:
            connection.close()

    @pytest.mark.usefixtures("nobody")
    def test_unreadable(self, path: Path, capsys: Any) -> None:
        """What a later version has written is said, beside the others, and makes it 4."""
        self.put(path)
        content = json.loads(path.read_text())
        content["records"]["wx:wechat:wx2:stable"] = {"stamp": "a", "record": {"v": 99}}
        path.write_text(json.dumps(content))

        assert main(["inspect", "--store", f"file:{path}"]) == 4

        out = capsys.readouterr().out
        assert "fresh" in out
        assert "unreadable" in out
        assert "Update this process" in out

        assert main(["inspect", "--store", f"file:{path}", "--appid", "wx2"]) == 4
        assert "Update this process" in capsys.readouterr().err

    @pytest.mark.servers
    def test_redis(self, account: Account, wechat: WeChat, tmp_path: Path, capsys: Any) -> None:
        """It is so with a real Redis, and WeChat is asked for nothing."""
        with RedisServer(tmp_path) as redis:
            assert main(["token", "--source", "classic", "--store", redis.url]) == 0
            token = capsys.readouterr().out.strip()
            assert main(["inspect", "--store", redis.url]) == 0

        out = capsys.readouterr().out
        assert account.appid in out
        assert re.search(r"kind +classic", out)
        assert token not in out
        assert wechat.fetches() == 1

    @pytest.mark.servers
    def test_all_of_an_account_in_redis(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
        """Every kind and realm is shown, also without an account in the environment; --appid chooses one."""
        monkeypatch.delenv("WECHAT_APPID", raising=False)
        keys = [f"wx:{realm}:wx1:{kind}" for realm in ("private", "wechat") for kind in ("remote-1a2b3c4d", "stable")]
        with RedisServer(tmp_path) as redis:
            store = store_from_url(redis.url)
            for key in [*keys, "wx:wechat:wx2:stable"]:
                loaded = store.load(key)
                record = Record(1, "T1", loaded.now + 7200, sent_at=loaded.now, received_at=loaded.now)
                store.save(key, record, loaded.version)
            found = []
            for more in ([], ["--appid", "wx1"]):
                assert main(["inspect", "--json", "--store", redis.url, *more]) == 0
                records = json.loads(capsys.readouterr().out)["records"]
                found.append([f"wx:{each['realm']}:{each['appid']}:{each['kind']}" for each in records])

        assert [sorted([*keys, "wx:wechat:wx2:stable"]), keys] == found

    def test_realm_of_wecom(self, path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
        """An official account is kept in no realm of WeCom's, and nothing is asked for."""
        monkeypatch.setenv("WECHAT_APPID", "wx1")
        monkeypatch.setenv("WECHAT_SECRET", "5ec2e7")

        assert main(["keep", "--store", f"file:{path}", "--realm", "wecom"]) == 2
        assert "WECHAT_REALM is 'wecom', and this account's is 'wechat'" in capsys.readouterr().err

    def test_store_that_cannot_list(
        self, account: Account, path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
    ) -> None:
        """It is asked for both kinds of the account in the environment, whose secret it does not need."""
        monkeypatch.delattr(JSONFileStore, "keys")
        for kind in ("stable", "classic"):
            self.put(path, record_key(account, kind))
        self.put(path)

        assert main(["inspect", "--store", f"file:{path}"]) == 0
        assert f"cannot list what it holds. Looked for {record_key(account, 'stable')} and" in capsys.readouterr().err
        assert ["stable", "classic"] == [found["kind"] for found in self.look(path, capsys)]

        monkeypatch.delenv("WECHAT_SECRET")
        assert ["stable", "classic"] == [found["kind"] for found in self.look(path, capsys)]

        monkeypatch.delenv("WECHAT_APPID")
        assert main(["inspect", "--store", f"file:{path}"]) == 2
        err = capsys.readouterr().err
        assert "cannot list" in err
        assert "WECHAT_APPID" in err


class TestSchema:
    """``wxmiddleware schema``"""

    @pytest.mark.servers
    @pytest.mark.parametrize(("server", "dialects"), [(MariaDB, ["mysql", "mariadb"]), (PostgreSQL, ["postgresql"])])
    def test_runs(self, server: type[MariaDB | PostgreSQL], dialects: list[str], capsys: Any) -> None:
        """What it prints creates the table on a real server, and a store that creates nothing works there."""
        from sqlalchemy import create_engine

        with server() as running:
            for dialect in dialects:
                assert main(["schema", "--dialect", dialect, "--table", f"of_{dialect}"]) == 0
                engine = create_engine(running.url)
                with engine.begin() as connection:
                    connection.exec_driver_sql(capsys.readouterr().out)
                engine.dispose()
                self.use(SQLStore.from_url(running.url, table=f"of_{dialect}", create=False))

    def test_sqlite(self, tmp_path: Path, capsys: Any) -> None:
        """So does it with SQLite."""
        assert main(["schema", "--dialect", "sqlite"]) == 0

        connection = sqlite3.connect(tmp_path / "db")
        connection.executescript(capsys.readouterr().out)
        connection.close()
        self.use(SQLStore.from_url(f"sqlite:///{tmp_path / 'db'}", create=False))

    def use(self, store: SQLStore) -> None:
        """See that it works."""
        try:
            loaded = store.load("wx:wechat:wx1:stable")
            saved = Record(7, "T0ken", expires_at=loaded.now + 7200)
            assert store.save("wx:wechat:wx1:stable", saved, loaded.version)
            assert store.load("wx:wechat:wx1:stable").record == saved
        finally:
            store.close()

    def test_default(self, capsys: Any) -> None:
        """By default it is MySQL's, and the table is SQLStore's."""
        assert main(["schema"]) == 0

        out = capsys.readouterr().out
        assert "wxmiddleware_tokens" in out
        assert "InnoDB" in out

    def test_without_sqlalchemy(self, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
        """Without SQLAlchemy it says what to install."""
        monkeypatch.delitem(sys.modules, "wxmiddleware.stores.sql", raising=False)
        without("sqlalchemy", monkeypatch)

        assert main(["schema"]) == 2
        assert "pip install 'wxmiddleware[sql]'" in capsys.readouterr().err


class TestSimulate:
    """``wxmiddleware simulate``"""

    def test_passes_the_options_on(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """Every option arrives, and knobs that were not turned are left alone."""
        file = tmp_path / "secret"
        file.write_text("made-up\n")
        given: dict[str, Any] = {}

        def simulate(*args: object, **options: object) -> int:
            given.update(options)
            return 0

        monkeypatch.setattr("wxmiddleware.cli.simulate.simulate", simulate)
        line = (
            "--host ::1 --port 81 --no-admin --quiet --speed 60 --appid wx1 --lifetime 20 --overlap 0 --token-latency 2"
        )

        line += " --allow-host wechat --allow-host 10.0.0.5 --accounts 3 --platform"

        assert main(["simulate", *line.split(), "--wecom", "--propagation-lag=1", "--secret-file", str(file)]) == 0

        assert given == {
            "host": "::1",
            "port": 81,
            "admin": False,
            "hosts": ["wechat", "10.0.0.5"],
            "accounts": 3,
            "platform": True,
            "wecom": True,
            "suite": False,
            "quiet": True,
            "speed": 60.0,
            "appid": "wx1",
            "lifetime": 20,
            "overlap": 0.0,
            "token_latency": 2.0,
            "propagation_lag": 1.0,
            "secret": "made-up",
        }
        assert main(["simulate"]) == 0

    def test_serves_until_ctrl_c(self, nobody: None, capfd: Any) -> None:
        """What it prints leads `wxmiddleware token` to it, and Ctrl-C ends it with 0."""
        command = [sys.executable, "-m", "wxmiddleware", "simulate"]
        environ = {**os.environ, "PYTHONUNBUFFERED": "1"}
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environ) as process:
            assert process.stdout is not None
            exports: dict[str, str] = {}
            while len(exports) < 3:
                line = process.stdout.readline()
                assert line
                if line.startswith("export "):
                    name, _, value = line.removeprefix("export ").strip().partition("=")
                    exports[name] = value
            token = subprocess.run(
                [sys.executable, "-m", "wxmiddleware", "token"],
                env={**os.environ, **exports},
                capture_output=True,
                text=True,
                check=False,
            )
            process.send_signal(signal.SIGINT)
            rest = process.stdout.read()

        assert (token.returncode, token.stderr, len(token.stdout)) == (0, "", 158)
        assert process.returncode == 0
        assert "/cgi-bin/stable_token" in rest
        assert token.stdout.strip() not in rest

    def test_port_is_taken(self, wechat_server: SimulatorServer, capsys: Any) -> None:
        """A port that is taken is 1, and said."""
        port = wechat_server.url.rpartition(":")[2]

        assert main(["simulate", "--port", port]) == 1
        assert "taken" in capsys.readouterr().err


def test_version() -> None:
    """``python -m wxmiddleware --version`` prints the name and the version."""
    ended = subprocess.run(
        [sys.executable, "-m", "wxmiddleware", "--version"], capture_output=True, text=True, check=True
    )

    name, version = ended.stdout.split()
    assert name == "wxmiddleware"
    assert version[0].isdigit()


def test_import_is_light() -> None:
    """Importing the commands loads neither rich nor the simulator nor a framework."""
    heavy = [
        "rich",
        "flask",
        "werkzeug",
        "starlette",
        "httpx",
        "redis",
        "sqlalchemy",
        "wxmiddleware.simulator",
    ]
    code = f"import sys, wxmiddleware.cli; print([name for name in {heavy} if name in sys.modules])"

    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert ended.stdout.strip() == "[]"


class TestRetry:
    """``wxmiddleware retry``: what was mended is tried at once."""

    pytestmark = pytest.mark.usefixtures("account")

    def test_mended(self, wechat: WeChat, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Any) -> None:
        """An IP was allowed: the pause in the store is over, and a token there; it is not printed."""
        monkeypatch.setenv("WXM_STORE", f"file:{tmp_path / 'token.json'}")
        wechat.accounts[wechat.appid].ip_allowlist = ["10.0.0.1"]
        refused = main(["token"])
        wechat.accounts[wechat.appid].ip_allowlist = None
        waits = main(["token"])
        codes = [main(["retry"]), main(["token"])]
        out = capsys.readouterr().out

        assert (REFUSED, REFUSED, [OK, OK]) == (refused, waits, codes)
        assert "There is a token, for 7" in out.splitlines()[0]
        assert wechat.is_valid(out.splitlines()[1])

    def test_not_mended(self, wechat: WeChat, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Any) -> None:
        """If nothing was mended, WeChat's answer is told."""
        monkeypatch.setenv("WXM_STORE", f"file:{tmp_path / 'token.json'}")
        wechat.accounts[wechat.appid].ip_allowlist = ["10.0.0.1"]
        codes = [main(["token"]), main(["retry"])]

        assert [REFUSED, REFUSED] == codes
        assert "40164" in capsys.readouterr().err

    def test_without_a_store(self, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
        """Each process has a pause of its own then, which this one cannot end."""
        monkeypatch.delenv("WXM_STORE", raising=False)

        assert USAGE == main(["retry"])
        assert "retry_now()" in capsys.readouterr().err
