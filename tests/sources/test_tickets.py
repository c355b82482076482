"""Tickets: asked for with an access token, and renewed by the same engine. What pages do with them: test_jssdk.py."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import pytest
from support.background import landed

from wxmiddleware import (
    Account,
    ClassicToken,
    ConfigurationError,
    ProviderClosed,
    Runtime,
    TokenProvider,
    TokenRefused,
    TokenUnavailable,
    WeComAccount,
    with_token,
)
from wxmiddleware.simulator import SimulatedClock, SimulatorServer, WeChat
from wxmiddleware.sources import AgentTicket, CardTicket, Cause, Failure, JsapiTicket
from wxmiddleware.stores.jsonfile import JSONFileStore

PATH = "/cgi-bin/ticket/getticket"
PATIENCE = 20.0


class Scene:
    """A provider of access tokens and one of tickets, on the simulator's clock."""

    def __init__(self, wechat: WeChat, account: Account, clock: SimulatedClock) -> None:
        self.wechat, self.account, self.clock = wechat, account, clock
        self.provider = self.make()
        self.tickets = self.provider.with_source(JsapiTicket(self.provider))

    def make(self, **options: Any) -> TokenProvider:
        return TokenProvider(self.account, runtime=Runtime(clock=self.clock, time=self.clock), **options)

    def error(self, kind: type[Exception] = TokenUnavailable) -> Any:
        with pytest.raises(kind) as caught:
            self.tickets.get_token()
        return caught.value


@pytest.fixture
def scene(wechat: WeChat, wechat_account: Account, wechat_clock: SimulatedClock) -> Scene:
    return Scene(wechat, wechat_account, wechat_clock)


def test_ticket(scene: Scene) -> None:
    """The ticket is WeChat's, fetched once with one token, and handed out from memory afterwards."""
    tickets = {scene.tickets.get_token() for _ in range(3)}

    assert {scene.wechat.current_ticket()} == tickets
    assert (1, 1) == (scene.wechat.fetches(), scene.wechat.calls(PATH))


def test_card(scene: Scene) -> None:
    """The ticket for cards is another one, in a row of its own."""
    cards = scene.provider.with_source(CardTicket(scene.provider))

    ticket = cards.get_token()

    assert scene.wechat.current_ticket(kind="wx_card") == ticket
    assert cards.get_token() != scene.tickets.get_token()
    assert ["jsapi_ticket", "wx_card_ticket"] == [each.status().kind for each in (scene.tickets, cards)]


def test_wecom(wechat: WeChat, wechat_server: SimulatorServer) -> None:
    """WeCom has a ticket for the corp and one for the app, at addresses of its own."""
    wechat.add_app("ww1", "secret-of-an-app")
    provider = TokenProvider(WeComAccount("ww1", "secret-of-an-app", base_url=wechat_server.url))
    corp, app = (provider.with_source(kind(provider)).get_token() for kind in (JsapiTicket, AgentTicket))

    assert [corp, app] == wechat._corps.tickets_of("ww1")
    assert (1, 1) == (wechat.calls("/cgi-bin/get_jsapi_ticket"), wechat.calls("/cgi-bin/ticket/get"))


def test_healed(scene: Scene) -> None:
    """A rejected access token is replaced and the ticket asked for once more, within one refresh of the ticket."""
    scene.provider.get_token()
    scene.wechat.revoke()

    ticket = scene.tickets.get_token()

    assert scene.wechat.current_ticket() == ticket
    assert (2, 2, 1) == (scene.wechat.fetches(), scene.wechat.calls(PATH), scene.wechat.rejections())
    assert scene.wechat.is_valid(scene.provider.get_token())


def test_wecom_healed(wechat: WeChat, wechat_server: SimulatorServer) -> None:
    """Of WeCom the codes are WeCom's: 40014 is healed."""
    app = wechat.add_app("ww1", "secret-of-an-app")
    provider = TokenProvider(WeComAccount("ww1", "secret-of-an-app", base_url=wechat_server.url))
    provider.get_token()
    app.revoke()
    provider.with_source(JsapiTicket(provider)).get_token()

    assert (2, 2) == (app.fetches, wechat.calls("/cgi-bin/get_jsapi_ticket"))


def test_refused_for_ever(scene: Scene) -> None:
    """An endpoint that refuses every access token costs one fetch and one repetition, and says what may be wrong."""
    scene.provider.get_token()
    scene.wechat.faults.add(PATH, "errcode", None, errcode=40001)
    error = scene.error()

    assert (40001, 2) == (error.errcode, scene.wechat.calls(PATH))
    assert "it may be of another kind" in str(error)
    assert scene.wechat.fetches() <= 3  # the first, and one in normal and one in forced mode


def test_cools(scene: Scene) -> None:
    """A failure of the ticket's endpoint is remembered for the ticket, and not for the token."""
    scene.wechat.faults.add(PATH, "errcode", None, errcode=45009)
    errors = [scene.error() for _ in range(5)]

    assert 1 == scene.wechat.calls(PATH)
    assert {45009} == {error.errcode for error in errors}
    assert "no ticket" in str(errors[0])
    assert scene.provider.status().backing_off is None


def test_without_a_token(scene: Scene) -> None:
    """Without an access token there is no ticket; the error is the token's, and so is the time of the next try."""
    scene.wechat.faults.add("/cgi-bin/stable_token", "errcode", None, errcode=40164)
    error = scene.error(TokenRefused)

    assert (40164, 60, 0) == (error.errcode, error.retry_after, scene.wechat.calls(PATH))
    assert 1 == str(error).count("The next try is in")
    assert "no access token" in str(error)
    scene.wechat.faults.clear()
    scene.clock.advance(61)
    ticket = scene.tickets.get_token()
    assert scene.wechat.current_ticket() == ticket


def test_token_closed(scene: Scene) -> None:
    """Without its provider of access tokens there is no ticket any more."""
    scene.provider.close()

    assert "closed" in str(scene.error())
    with pytest.raises(ProviderClosed):
        scene.provider.with_source(JsapiTicket(scene.provider))


def test_no_errcode_is_about_tickets(scene: Scene) -> None:
    """40001 of a call is said of an access token: a function that is given a ticket is not repeated for it."""
    calls = []

    @with_token(scene.tickets, parameter="ticket")
    def call(ticket: str) -> dict[str, int]:
        calls.append(ticket)
        return {"errcode": 40001}

    call()

    assert frozenset() == scene.tickets.retryable_errcodes
    assert (1, 1) == (len(calls), scene.wechat.calls(PATH))


def test_refused_ticket(scene: Scene) -> None:
    """A ticket that is named as rejected is replaced, and the access token left alone."""
    old = scene.tickets.get_token()
    scene.wechat.void_tickets()
    new = scene.tickets.get_token(rejected=old)

    assert scene.wechat.current_ticket() == new != old
    assert 1 == scene.wechat.fetches()


def test_refused_ticket_that_wechat_stands_by(scene: Scene) -> None:
    """If WeChat names the same ticket again it is kept, and WeChat is not asked again for a while."""
    ticket = scene.tickets.get_token()
    for _ in range(10):
        with pytest.raises(TokenUnavailable):
            scene.tickets.get_token(rejected=ticket)

    assert ticket == scene.tickets.get_token()
    assert 2 == scene.wechat.calls(PATH)


def test_renewed_ahead(scene: Scene) -> None:
    """Near its end the ticket is handed out as before while the next one is fetched."""
    scene.wechat.ticket_rotates = True
    old = scene.tickets.get_token()
    scene.clock.advance(6700)

    assert old == scene.tickets.get_token()
    flight = scene.tickets._own.flight
    if flight is not None:
        assert flight.wait(PATIENCE) is not None
    assert scene.wechat.current_ticket() == scene.tickets.get_token() != old


def test_shared_store(scene: Scene, tmp_path: Path) -> None:
    """Processes that share a store share the ticket, beside the token."""
    path = tmp_path / "tokens.json"
    found = set()
    for _ in range(2):  # a store each, as in two processes
        provider = scene.make(store=JSONFileStore(path, clock=scene.clock))
        found.add(provider.with_source(JsapiTicket(provider)).get_token())

    assert {scene.wechat.current_ticket()} == found
    assert (1, 1) == (scene.wechat.fetches(), scene.wechat.calls(PATH))
    assert ["jsapi_ticket", "stable"] == sorted(key.rpartition(":")[2] for key in list(JSONFileStore(path).keys()))


def test_sibling_shares_everything_else(scene: Scene, tmp_path: Path) -> None:
    """A sibling has the store, the observers and the clocks of the provider that it was made by."""
    seen: list[Any] = []
    provider = scene.make(store=JSONFileStore(tmp_path / "tokens.json"), observers=[seen.append], timeout=3.0)
    sibling = provider.with_source(JsapiTicket(provider))

    assert provider._own.store is sibling._own.store
    assert provider.runtime == sibling.runtime
    assert provider._timeout == sibling._timeout
    sibling.get_token()
    landed()
    assert {"stable", "jsapi_ticket"} == {event.kind for event in seen}


def test_one_flight_of_each(scene: Scene) -> None:
    """Threads that all want a ticket at once cause one fetch of a token and one of a ticket."""
    scene.wechat.faults.add("/cgi-bin/stable_token", "latency", seconds=0.1)
    found: list[str] = []
    ready = threading.Barrier(32)

    def want() -> None:
        ready.wait(PATIENCE)
        found.append(scene.tickets.get_token())

    threads = [threading.Thread(target=want) for _ in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)

    assert [scene.wechat.current_ticket()] * 32 == found
    assert (1, 1) == (scene.wechat.fetches(), scene.wechat.calls(PATH))


def test_one_thread_does_both(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no thread can be started, as at a limit or where they lie frozen, the caller flies both flights itself."""

    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", _unless_ours(start))
        ticket = scene.tickets.get_token()

    assert scene.wechat.current_ticket() == ticket


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("path", [PATH, "/cgi-bin/stable_token"])
def test_fork_while_it_is_fetched(scene: Scene, path: str) -> None:
    """A child that is forked while the ticket, or its access token, is being fetched waits for nobody."""
    fault = scene.wechat.faults.add(path, "hang")
    found: list[str] = []
    thread = threading.Thread(target=lambda: found.append(scene.tickets.get_token()))
    thread.start()
    assert scene.wechat.wait_for(lambda: fault.hits == 1, PATIENCE)
    pid = os.fork()
    if pid == 0:
        try:
            ticket = scene.tickets.get_token()
        except BaseException:
            os._exit(2)
        os._exit(0 if ticket else 1)
    _, status = os.waitpid(pid, 0)
    fault.release()
    thread.join(PATIENCE)

    assert (0, 1) == (status, len(found))


def test_one_deadline(wechat: WeChat, wechat_account: Account) -> None:
    """An access token that takes the whole time leaves none to ask with: the lease covers no more."""
    late: list[float | None] = []

    class Late:
        account, retryable_errcodes = wechat_account, frozenset({40001})

        def get_token(self, rejected: str | None = None, *, timeout: float | None = None) -> str:
            late.append(timeout)
            threading.Event().wait(0.05)
            return "88_late"

        def confirm(self, token: str) -> None:
            raise AssertionError

    answer = JsapiTicket(Late(), connect_timeout=0.01, timeout=0.04).fetch(wechat_account)

    assert isinstance(answer, Failure)
    assert (Cause.TRANSIENT, 0) == (answer.cause, wechat.calls(PATH))
    assert [0.04] == late


def test_lost_answer(scene: Scene) -> None:
    """A ticket whose answer was lost does not shorten the life of the one in use."""
    scene.wechat.ticket_rotates = True
    old = scene.tickets.get_token()
    scene.wechat.faults.add(PATH, "lost")
    scene.clock.advance(6700)
    scene.tickets.get_token()
    landed()
    scene.clock.advance(400)

    assert old == scene.tickets.get_token()


@pytest.mark.parametrize("kind", ["empty", "html", "half", "reset", "hang"])
def test_faults(scene: Scene, kind: str) -> None:
    """Whatever goes wrong on the way, the access token does not show."""
    options: dict[str, Any] = {"seconds": 0.3} if kind == "hang" else {}
    scene.wechat.faults.add(PATH, kind, None, **options)
    tickets = scene.provider.with_source(JsapiTicket(scene.provider, connect_timeout=0.1, timeout=0.2))
    with pytest.raises(TokenUnavailable) as caught:
        tickets.get_token()

    token = scene.provider.get_token()
    assert token not in repr(caught.value) + repr(tickets._own.cooldown)
    assert caught.value.__cause__ is caught.value.__context__ is None


def test_quoted(scene: Scene) -> None:
    """An answer that quotes the access token is masked."""
    token = scene.provider.get_token()
    scene.wechat.faults.add(PATH, "errcode", errcode=48001, errmsg=f"not for {token}")
    error = scene.error(TokenRefused)

    assert token not in str(error) + error.errmsg
    assert "***" in str(error)


@pytest.mark.parametrize("wrong", [None, "token", TokenProvider])
def test_provider_wanted(wrong: Any) -> None:
    """What is no provider is noticed at once."""
    with pytest.raises(ConfigurationError, match="JsapiTicket takes the TokenProvider"):
        JsapiTicket(wrong)


def test_other_account(scene: Scene) -> None:
    """One account's ticket is not asked for with another's token."""
    other = Account("wx1", "secret", base_url=scene.account.base_url)
    with pytest.raises(ConfigurationError, match="not that of the provider"):
        TokenProvider(other, source=JsapiTicket(scene.provider))


def test_other_kind_of_account(scene: Scene) -> None:
    """Cards are WeChat's, agents are WeCom's."""
    with pytest.raises(ConfigurationError, match="AgentTicket is not for an Account; it takes a WeComAccount"):
        scene.provider.with_source(AgentTicket(scene.provider))


def test_classic(wechat: WeChat, wechat_account: Account) -> None:
    """Any provider will do, whatever its endpoint."""
    provider = TokenProvider(wechat_account, source=ClassicToken())

    ticket = provider.with_source(JsapiTicket(provider)).get_token()

    assert wechat.current_ticket() == ticket
    assert 1 == wechat.fetches(slot="classic")


def _unless_ours(start: Any) -> Any:
    real = threading.Thread.start

    def chosen(thread: threading.Thread) -> None:
        (start if thread.name == "wxmiddleware-refresh" else real)(thread)

    return chosen
