"""The checks of the environment: each is made to fail, and only it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from doctor.conftest import Doctor
from wxmiddleware.cli.doctor.findings import Level
from wxmiddleware.cli.doctor.settings import judge_appid, judge_secret
from wxmiddleware.cli.doctor.workers import judge_workers, workers_of
from wxmiddleware.simulator import WeChat

APPID, SECRET = "wx8a1b2c3d4e5f6a7b", "0123456789abcdef0123456789abcdef"


def test_sound(doctor: Doctor, file_store: Path, wechat: WeChat) -> None:
    """Where nothing is wrong nothing fails, nothing is fetched, and the store is as before."""
    before, fetches = file_store.read_text(), wechat.fetches()
    visit = doctor()

    assert {"ok", "skip"} == {each["level"] for each in visit.checks.values()}
    assert (0, None, True) == (visit.code, visit.told["cause"], visit.told["ok"])
    assert visit.told["asked"]
    assert (before, fetches) == (file_store.read_text(), wechat.fetches())
    assert "没有失败的检查" in visit.text


def test_nothing_known(doctor: Doctor, environment: pytest.MonkeyPatch, wechat: WeChat) -> None:
    """Where no record tells and WeChat was not asked, the end says so: a wrong secret is not called sound."""
    environment.delenv("WXM_STORE", raising=False)
    environment.setenv("WECHAT_SECRET", SECRET)
    visit = doctor()

    assert ("fetch.passive", None) == (visit.checks["fetch"]["finding"], visit.told["cause"])
    assert "没有失败的检查" not in visit.text
    assert "请加 --active，请求一次" in visit.text
    assert (True, False) == (visit.told["ok"], visit.told["asked"])
    assert 0 == wechat.fetches()


class TestAppid:
    @pytest.mark.parametrize(
        ("value", "finding", "level"),
        [
            ("", "value.missing", "fail"),
            ("'wx8a1b2c3d4e5f6a7b'", "value.quotes", "fail"),
            ("wx8a1b2c3d4e5f6a7b\n", "value.space", "fail"),
            ("${APPID}", "value.placeholder", "fail"),
            ("your-appid", "value.placeholder", "fail"),
            (SECRET, "appid.secret", "fail"),
            ("gh_97417a04a28d", "appid.original", "fail"),
            ("ww8a1b2c3d4e5f6a7b", "appid.corp", "fail"),
        ],
    )
    def test_wrong(self, doctor: Doctor, environment: pytest.MonkeyPatch, value: str, finding: str, level: str) -> None:
        """An AppID that cannot be one is the cause, and what needs an account is skipped."""
        environment.setenv("WECHAT_APPID", value)
        visit = doctor()

        visit.only("appid", finding, level)
        assert "skip" == visit.level("wechat")

    def test_swapped_with_the_secret_is_not_shown(self, doctor: Doctor, environment: pytest.MonkeyPatch) -> None:
        """A secret in the AppID's place is not repeated."""
        environment.setenv("WECHAT_APPID", SECRET)

        doctor(secrets=(SECRET,)).only("appid", "appid.secret")

    def test_another_form(self) -> None:
        """An AppID of another form may be one."""
        assert Level.WARN is judge_appid("WECHAT_APPID", "wx1").level
        assert Level.OK is judge_appid("WECOM_CORPID", "ww8a1b2c3d4e5f6a7b", wecom=True).level


class TestSecret:
    @pytest.mark.parametrize(
        ("value", "finding", "level"),
        [
            ("", "value.missing", "fail"),
            (f'"{SECRET}"', "value.quotes", "fail"),
            (f"{SECRET} ", "value.space", "fail"),
            ("<AppSecret>", "value.placeholder", "fail"),
            (APPID, "secret.appid", "fail"),
            (SECRET[:31], "secret.form", "warn"),
        ],
    )
    def test_wrong(self, doctor: Doctor, environment: pytest.MonkeyPatch, value: str, finding: str, level: str) -> None:
        """A secret that cannot be one is told, and not shown."""
        environment.setenv("WECHAT_SECRET", value)

        doctor(secrets=(value.strip('" '),) if value else ()).only("secret", finding, level)

    def test_follower(self, doctor: Doctor, environment: pytest.MonkeyPatch, file_store: Path) -> None:
        """Beside a store it may be missing: a process that only reads needs none."""
        environment.delenv("WECHAT_SECRET")

        doctor().only("secret", "secret.follow", "warn")

    def test_file(self, doctor: Doctor, tmp_path: Path) -> None:
        """A file that cannot be read is told."""
        doctor("--secret-file", str(tmp_path / "none")).only("secret", "secret.file")

    def test_of_wecom(self) -> None:
        """WeCom's have another form."""
        assert Level.OK is judge_secret("WECOM_SECRET", "s" * 43, "ww8a1b2c3d4e5f6a7b", wecom=True).level


class TestBaseURL:
    @pytest.mark.parametrize("url", ["api.weixin.qq.com", "http://api.weixin.qq.com", "https://x/cgi-bin"])
    def test_wrong(self, doctor: Doctor, environment: pytest.MonkeyPatch, url: str) -> None:
        """A URL that leads nowhere, or would show the secret on the way, is the cause."""
        environment.setenv("WECHAT_BASE_URL", url)

        doctor().only("base_url", "base_url.wrong")

    def test_realm(self, doctor: Doctor, environment: pytest.MonkeyPatch) -> None:
        """So is a realm that is none."""
        environment.setenv("WECHAT_REALM", "Production!")

        doctor().only("base_url", "base_url.wrong")


class TestStoreURL:
    @pytest.mark.parametrize("url", ["postgres", "redis://:p4ssw0rd@/0/1/2", "memory:", "redis://user:p4ssw0rd@ho st"])
    def test_wrong(self, doctor: Doctor, environment: pytest.MonkeyPatch, url: str) -> None:
        """A URL that names no shared store is the cause, and its password is not shown."""
        environment.setenv("WXM_STORE", url)
        visit = doctor(secrets=("p4ssw0rd",))

        visit.only("store_url", "store_url.wrong")
        assert "store_url" == visit.checks["store"]["blocked_by"]

    def test_option_without_a_url(self, doctor: Doctor, capsys: pytest.CaptureFixture[str]) -> None:
        """--store without one and without WXM_STORE is a mistake on the command line."""
        from wxmiddleware.cli import main

        assert 2 == main(["doctor", "--store"])
        assert "WXM_STORE" in capsys.readouterr().err


class TestWorkers:
    @pytest.mark.parametrize(
        ("environ", "expected"),
        [
            ({}, None),
            ({"WEB_CONCURRENCY": "4"}, ("WEB_CONCURRENCY", 4)),
            ({"WEB_CONCURRENCY": "many"}, None),
            ({"GUNICORN_CMD_ARGS": "--bind 0.0.0.0:80 --workers=3"}, ("GUNICORN_CMD_ARGS", 3)),
            ({"GUNICORN_CMD_ARGS": "-w 3 --preload"}, ("GUNICORN_CMD_ARGS", 3)),
            ({"GUNICORN_CMD_ARGS": "-w3"}, ("GUNICORN_CMD_ARGS", 3)),
            ({"GUNICORN_CMD_ARGS": "--workers '"}, None),
            ({"UWSGI_PROCESSES": "8"}, ("UWSGI_PROCESSES", 8)),
        ],
    )
    def test_environment(self, environ: dict[str, str], expected: tuple[str, int] | None) -> None:
        """What servers read their number of workers from."""
        assert expected == workers_of(environ)

    def test_alone(self, doctor: Doctor, environment: pytest.MonkeyPatch) -> None:
        """Workers without a store each fetch; with the stable endpoint that is only waste."""
        environment.setenv("WEB_CONCURRENCY", "4")

        assert {"workers": 4} == doctor().only("workers", "workers.alone", "warn")["data"]

    def test_classic(self, doctor: Doctor, environment: pytest.MonkeyPatch) -> None:
        """With the classic endpoint each ends the others' tokens."""
        environment.setenv("GUNICORN_CMD_ARGS", "--workers 4")

        doctor("--source", "classic").only("workers", "workers.classic")

    @pytest.mark.parametrize(("count", "shared"), [(1, False), (4, True)])
    def test_nothing_to_say(self, count: int, shared: bool) -> None:
        """One worker needs no store, and many with a store are what it is for."""
        assert Level.OK is judge_workers(("WEB_CONCURRENCY", count), shared=shared, classic=True).level


def test_home_is_not_shown(
    doctor: Doctor, environment: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The user's name in the path of a file is not shown."""
    environment.setenv("HOME", str(tmp_path / "alice"))
    os.mkdir(tmp_path / "alice")
    environment.setenv("WXM_STORE", f"file:{tmp_path}/alice/token.json")
    visit = doctor(secrets=(str(tmp_path / "alice"),))

    assert "~/token.json" in visit.checks["store_url"]["seen"]


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    """The help says what is spent."""
    from wxmiddleware.cli import main

    assert 0 == main(["doctor", "--help"])
    assert "ends no token" in " ".join(capsys.readouterr().out.split())
