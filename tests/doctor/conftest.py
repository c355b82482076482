"""Visits to the doctor: the command is run for machines and for people, in both languages, and says no secret."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.leaks import everything_logged

from wxmiddleware.cli import main
from wxmiddleware.simulator import SimulatorServer, WeChat

QUIET = {"ok", "skip"}
VARIABLES = re.compile(
    r"(WECHAT|WECOM|WXM|UWSGI|GUNICORN)_.*|WEB_CONCURRENCY|(https?|all|no)_proxy|LANG|LC_.*|.*_CA_BUNDLE", re.IGNORECASE
)


class Visit:
    """
    What the doctor has found.

    Attributes:
        code: The exit code.
        told: The JSON.
        text: What people see, in Chinese.
        checks: What was found, by the check's name.
    """

    def __init__(self, code: int, out: str, text: str) -> None:
        self.code = code
        self.told: dict[str, Any] = json.loads(out)
        self.text = text
        self.checks = {each["name"]: each for each in self.told["checks"]}

    def only(self, name: str, finding: str, level: str = "fail") -> dict[str, Any]:
        """See that this check alone has found something, and give what; what depends on it was skipped."""
        loud = {each: check["level"] for each, check in self.checks.items() if check["level"] not in QUIET}

        assert {name: level} == loud, [self.checks[each]["seen"] for each in loud]
        assert finding == self.checks[name]["finding"]
        assert (int(level == "fail"), name if level == "fail" else None) == (self.code, self.told["cause"])
        assert all(each["blocked_by"] in (None, name) for each in self.checks.values())
        found: dict[str, Any] = self.checks[name]
        return found

    def level(self, name: str) -> str:
        """How a check has ended."""
        level: str = self.checks[name]["level"]
        return level


Doctor = Callable[..., Visit]


@pytest.fixture
def environment(wechat: WeChat, wechat_server: SimulatorServer, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """The simulator's account in the environment, and nothing else that the doctor looks at."""
    import os

    for name in list(os.environ):
        if VARIABLES.fullmatch(name):
            monkeypatch.delenv(name)
    monkeypatch.setenv("WECHAT_APPID", wechat.appid)
    monkeypatch.setenv("WECHAT_SECRET", wechat.secret)
    monkeypatch.setenv("WECHAT_BASE_URL", wechat_server.url)
    return monkeypatch


@pytest.fixture
def doctor(wechat: WeChat, environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Doctor:
    """Visit the doctor with these options. Neither its output nor any log has a token or a secret."""

    def visit(*options: str, command: str = "doctor", secrets: tuple[str, ...] = ()) -> Visit:
        with everything_logged() as log:
            code = main([command, "--json", *options])
            out, err = capsys.readouterr()
            environment.setenv("WXM_LANG", "zh")
            again = main([command, *options])
            text, more = capsys.readouterr()
            environment.delenv("WXM_LANG")
        hidden = {*secrets, wechat.secret, *wechat._rules._tokens, *wechat._corps._tokens}
        shown = out + err + text + more + log.getvalue()

        assert [] == [each for each in hidden if each in shown]
        assert ("", "") == (err, more)
        assert code == again
        return Visit(code, out, text)

    return visit


@pytest.fixture
def file_store(environment: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """A file that services share, with a token in it; it is in WXM_STORE."""
    path = tmp_path / "token.json"
    environment.setenv("WXM_STORE", f"file:{path}")

    assert main(["token"]) == 0
    capsys.readouterr()
    return path
