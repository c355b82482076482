"""The function behind ``wxmiddleware simulate``."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import threading
from typing import Any

import pytest
import requests

from wxmiddleware.cli import simulate
from wxmiddleware.exceptions import ConfigurationError


class Paper(io.StringIO):
    """Text that can be waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.changed = threading.Condition()

    def write(self, text: str) -> int:
        with self.changed:
            self.changed.notify_all()
            return super().write(text)

    def wait_for(self, text: str) -> bool:
        with self.changed:
            return self.changed.wait_for(lambda: text in self.getvalue(), timeout=10)


def exported(text: str) -> dict[str, str]:
    lines = [line.removeprefix("export ") for line in text.splitlines() if line.startswith("export ")]
    return dict(line.split("=", 1) for line in lines)


def test_simulate() -> None:
    """It prints what to export, then a line for each request without its secret, and ends with 0."""
    out, stop, codes = Paper(), threading.Event(), []
    thread = threading.Thread(target=lambda: codes.append(simulate.simulate(out=out, stop=stop, overlap=0)))
    thread.start()
    try:
        assert out.wait_for("steal")
        env = exported(out.getvalue())
        query = {"grant_type": "client_credential", "appid": env["WECHAT_APPID"], "secret": env["WECHAT_SECRET"]}
        answer = requests.get(env["WECHAT_BASE_URL"] + "/cgi-bin/token", params=query, timeout=10).json()
        requests.get(env["WECHAT_BASE_URL"] + "/cgi-bin/user/get", timeout=10)
        assert out.wait_for("GET   200  /cgi-bin/user/get  errcode 41001")
        assert requests.post(env["WECHAT_BASE_URL"] + "/_simulator/reset", timeout=10).ok
        requests.get(env["WECHAT_BASE_URL"] + "/cgi-bin/nothing", timeout=10)
        assert out.wait_for("/cgi-bin/nothing")
    finally:
        stop.set()
        thread.join(10)

    assert codes == [0]
    assert answer["access_token"] not in out.getvalue()
    assert out.getvalue().count(env["WECHAT_SECRET"]) == 1


def test_wecom() -> None:
    """What it prints of WeCom leads to an app of a corp, whose secret no request shows."""
    out, stop = Paper(), threading.Event()
    thread = threading.Thread(target=lambda: simulate.simulate(out=out, stop=stop, wecom=True))
    thread.start()
    try:
        assert out.wait_for("steal")
        env = exported(out.getvalue())
        query = {"corpid": env["WECOM_CORPID"], "corpsecret": env["WECOM_SECRET"]}
        answer = requests.get(env["WECOM_BASE_URL"] + "/cgi-bin/gettoken", params=query, timeout=10).json()
        assert out.wait_for("/cgi-bin/gettoken")
    finally:
        stop.set()
        thread.join(10)

    assert (0, 7200) == (answer["errcode"], answer["expires_in"])
    assert out.getvalue().count(env["WECOM_SECRET"]) == 1


def test_suite() -> None:
    """What it prints of a suite leads to a corp's permanent code."""
    out, stop = Paper(), threading.Event()
    thread = threading.Thread(target=lambda: simulate.simulate(out=out, stop=stop, suite=True))
    thread.start()
    try:
        assert out.wait_for("steal")
        env = exported(out.getvalue())
        url = f"{env['WECOM_BASE_URL']}/cgi-bin/service"
        asked = {"suite_id": env["WECOM_SUITE_ID"], "suite_secret": env["WECOM_SUITE_SECRET"]}
        asked["suite_ticket"] = env["WECOM_SUITE_TICKET"]
        query = requests.post(f"{url}/get_suite_token", json=asked, timeout=10).json()
        code = {"auth_code": env["WECOM_AUTH_CODE"]}
        answer = requests.post(f"{url}/get_permanent_code", params=query, json=code, timeout=10).json()
    finally:
        stop.set()
        thread.join(10)

    assert answer["permanent_code"]
    assert env["WECOM_PROVIDER_SECRET"]


def test_accounts_and_platform() -> None:
    """Each account is another one, and the platform's ticket and codes are good for it."""
    out, stop = Paper(), threading.Event()
    thread = threading.Thread(target=lambda: simulate.simulate(out=out, stop=stop, accounts=3, platform=True))
    thread.start()
    try:
        assert out.wait_for("authorise")
        env = exported(out.getvalue())
        url = env["WECHAT_BASE_URL"]
        tokens = set()
        for number in ("", "_2", "_3"):
            query = {"appid": env[f"WECHAT_APPID{number}"], "secret": env[f"WECHAT_SECRET{number}"]}
            query["grant_type"] = "client_credential"
            tokens.add(requests.get(f"{url}/cgi-bin/token", params=query, timeout=10).json()["access_token"])
        asked = {
            "component_appid": env["WECHAT_COMPONENT_APPID"],
            "component_appsecret": env["WECHAT_COMPONENT_SECRET"],
            "component_verify_ticket": env["WECHAT_COMPONENT_TICKET"],
        }
        platform = requests.post(f"{url}/cgi-bin/component/api_component_token", json=asked, timeout=10).json()
        authorised = []
        for number in ("", "_2", "_3"):
            code = {**asked, "authorization_code": env[f"WECHAT_AUTH_CODE{number}"]}
            answer = requests.post(
                f"{url}/cgi-bin/component/api_query_auth",
                params={"access_token": platform["component_access_token"]},
                json=code,
                timeout=10,
            ).json()
            authorised.append(answer["authorization_info"]["authorizer_appid"])
    finally:
        stop.set()
        thread.join(10)

    assert 3 == len(tokens)
    assert [env["WECHAT_APPID"], env["WECHAT_APPID_2"], env["WECHAT_APPID_3"]] == authorised


@pytest.mark.parametrize("accounts", [0, -1, 101, True, "2"])
def test_useless_number_of_accounts(accounts: Any) -> None:
    """A number of accounts that cannot be is refused."""
    with pytest.raises(ConfigurationError, match="accounts"):
        simulate.simulate(accounts=accounts)


def test_unplayed_api_is_said() -> None:
    """The line of an API that the simulator does not play says that."""
    out, stop = Paper(), threading.Event()
    thread = threading.Thread(target=lambda: simulate.simulate(out=out, stop=stop))
    thread.start()
    try:
        assert out.wait_for("steal")
        requests.get(exported(out.getvalue())["WECHAT_BASE_URL"] + "/cgi-bin/tags/get", timeout=10)
        assert out.wait_for("/cgi-bin/tags/get  errcode 40066  the simulator does not play this API")
    finally:
        stop.set()
        thread.join(10)


def test_quiet() -> None:
    """Quiet prints no request, and without admin there is no word of it."""
    out, stop = Paper(), threading.Event()
    stop.set()

    assert simulate.simulate(out=out, stop=stop, quiet=True, admin=False) == 0
    assert "_simulator" not in out.getvalue()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals(number: signal.Signals) -> None:
    """Ctrl-C and SIGTERM end it with 0."""
    code = "import sys; from wxmiddleware.cli.simulate import simulate; sys.exit(simulate())"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, env={**os.environ}) as process:
        assert process.stdout is not None
        assert b"answers at http://127.0.0.1:" in process.stdout.readline()
        process.send_signal(number)
        assert process.wait(10) == 0
