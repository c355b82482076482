"""The shell's commands against the simulator."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from wxmiddleware import Account, TokenProvider
from wxmiddleware.cli import main
from wxmiddleware.simulator import SimulatorServer, WeChat


@pytest.fixture
def account(wechat_account: Account, monkeypatch: pytest.MonkeyPatch) -> Account:
    """The simulator's account, in the environment."""
    monkeypatch.setenv("WECHAT_APPID", wechat_account.appid)
    monkeypatch.setenv("WECHAT_SECRET", wechat_account.secret)
    monkeypatch.setenv("WECHAT_BASE_URL", wechat_account.base_url)
    return wechat_account


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment without an account."""
    for name in ("WECHAT_APPID", "WECHAT_SECRET", "WECHAT_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


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
        monkeypatch.setattr(sys, "stdin", io.StringIO(account.secret))

        assert main(["token", "--secret-file", "-"]) == 0
        assert capsys.readouterr().out == f"{wechat.current(slot='stable')}\n"


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
        assert account.secret not in err

    def test_timeout(self, account: Account, wechat: WeChat, capsys: Any) -> None:
        """A WeChat that answers later than --timeout is 4."""
        wechat.faults.add("/cgi-bin/stable_token", "hang")

        assert main(["token", "--timeout", "0.1"]) == 4
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
            ["demo", "--workers", "0"],
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

    @pytest.mark.parametrize("command", [[], ["token"], ["inspect"], ["simulate"], ["demo"]])
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
        assert status["cooling"] is None
        assert str(wechat.current(slot="stable")) not in out

    def test_failure(self, account: Account, wechat: WeChat, capsys: Any) -> None:
        """Without a token the table tells the state and the reason, and the exit code is that of the failure."""
        wechat.accounts[account.appid].frozen = True

        assert main(["inspect"]) == 3

        out, err = capsys.readouterr()
        assert "empty" in out
        assert "reason" in out
        assert "left alone for  60 s" in out
        assert "40243" in err
        assert account.secret not in out + err

    def test_failure_as_json(self, account: Account, wechat_server: SimulatorServer, capsys: Any) -> None:
        """Without a token --json still prints one object."""
        wechat_server.stop()

        assert main(["inspect", "--json"]) == 4

        status = json.loads(capsys.readouterr().out)
        assert status["state"] == "empty"
        assert status["expires_in"] is None
        assert status["cooling"] > 0
        assert account.host in status["reason"]

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

        monkeypatch.setattr("wxmiddleware.simulator._cli.simulate", simulate)
        line = (
            "--host ::1 --port 81 --no-admin --quiet --speed 60 --appid wx1 --lifetime 20 --overlap 0 --token-latency 2"
        )

        assert main(["simulate", *line.split(), "--propagation-lag", "1", "--secret-file", str(file)]) == 0

        assert given == {
            "host": "::1",
            "port": 81,
            "admin": False,
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
    heavy = ["rich", "flask", "werkzeug", "starlette", "httpx", "wxmiddleware.simulator", "wxmiddleware._demo._run"]
    code = f"import sys, wxmiddleware.cli; print([name for name in {heavy} if name in sys.modules])"

    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert ended.stdout.strip() == "[]"
