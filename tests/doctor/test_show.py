"""What the doctor shows can be shown to anybody."""

from __future__ import annotations

import pytest

from doctor.conftest import Doctor
from wxmiddleware._runtime.language import Language, Text
from wxmiddleware.cli import main
from wxmiddleware.cli.doctor import command
from wxmiddleware.cli.doctor.checks import Check, needed_for, run
from wxmiddleware.cli.doctor.findings import Level, fail, ok
from wxmiddleware.cli.doctor.show import Screen, lines_of
from wxmiddleware.cli.doctor.table import TABLE

ABOUT = Text("a check", "一项检查")


@pytest.fixture
def screen() -> Screen:
    return Screen(["s3cr3t/word", "88_token"], Language.ENGLISH)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("secret s3cr3t/word.", "secret ***."),
        ("?x=s3cr3t%2Fword&y", "?x=***&y"),
        ("?access_token=88_other", "?access_token=***"),
        ("88_token88_token", "******"),
        ("at 10.1.2.3:6379", "at 10.1.*.*:6379"),
        ("ipv6 ::ffff:10.1.2.3, not", "ipv6 :*, not"),
        ("at 203.0.113.7", "at 203.0.113.7"),
        ("at 127.0.0.1 and ::1", "at 127.0.0.1 and ::1"),
        ("at 2001:db8::7.", "at 2001:*."),
        ("at 12:30:45, 3.11.7, 1.2.3.4.5", "at 12:30:45, 3.11.7, 1.2.3.4.5"),
        ("a\x1b[31mline\nand another", "a?[31mline?and another"),
    ],
)
def test_screen(screen: Screen, text: str, shown: str) -> None:
    """Secrets in any form, and addresses but those that are needed, are taken out; so is what a terminal obeys."""
    assert shown == screen.text(text, {"203.0.113.7"})


def test_data(screen: Screen) -> None:
    """So it is in the figures for machines."""
    given = {"access_token": "88_x", "hosts": ["10.1.2.3"], "count": 3, "deep": {"text": "88_token"}}

    assert {"access_token": "***", "hosts": ["10.1.*.*"], "count": 3, "deep": {"text": "***"}} == screen.data(given)


def test_columns() -> None:
    """Names stand below each other in Chinese, too."""
    check = Check("appid", lambda _: ok("proxy.none"), ABOUT)
    (result,) = run([check], None)  # type: ignore[arg-type]
    lines = [lines_of(result, 8, Screen([], each))[0] for each in Language]

    assert ["ok    appid     No proxy", "正常  appid     没有使用代理"] == [lines[0][:24], lines[1][:22].rstrip("。")]


class TestRun:
    def test_blocked(self) -> None:
        """What depends on a failed check is skipped, however far, and names the one that failed."""
        table = [
            Check("first", lambda _: fail("proxy.wrong"), ABOUT),
            Check("second", lambda _: ok("proxy.none"), ABOUT, needs=("first",)),
            Check("third", lambda _: ok("proxy.none"), ABOUT, needs=("second",)),
            Check("other", lambda _: ok("proxy.none"), ABOUT),
        ]
        found = list(run(table, None))  # type: ignore[arg-type]

        assert [Level.FAIL, Level.SKIP, Level.SKIP, Level.OK] == [each.level for each in found]
        assert ["", "first", "first", ""] == [each.blocked_by for each in found]

    def test_broken(self, doctor: Doctor, environment: pytest.MonkeyPatch) -> None:
        """A check that breaks has failed, and what its error says is not shown."""

        def look(_: object) -> None:
            raise RuntimeError("88_secret-token")

        environment.setattr(command, "TABLE", (Check("odd", look, ABOUT), *TABLE))  # type: ignore[arg-type]
        visit = doctor(secrets=("88_secret-token",))

        assert "RuntimeError" in visit.checks["odd"]["seen"]
        assert "ok" == visit.level("wechat")

    def test_needed_for(self) -> None:
        """A check is run with all that it depends on, and nothing else."""
        names = [check.name for check in needed_for(TABLE, "clock")]

        assert ["appid", "base_url", "proxy", "dns", "connect", "tls", "wechat", "clock"] == names


def test_list(doctor: Doctor, capsys: pytest.CaptureFixture[str], environment: pytest.MonkeyPatch) -> None:
    """--list says of each check what it is about and what it costs, and connects to nothing."""
    environment.setenv("WECHAT_APPID", "")

    assert 0 == main(["doctor", "--list"])
    assert [check.name for check in TABLE] == [line.split()[0] for line in capsys.readouterr().out.splitlines()]
