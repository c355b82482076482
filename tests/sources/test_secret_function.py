"""A secret that a function gives: from a file, Vault, nacos; and a pause that ends when it was mended."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from support.leaks import everything_logged, shown

from wxmiddleware import (
    Account,
    ClassicToken,
    ConfigurationError,
    Runtime,
    StableToken,
    TokenProvider,
    TokenRefused,
    TokenUnavailable,
    WeComAccount,
)
from wxmiddleware._rules.errcodes import TOKEN_ERRORS, token_endpoint_failure, with_addresses
from wxmiddleware.simulator import SimulatedClock, SimulatorServer, WeChat
from wxmiddleware.sources import Cause, ComponentToken, Failure, Grant, WeComToken
from wxmiddleware.sources.tickets import _WECHAT
from wxmiddleware.stores import record_key
from wxmiddleware.stores.memory import MemoryStore

HIDDEN = "0123456789abcdef0123456789abcdef"


class Vault:
    """Gives these secrets, one after the other; the last for ever. An exception is raised."""

    def __init__(self, *secrets: Any) -> None:
        self.secrets = list(secrets)
        self.asked = 0

    def __call__(self) -> Any:
        self.asked += 1
        secret = self.secrets.pop(0) if len(self.secrets) > 1 else self.secrets[0]
        if isinstance(secret, BaseException):
            raise secret
        return secret


class Fetch:
    """
    Fetches a token of a kind, with a function for the secret.

    Attributes:
        right: The secret that WeChat takes.
    """

    def __init__(self, kind: str, wechat: WeChat, url: str) -> None:
        self._kind = kind
        self._appid = wechat.appid
        self._url = url
        self.right = {"wecom": "secret-of-an-app", "component": "secret-of-it"}.get(kind, wechat.secret)
        if kind == "wecom":
            wechat.add_app("ww1", self.right)
        if kind == "component":
            self._platform = wechat.add_platform("wxplatform", self.right)

    def __call__(self, vault: Vault) -> Grant | Failure:
        if self._kind == "wecom":
            return WeComToken().fetch(WeComAccount("ww1", vault, base_url=self._url, agentid=1000002))
        if self._kind == "component":
            ticket = self._platform.push_ticket()
            return ComponentToken(ticket=lambda: ticket).fetch(Account("wxplatform", vault, base_url=self._url))
        source = StableToken() if self._kind == "stable" else ClassicToken()
        return source.fetch(Account(self._appid, vault, base_url=self._url))


@pytest.fixture(params=["stable", "classic", "wecom", "component"])
def fetch(request: pytest.FixtureRequest, wechat: WeChat, wechat_server: SimulatorServer) -> Fetch:
    """Fetch with a function for the secret."""
    return Fetch(request.param, wechat, wechat_server.url)


def test_asked_for_each_fetch(fetch: Fetch) -> None:
    """The function gives the secret when it is needed; white space around it is dropped, as files have it."""
    vault = Vault(f"{fetch.right}\n")

    assert isinstance(fetch(vault), Grant)
    assert 1 == vault.asked


def test_asked_again_when_wrong(fetch: Fetch) -> None:
    """When WeChat calls the secret wrong, the function is asked once more, and a newer secret is tried at once."""
    vault = Vault(HIDDEN, fetch.right)

    assert isinstance(fetch(vault), Grant)
    assert 2 == vault.asked


def test_still_wrong(fetch: Fetch) -> None:
    """The same secret once more is not tried again."""
    vault = Vault(HIDDEN)
    failure = fetch(vault)

    assert isinstance(failure, Failure)
    assert (Cause.PERMANENT, 2) == (failure.cause, vault.asked)
    assert HIDDEN not in repr(failure)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (RuntimeError(HIDDEN), "failed with RuntimeError"),
        (TimeoutError(HIDDEN), "did not answer in time"),
        (None, "gave no str"),
        (b"bytes", "gave no str"),
        ("", "empty"),
        ("two words", "white space"),
        (f"'{HIDDEN}'", "quotes around it"),
        (f"{HIDDEN}\u201d\n", "quotes around it"),
    ],
)
def test_function_fails(given: Any, said: str, wechat: WeChat, wechat_account: Account) -> None:
    """What goes wrong in the function is told by its name, without its text; WeChat is not asked."""

    def from_vault() -> Any:
        if isinstance(given, BaseException):
            raise given
        return given

    account = Account(wechat.appid, from_vault, base_url=wechat_account.base_url)
    provider = TokenProvider(account)
    with everything_logged() as log, pytest.raises(TokenUnavailable, match=said) as caught:
        provider.get_token()

    assert "from_vault" in str(caught.value)
    assert HIDDEN not in shown(caught.value) + log.getvalue()
    assert 0 == wechat.calls("/cgi-bin/*")


def test_function_hangs(wechat: WeChat, wechat_account: Account) -> None:
    """The fetch gives up in time; a secret that comes later is not used."""
    go = threading.Event()
    account = Account(wechat.appid, lambda: str(go.wait(20)), base_url=wechat_account.base_url)
    failure = ClassicToken(connect_timeout=0.1, timeout=0.2).fetch(account)
    go.set()

    assert isinstance(failure, Failure)
    assert "did not answer in time" in failure.message
    assert 0 == wechat.calls("/cgi-bin/*")


async def _async() -> str:
    raise AssertionError


class _AsyncCall:
    async def __call__(self) -> str:
        raise AssertionError


@pytest.mark.parametrize("function", [_async, _AsyncCall(), Vault], ids=["async", "async call", "class"])
def test_refused_at_construction(function: Any) -> None:
    """What cannot be called for a secret is said at once."""
    with pytest.raises(ConfigurationError):
        Account("wx1", function)


def test_never_shown_nor_called() -> None:
    """Making an account and looking at it calls nothing."""
    vault = Vault(HIDDEN)
    account = Account("wx1", vault)
    texts = repr(account) + record_key(account, "stable")

    assert 0 == vault.asked
    assert "Vault" not in texts


def test_key_does_not_depend_on_it() -> None:
    """The record is found again when the secret has changed; apps of a corp are told apart by their AgentId."""
    corp = [WeComAccount("ww1", Vault("a"), agentid=1), WeComAccount("ww1", Vault("b"), agentid=2)]

    assert "wx:wechat:wx1:stable" == record_key(Account("wx1", Vault("a")), "stable")
    assert ["wx:wecom:ww1/1:wecom", "wx:wecom:ww1/2:wecom"] == [record_key(app, "wecom") for app in corp]
    assert "wx:wecom:ww1/1:wecom" == record_key(WeComAccount("ww1", "a-secret", agentid="1"), "wecom")


def test_wrong_one_brakes_nobody(wechat: WeChat, wechat_account: Account, wechat_clock: SimulatedClock) -> None:
    """While a file still gives the old secret here, a process whose file has the new one fetches all the same."""
    store, old = MemoryStore(clock=wechat_clock), Vault(HIDDEN)
    behind, ahead = (
        TokenProvider(
            Account(wechat.appid, vault, base_url=wechat_account.base_url),
            store=store,
            runtime=Runtime(clock=wechat_clock),
        )
        for vault in (old, Vault(wechat.secret))
    )
    same = TokenProvider(
        Account(wechat.appid, Vault(HIDDEN), base_url=wechat_account.base_url),
        store=store,
        runtime=Runtime(clock=wechat_clock),
    )
    with pytest.raises(TokenRefused):
        behind.get_token()
    requests = wechat.calls("/cgi-bin/*")
    with pytest.raises(TokenRefused):
        same.get_token()

    assert requests == wechat.calls("/cgi-bin/*")
    assert wechat.is_valid(ahead.get_token())


def test_wrong_ones_of_two_kinds_slow_down(
    wechat: WeChat, wechat_account: Account, wechat_clock: SimulatedClock
) -> None:
    """Two processes, each with another wrong secret, ask less and less often, although each ends the other's row."""
    store = MemoryStore(clock=wechat_clock)
    made = [
        TokenProvider(
            Account(wechat.appid, wrong, base_url=wechat_account.base_url),
            store=store,
            runtime=Runtime(clock=wechat_clock),
        )
        for wrong in (HIDDEN, HIDDEN[::-1])
    ]
    for _ in range(20):
        for provider in made:
            with pytest.raises(TokenRefused):
                provider.get_token()
        wechat_clock.advance(61)

    assert 10 >= wechat.calls("/cgi-bin/*")


@pytest.mark.parametrize("agentid", [None, "", True, 1.5])
def test_agentid(agentid: Any) -> None:
    """A corp's app whose secret a function gives needs its AgentId."""
    with pytest.raises(ConfigurationError, match="agentid"):
        WeComAccount("ww1", Vault("a"), agentid=agentid)


class TestRetryNow:
    """What was mended is tried at once, by all processes that share the store."""

    @pytest.mark.parametrize("errcode", [40164, 40125, 45009])
    def test_mended(self, errcode: int, wechat: WeChat, wechat_account: Account, wechat_clock: SimulatedClock) -> None:
        """A new process, too, has a token then; before, the store told it to wait."""
        store = MemoryStore(clock=wechat_clock)
        made = [
            TokenProvider(wechat_account, store=store, runtime=Runtime(clock=wechat_clock, random=lambda: 0.5)),
            TokenProvider(wechat_account, store=store, runtime=Runtime(clock=wechat_clock, random=lambda: 0.6)),
        ]
        wechat.faults.add("/cgi-bin/*", "errcode", errcode=errcode)
        failed = []
        for provider in made:
            with pytest.raises((TokenRefused, TokenUnavailable)) as caught:
                provider.get_token()
            failed.append(caught.value.errcode)
        made[1].retry_now()

        assert [errcode] * 2 == failed
        assert wechat.is_valid(made[1].get_token())
        made[0].retry_now()
        assert made[1].get_token() == made[0].get_token()

    def test_message_says_so(self, wechat: WeChat, wechat_account: Account, wechat_clock: SimulatedClock) -> None:
        """The error of what a person must mend says how to go on then."""
        wechat.accounts[wechat.appid].ip_allowlist = []
        with pytest.raises(TokenRefused, match=r"retry_now\(\) tries at once; .* so does `wxmiddleware retry`"):
            TokenProvider(wechat_account, runtime=Runtime(clock=wechat_clock)).get_token()

    def test_nothing_to_mend(self, wechat: WeChat, wechat_account: Account) -> None:
        """Without a pause it does nothing."""
        provider = TokenProvider(wechat_account)
        provider.retry_now()
        token = provider.get_token()
        provider.retry_now()

        assert token == provider.get_token()
        assert 1 == wechat.fetches()

    def test_a_file_of_its_own(self, tmp_path: Path, wechat: WeChat, wechat_account: Account) -> None:
        """Nothing is written to a store that knows of no pause."""
        from wxmiddleware.stores.jsonfile import JSONFileStore

        TokenProvider(wechat_account, store=JSONFileStore(tmp_path / "token.json")).retry_now()

        assert not (tmp_path / "token.json").exists()


class TestAddresses:
    """40164 and its like: permanent on all endpoints, and with all addresses that were refused lately."""

    @pytest.mark.parametrize("errcode", [40164, 89503, 50007, 40243])
    def test_final_for_tickets(self, errcode: int) -> None:
        """Not every table has these; they are final all the same, so that they double."""
        assert Cause.PERMANENT is token_endpoint_failure(errcode, "no", _WECHAT.errors).cause

    def refused(self, ip: str) -> Failure:
        return token_endpoint_failure(40164, f"invalid ip {ip} ipv6 ::ffff:{ip}, not in whitelist", TOKEN_ERRORS)

    def test_all_of_them(self) -> None:
        """The newest first, each once, eight at most."""
        failure = None
        for last in (1, 2, 1, 3):
            failure = with_addresses(self.refused(f"10.0.0.{last}"), failure, None)
        assert failure is not None
        few = failure.message
        for last in range(50):
            failure = with_addresses(self.refused(f"10.0.1.{last}"), failure)

        assert "Add 10.0.0.3, 10.0.0.1, 10.0.0.2 to the account's IP allowlist" in few
        assert 8 == failure.message.count("10.0.1.") - 2  # the text itself names one twice

    @pytest.mark.parametrize("text", ["1.2", "::::", "a.b.c.d", "999.1.1.1", "....", "dead"])
    def test_only_addresses(self, text: str) -> None:
        """What is no address is not told to be allowed."""
        assert "Add this machine's public IP to" in self.refused(text).message

    def test_in_the_fleet(self, wechat: WeChat, wechat_account: Account, wechat_clock: SimulatedClock) -> None:
        """An egress pool: what one try learns is told with the next, also after one that succeeded."""
        addresses = iter(["10.9.9.1", "10.9.9.2"])

        class Pool(StableToken):
            def fetch(self, account: Account, *, force: bool = False) -> Grant | Failure:
                ip = next(addresses, None)
                return TestAddresses().refused(ip) if ip else StableToken.fetch(self, account, force=force)

        provider = TokenProvider(wechat_account, source=Pool(), runtime=Runtime(clock=wechat_clock))
        for _ in range(2):
            with pytest.raises(TokenRefused) as caught:
                provider.get_token()
            wechat_clock.advance(700)

        assert "Add 10.9.9.2, 10.9.9.1 to" in str(caught.value)
