"""
Neither a secret nor a token is exported: not in a span, not in a breadcrumb or an event, not in a log line.

Real packages export here: OpenTelemetry with its instrumentations of urllib3, requests and httpx and with ours, the
client of Prometheus, Sentry with local variables, logging at DEBUG. The package's own requests are in none of them
without anybody's help; what the user's own calls export is masked by `wxmiddleware.masking`.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from typing import Any, cast
from urllib.parse import quote

import anyio
import httpx
import pytest
import requests
import sentry_sdk
from support.api_server import Api, Seen, serving
from support.clients import CLIENTS, NO_ROOTS, ClientAdapter
from support.exporters import exporting, reported
from support.scripted_provider import ScriptedProvider

from wxmiddleware import Account, ClassicToken, StableToken, TokenProvider, WeComAccount, raise_for_errcode, with_token
from wxmiddleware._runtime import masking, untraced
from wxmiddleware.jssdk import JSSDK
from wxmiddleware.webhook import CallbackAddresses, TextReply
from wxmiddleware.webhook.late import send_reply

SECRET = "d0123456789abcdef0123456789abcde"
TOKEN, SECOND, TICKET = "66_first-first-first", "66_second-second", "kgt8ON7yVITDhtdwci0qeWq"
WORDS = (SECRET, TOKEN, SECOND, TICKET)
PATH = "/cgi-bin/user/info"


def leaks(text: str) -> list[str]:
    return [word[:4] for word in WORDS if word in text or quote(word) in text]


@pytest.fixture(autouse=True)
def unresolved(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that is not found, without asking the network."""
    masking.install()  # as the first real provider does
    resolve = socket.getaddrinfo

    def resolve_here(host: Any, *args: Any, **options: Any) -> Any:
        if host in ("wechat.invalid", b"wechat.invalid"):
            raise socket.gaierror(-2, "Name or service not known")
        return resolve(host, *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", resolve_here)


Trouble = Callable[[Api], str]


def none(api: Api) -> str:
    return api.url


def no_dns(api: Api) -> str:
    return "http://wechat.invalid"


def refused_connection(api: Api) -> str:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{one.getsockname()[1]}"


def reset(api: Api) -> str:
    def answer(seen: Seen) -> Any:
        raise ConnectionError

    api.answer = answer
    return api.url


def answering(name: str, status: int, body: str) -> Trouble:
    def trouble(api: Api) -> str:
        api.answer = lambda seen: (status, {}, [body.replace("TARGET", seen.target).encode()])
        return api.url

    trouble.__name__ = name
    return trouble


TROUBLES = [
    none,
    no_dns,
    refused_connection,
    reset,
    answering("500", 500, "GET TARGET"),
    answering("bad-json", 200, '{"errcode":40013,'),
    answering("40125", 200, '{"errcode":40125,"errmsg":"invalid appsecret, TARGET"}'),
    answering("40164", 200, '{"errcode":40164,"errmsg":"invalid ip 1.2.3.4, not in whitelist TARGET"}'),
]


def wechat(seen: Seen) -> tuple[int, dict[str, str], list[bytes]]:
    """Answer as WeChat does."""
    answers: dict[str, Any] = {
        "/cgi-bin/token": {"access_token": TOKEN, "expires_in": 7200},
        "/cgi-bin/stable_token": {"access_token": TOKEN, "expires_in": 7200},
        "/cgi-bin/gettoken": {"errcode": 0, "access_token": TOKEN, "expires_in": 7200},
        "/cgi-bin/ticket/getticket": {"errcode": 0, "ticket": TICKET, "expires_in": 7200},
        "/cgi-bin/getcallbackip": {"ip_list": ["127.0.0.1"]},
    }
    return 200, {}, [json.dumps(answers.get(seen.path, {"errcode": 0, "errmsg": "ok"})).encode()]


class OwnRequests:
    """Each kind of request that the package sends by itself."""

    @staticmethod
    def classic(url: str) -> Any:
        return TokenProvider(Account("wx00000000000000a1", SECRET, base_url=url), source=ClassicToken()).get_token

    @staticmethod
    def stable(url: str) -> Any:
        return TokenProvider(Account("wx00000000000000a1", SECRET, base_url=url), source=StableToken()).get_token

    @staticmethod
    def wecom(url: str) -> Any:
        return TokenProvider(WeComAccount("ww1234567890abcdef", SECRET, base_url=url)).get_token

    @staticmethod
    def ticket(url: str) -> Any:
        jssdk = JSSDK(TokenProvider(Account("wx00000000000000a1", SECRET, base_url=url)))
        return lambda: jssdk.signature("https://example.com/")

    @staticmethod
    def late_reply(url: str) -> Any:
        return lambda: send_reply(_provider(url), "oABC", TextReply("hello"))

    @staticmethod
    def addresses(url: str) -> Any:
        return lambda: CallbackAddresses(_provider(url)).allows("127.0.0.1")


def _provider(url: str, *tokens: str) -> TokenProvider:
    provider: Any = ScriptedProvider()
    provider.tokens = list(tokens or (TOKEN, SECOND))
    provider.account = Account("wx00000000000000a1", SECRET, base_url=url)
    return cast("TokenProvider", provider)


OWN = [name for name in vars(OwnRequests) if name[0] != "_"]


@pytest.mark.parametrize("trouble", TROUBLES, ids=lambda one: one.__name__)
@pytest.mark.parametrize("request_of", OWN)
def test_own_requests_are_not_traced(request_of: str, trouble: Trouble) -> None:
    """Whatever becomes of them, there is no span and no breadcrumb of them, without any setting of the user's."""
    with serving() as api, exporting(masked=False) as exported:
        api.answer = wechat
        url = trouble(api)
        reported(getattr(OwnRequests, request_of)(url))
        if trouble is none:
            assert api.seen

        assert "" == exported.spans()
        assert [] == leaks(exported.everything())


def test_what_is_not_ours_is_traced() -> None:
    """Before and after a fetch of ours the user's own requests are recorded as ever."""
    with serving() as api, exporting(masked=False) as exported:
        api.answer = wechat

        def call(path: str) -> None:
            requests.get(f"{api.url}{path}", timeout=5)

        call("/before")
        OwnRequests.stable(api.url)()
        call("/after")
        reported(int)

        for text in (exported.spans(), exported.sentry()):
            assert all(path in text for path in ("/before", "/after")), text
            assert "stable_token" not in text


def test_ours_are_there() -> None:
    """A refresh is in a trace and in the metrics of both, without the URL, the secret or the token."""
    with serving() as api, exporting(masked=False) as exported:
        api.answer = wechat
        OwnRequests.classic(api.url)()
        traces, metrics = exported.traces(), exported.metrics()

        assert '"name": "refresh classic"' in traces
        assert '"name": "fetch classic"' in traces
        assert "wxmiddleware_token_fetches_total{" in metrics
        assert "wxmiddleware.token.fetches" in metrics
        assert [] == leaks(traces + metrics)
        assert "/cgi-bin/" not in traces + metrics


def test_a_tracer_that_is_broken_breaks_no_fetch(monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be told to be silent is left alone."""
    for name in ("opentelemetry.context", "sentry_sdk"):
        monkeypatch.setitem(__import__("sys").modules, name, object())
    with untraced.untraced():
        pass


def test_the_check_itself() -> None:
    """Without masking and with a user's own call, each exporter has the token."""
    with serving() as api, exporting(masked=False) as exported:
        api.answer = wechat
        reported(lambda: requests.get(f"{api.url}{PATH}", {"access_token": TOKEN}, timeout=5))
        reported(lambda: httpx.get(f"{api.url}{PATH}", params={"access_token": SECOND}, trust_env=False))

        assert ["66_f", "66_s"] == leaks(exported.spans())
        assert ["66_f", "66_s"] == leaks(exported.sentry())
        assert ["66_f"] == leaks(logged_by(lambda: __import__("logging").getLogger("x").error("secret=%s", TOKEN)))


def logged_by(call: Callable[[], object]) -> str:
    from support.leaks import everything_logged

    with everything_logged() as text:
        call()
    return text.getvalue()


CALLS = [
    *TROUBLES,
    answering("eternal-40001", 200, '{"errcode":40001,"errmsg":"invalid credential, access_token is invalid: TARGET"}'),
]


def healed(api: Api) -> str:
    refusal = b'{"errcode":42001,"errmsg":"access_token expired"}'
    api.answer = lambda seen: (200, {}, [refusal if seen.token == TOKEN else b'{"errcode":0}'])
    return api.url


def healed_in_vain(api: Api) -> str:
    def answer(seen: Seen) -> Any:
        if seen.token == SECOND:
            raise ConnectionError
        return 200, {}, [b'{"errcode":42001,"errmsg":"access_token expired"}']

    api.answer = answer
    return api.url


def hanging(api: Api) -> str:
    return api.url  # with a time of nothing


CALLS += [healed, healed_in_vain, hanging]


def _checked(response: Any) -> Any:
    response.raise_for_status()
    return raise_for_errcode(response)


def call_by_hand(url: str, timeout: float) -> Callable[[], object]:
    """The README's way: the token is in the user's own hands."""

    @with_token(_provider(url))
    def user_info(access_token: str, openid: str) -> Any:
        return _checked(requests.get(f"{url}{PATH}", params={"access_token": access_token}, timeout=timeout))

    return lambda: user_info("oABC")


def call_by_hand_with_httpx(url: str, timeout: float) -> Callable[[], object]:
    @with_token(_provider(url))
    async def user_info(access_token: str, openid: str) -> Any:
        async with httpx.AsyncClient(verify=NO_ROOTS, trust_env=False, timeout=timeout) as client:
            return _checked(await client.get(f"{url}{PATH}", params={"access_token": access_token}))

    return lambda: anyio.run(user_info, "oABC")


def call_of(adapter: type[ClientAdapter]) -> Callable[[str, float], Callable[[], object]]:
    def make(url: str, timeout: float) -> Callable[[], object]:
        return lambda: _checked(adapter(_provider(url), url).get(PATH, timeout=timeout))

    make.__name__ = adapter.name
    return make


KINDS = [call_by_hand, call_by_hand_with_httpx, *map(call_of, CLIENTS)]


@pytest.mark.parametrize("trouble", CALLS, ids=lambda one: one.__name__)
@pytest.mark.parametrize("kind", KINDS, ids=lambda one: one.__name__)
def test_users_calls_are_masked(kind: Callable[[str, float], Callable[[], object]], trouble: Trouble) -> None:
    """What `wxmiddleware.masking` is put in front of exports no token, whatever happens."""
    with serving() as api, exporting(masked=True) as exported:
        api.answer = wechat
        url = trouble(api)
        reported(kind(url, 0.0001 if trouble is hanging else 5.0))
        sentry_sdk.get_current_scope().transaction.finish()
        text = exported.everything()

        assert exported.sentry().count('"type":"transaction"')
        assert [] == leaks(text)


@pytest.mark.parametrize("trouble", CALLS, ids=lambda one: one.__name__)
@pytest.mark.parametrize("kind", KINDS, ids=lambda one: one.__name__)
def test_our_frames_hide_their_variables(kind: Callable[[str, float], Callable[[], object]], trouble: Trouble) -> None:
    """With Sentry's own defaults, no local variable of a function of ours shows a token; nor does an error's text."""
    with serving() as api, exporting(masked=False) as exported:
        api.answer = wechat
        url = trouble(api)
        reported(kind(url, 0.0001 if trouble is hanging else 5.0))
        ours = [frame for frame in exported.frames() if frame["module"].startswith("wxmiddleware")]
        texts = [json.loads(line) for line in exported.sentry().splitlines() if '"exception"' in line]
        values = [error["value"] for event in texts for error in event["exception"]["values"]]

        assert [] == [(frame["module"], frame["function"], frame["vars"]) for frame in ours if leaks(str(frame))]
        if kind in (call_by_hand, call_by_hand_with_httpx):
            assert [] == leaks(str(values))
            assert bool(values) == bool(ours)
