"""``GET /cgi-bin/gettoken`` of WeCom, and what is special about its apps. Failures in general: test_http.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
import requests

from wxmiddleware import (
    Account,
    ClassicToken,
    ConfigurationError,
    Runtime,
    StableToken,
    TokenProvider,
    TokenRefused,
    WeComAccount,
    WeComToken,
    with_token,
)
from wxmiddleware.simulator import SimulatedApp, SimulatedClock, SimulatorServer, WeChat
from wxmiddleware.sources import Cause, Failure, Grant
from wxmiddleware.stores.jsonfile import JSONFileStore

CORPID = "ww0123456789abcdef"
ONE, OTHER = "first-secret-of-an-app", "second-secret-of-an-app"
LOCAL = "http://127.0.0.1:9"


class Corp:
    """Two apps of one corp, and providers for them on one clock."""

    def __init__(self, wechat: WeChat, url: str, clock: SimulatedClock) -> None:
        self.wechat, self.url, self.clock = wechat, url, clock
        self.apps = [wechat.add_app(CORPID, secret, agentid=agentid) for agentid, secret in ((1, ONE), (2, OTHER))]

    def provider(self, secret: str = ONE, **options: Any) -> TokenProvider:
        account = WeComAccount(CORPID, secret, base_url=self.url)
        return TokenProvider(account, runtime=Runtime(clock=self.clock, time=self.clock), **options)

    def departments(self, token: str) -> dict[str, Any]:
        answer: dict[str, Any] = requests.get(
            f"{self.url}/cgi-bin/department/list", params={"access_token": token}, timeout=10
        ).json()
        return answer


@pytest.fixture
def corp(wechat: WeChat, wechat_server: SimulatorServer, wechat_clock: SimulatedClock) -> Corp:
    return Corp(wechat, wechat_server.url, wechat_clock)


@pytest.fixture
def app(corp: Corp) -> SimulatedApp:
    return corp.apps[0]


@pytest.fixture(params=["memory", "file"])
def store(request: pytest.FixtureRequest, tmp_path: Path, wechat_clock: SimulatedClock) -> Any:
    return None if request.param == "memory" else JSONFileStore(tmp_path / "tokens.json", clock=wechat_clock)


def test_account() -> None:
    """A WeCom account goes to WeCom's host, and is not taken for an account of the same name at WeChat."""
    account = WeComAccount(CORPID, ONE)

    assert "https://qyapi.weixin.qq.com" == account.base_url
    assert WeComAccount(CORPID, ONE, base_url=LOCAL) != Account(CORPID, ONE, base_url=LOCAL)
    assert ONE not in repr(account)


def test_account_from_environment() -> None:
    """WeCom's variables have names of their own."""
    environ = {"WECOM_CORPID": CORPID, "WECOM_SECRET": ONE, "WECHAT_APPID": "wx1", "WECHAT_SECRET": "x"}

    assert WeComAccount(CORPID, ONE) == WeComAccount.from_env(environ)
    with pytest.raises(ConfigurationError, match="WECOM_CORPID and WECOM_SECRET"):
        WeComAccount.from_env({})


@pytest.mark.parametrize(("corpid", "secret", "word"), [("", ONE, "corpid"), (CORPID, "", "secret of the app")])
def test_account_says_what_is_wrong(corpid: str, secret: str, word: str) -> None:
    """An empty value is named as WeCom names it."""
    with pytest.raises(ConfigurationError, match=word):
        WeComAccount(corpid, secret)


def test_default_source() -> None:
    """The kind of account chooses the endpoint."""
    assert "wecom" == TokenProvider(WeComAccount(CORPID, ONE)).status().kind
    assert "stable" == TokenProvider(Account("wx1", ONE)).status().kind


@pytest.mark.parametrize(
    ("account", "source"),
    [
        (WeComAccount(CORPID, ONE), StableToken()),
        (WeComAccount(CORPID, ONE), ClassicToken()),
        (Account("wx1", ONE), WeComToken()),
    ],
)
def test_wrong_source(account: Account, source: Any) -> None:
    """WeCom's secret is not sent to WeChat, nor the other way round."""
    with pytest.raises(ConfigurationError, match="is not for"):
        TokenProvider(account, source=source)


def test_subclass_of_a_user() -> None:
    """An account class of the user's own is what it is derived from."""

    class Mine(Account):
        pass

    assert "classic" == TokenProvider(Mine("wx1", ONE), source=ClassicToken()).status().kind


def test_fetch(corp: Corp) -> None:
    """Everybody who asks gets the same token until its end."""
    account = WeComAccount(CORPID, ONE, base_url=corp.url)
    first = WeComToken().fetch(account)
    corp.clock.advance(100)
    second = WeComToken().fetch(account)

    assert isinstance(first, Grant)
    assert isinstance(second, Grant)
    assert (first.value, 7200, 7100) == (second.value, first.expires_in, second.expires_in)


def test_apps_do_not_share(corp: Corp, store: Any) -> None:
    """Two apps of one corp have tokens of their own, in this process and in a shared store."""
    one, other = corp.provider(ONE, store=store), corp.provider(OTHER, store=store)
    tokens = [one.get_token(), other.get_token()]
    again = [corp.provider(secret, store=store).get_token() for secret in (ONE, OTHER)]

    assert tokens == again
    assert 2 == len(set(tokens))
    assert [1, 1] == [each.fetches for each in corp.apps]
    assert [0, 0] == [corp.departments(token)["errcode"] for token in tokens]
    assert one._own.key != other._own.key


def test_healed(corp: Corp, app: SimulatedApp) -> None:
    """A token that WeCom has voided early is replaced, and the call repeated."""
    provider = corp.provider()
    call = with_token(provider)(lambda access_token: corp.departments(access_token))  # noqa: PLW0108 - by that name
    provider.get_token()
    app.revoke()

    assert 0 == call()["errcode"]
    assert (2, 1) == (app.fetches, corp.wechat.rejections())


def test_expired(corp: Corp, app: SimulatedApp) -> None:
    """42001 is cured, too: the process's clock may run slow."""
    provider = corp.provider()
    provider.get_token()
    expired = provider.get_token()
    assert app._token is not None
    app._token.expires_at = corp.clock()

    assert 42001 == corp.departments(expired)["errcode"]
    assert 0 == with_token(provider)(lambda access_token: corp.departments(access_token))()["errcode"]  # noqa: PLW0108


@pytest.mark.parametrize("errcode", [40001, 41001, 301002])
def test_not_healed(corp: Corp, app: SimulatedApp, errcode: int) -> None:
    """40001 is a wrong secret there: no new token cures that, so none is fetched."""
    calls = []

    @with_token(corp.provider())
    def call(access_token: str) -> dict[str, int]:
        calls.append(access_token)
        return {"errcode": errcode}

    assert {"errcode": errcode} == call()
    assert (1, 1) == (len(calls), app.fetches)


@pytest.mark.parametrize(("expected", "errcode"), [(1, 40001), (2, 40014), (2, 42001)])
@pytest.mark.parametrize("shape", ["async", "awaitable"])
@pytest.mark.filterwarnings("ignore:A token is waited for in a thread that runs an event loop:RuntimeWarning")  # it is
def test_in_a_task(corp: Corp, app: SimulatedApp, expected: int, errcode: int, shape: str) -> None:
    """Tasks ask the same rule, also where a plain function returns what is to be awaited."""
    corp.wechat.wecom_sticky = False
    tokens: list[str] = []

    async def call(access_token: str) -> dict[str, int]:
        await anyio.lowlevel.checkpoint()
        tokens.append(access_token)
        return {"errcode": errcode if len(tokens) == 1 else 0}

    def plain(access_token: str) -> Any:
        return call(access_token)

    async def main() -> None:
        await with_token(corp.provider())(call if shape == "async" else plain)()

    anyio.run(main)

    assert expected == len(tokens) == len(set(tokens))


def test_codes_can_still_be_given(corp: Corp) -> None:
    """Whoever names codes is believed."""
    tokens: list[str] = []

    @with_token(corp.provider(), codes={40001})
    def call(access_token: str) -> dict[str, int]:
        tokens.append(access_token)
        return {"errcode": 40001 if len(tokens) == 1 else 0}

    corp.apps[0].revoke()
    call()

    assert 1 == len(tokens)  # WeCom names the same token again, so there is nothing to repeat with


def test_wrong_secret(corp: Corp) -> None:
    """A wrong secret makes one attempt; then WeCom is left alone for ten minutes."""
    provider = corp.provider("wrong-secret")
    errors = []
    for _ in range(20):
        with pytest.raises(TokenRefused) as caught:
            provider.get_token()
        errors.append(caught.value)
        corp.clock.advance(29)

    assert 1 == corp.wechat.fetches(slot="wecom")
    assert {40001} == {error.errcode for error in errors}
    assert 600 == errors[0].retry_after
    assert "Check the secret" in str(errors[0])
    assert "wrong-secret" not in repr(errors)
    corp.clock.advance(30)
    with pytest.raises(TokenRefused):
        provider.get_token()
    assert 2 == corp.wechat.fetches(slot="wecom")


@pytest.mark.parametrize(
    ("errcode", "cause"),
    [
        (-1, Cause.TRANSIENT),
        (40001, Cause.PERMANENT),
        (40013, Cause.PERMANENT),
        (45009, Cause.QUOTA),
        (45033, Cause.TRANSIENT),
        (50003, Cause.PERMANENT),
        (60020, Cause.PERMANENT),
    ],
)
def test_failures(corp: Corp, errcode: int, cause: Cause) -> None:
    """WeCom's errcodes mean what WeCom says, and the error is said to be WeCom's."""
    corp.wechat.faults.add("/cgi-bin/gettoken", "errcode", errcode=errcode)
    answer = WeComToken().fetch(WeComAccount(CORPID, ONE, base_url=corp.url))

    assert isinstance(answer, Failure)
    assert (cause, errcode) == (answer.cause, answer.errcode)
    assert answer.message.startswith("WeCom gives no token")


def test_untrusted_ip(corp: Corp, app: SimulatedApp) -> None:
    """The message names the address that WeCom saw, the hint for its staff, and not its link."""
    app.ip_allowlist = ["10.0.0.0/8"]
    answer = WeComToken().fetch(WeComAccount(CORPID, ONE, base_url=corp.url))

    assert isinstance(answer, Failure)
    assert "Add 127.0.0.1 to the app's trusted IPs" in answer.message
    assert answer.rid is not None
    assert answer.rid in answer.message
    assert "https://" not in answer.message


def test_unknown_corp(corp: Corp) -> None:
    """A CorpID that WeCom does not know is a person's business."""
    answer = WeComToken().fetch(WeComAccount("ww-nobody", ONE, base_url=corp.url))

    assert isinstance(answer, Failure)
    assert (Cause.PERMANENT, 40013) == (answer.cause, answer.errcode)


@pytest.mark.parametrize("sticky", [True, False])
def test_a_day(corp: Corp, app: SimulatedApp, sticky: bool) -> None:
    """A day costs few fetches, whether WeCom gives the same token until its end or another one each time."""
    corp.wechat.wecom_sticky = sticky
    provider = corp.provider()
    for _ in range(24 * 6):
        assert 0 == corp.departments(provider.get_token())["errcode"]
        _settle(provider)
        corp.clock.advance(600)

    assert 12 <= app.fetches <= 48


def test_last_second(corp: Corp, app: SimulatedApp) -> None:
    """In a token's last second WeCom gives it with 0 seconds left: that is no failure, and the next one follows."""
    provider = corp.provider()
    old = provider.get_token()
    corp.clock.advance(7199.4)
    assert old == provider.get_token()
    _settle(provider)
    corp.clock.advance(0.7)
    over = provider.get_token()
    assert 42001 == corp.departments(over)["errcode"]
    new = provider.get_token(rejected=over)

    assert 0 == corp.departments(new)["errcode"]
    assert 3 == app.fetches


def _settle(provider: TokenProvider) -> None:
    flight = provider._own.flight
    if flight is not None:
        flight.wait(20)
