"""
Whatever goes wrong on the way, a client of ours shows no token: not in an error, what is behind it, or a log record.

How the provider keeps its own secrets is in tests/test_secrets.py; what both look through is in tests/support/leaks.py.
"""

from __future__ import annotations

import io
import pickle
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
from support.api_server import REJECTED, Api, Seen
from support.clients import ClientAdapter, Httpx
from support.leaks import everything_logged, shown

from wxmiddleware import Account, TokenError, TokenProvider, raise_for_errcode
from wxmiddleware._runtime import masking
from wxmiddleware.requests import WeChatAuth, mask_errors
from wxmiddleware.simulator import WeChat

PATH = "/cgi-bin/user/info?openid=oFollower"
FIRST, SECOND = "88_firstfirstfirst", "88_secondsecond"


@pytest.fixture
def logged() -> Iterator[io.StringIO]:
    """All that is logged at DEBUG, by anybody."""
    with everything_logged() as text:
        yield text


@pytest.fixture
def unresolved(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that is not found, without asking the network."""
    resolve = socket.getaddrinfo

    def resolve_here(host: Any, *args: Any, **options: Any) -> Any:
        if host in ("wechat.invalid", b"wechat.invalid"):
            raise socket.gaierror(-2, "Name or service not known")
        return resolve(host, *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", resolve_here)


def _closed_port() -> str:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{one.getsockname()[1]}"


Trouble = Callable[[Api], str]


def no_dns(api: Api) -> str:
    return "http://wechat.invalid"


def refused_connection(api: Api) -> str:
    return _closed_port()


def no_tls(api: Api) -> str:
    return api.url.replace("http:", "https:")


def reset(api: Api) -> str:
    def answer(seen: Seen) -> Any:
        raise ConnectionError

    api.answer = answer
    return api.url


def cut_short(api: Api) -> str:
    api.answer = lambda seen: (200, {"Content-Length": "100"}, iter([b'{"errcode"']))
    return api.url


def status_500(api: Api) -> str:
    api.answer = lambda seen: (500, {}, [f"GET {seen.target}".encode()[:4]])
    return api.url


def bad_json(api: Api) -> str:
    api.answer = lambda seen: (200, {}, [b'{"errcode":40013,'])
    return api.url


def errcode(code: int) -> Trouble:
    def quoting(api: Api) -> str:
        api.answer = lambda seen: (200, {}, [f'{{"errcode":{code},"errmsg":"no: {seen.target} rid: x"}}'.encode()])
        return api.url

    quoting.__name__ = f"errcode-{code}"
    return quoting


def redirects_for_ever(api: Api) -> str:
    api.answer = lambda seen: (302, {"Location": seen.target}, [b""])
    return api.url


def redirect_elsewhere(api: Api) -> str:
    api.answer = lambda seen: (302, {"Location": f"{api.url.replace('127.0.0.1', 'localhost')}{seen.target}"}, [b""])
    return api.url


def refused_and_then(trouble: Trouble) -> Trouble:
    def both(api: Api) -> str:
        url, then = trouble(api), api.answer
        api.answer = lambda seen: (200, {}, [REJECTED]) if seen.token == FIRST else then(seen)
        return url

    both.__name__ = f"refused-then-{trouble.__name__}"
    return both


TROUBLES = [
    no_dns,
    refused_connection,
    no_tls,
    reset,
    cut_short,
    status_500,
    bad_json,
    errcode(-1),
    errcode(40125),
    errcode(40164),
    redirects_for_ever,
    redirect_elsewhere,
    refused_and_then(reset),
    refused_and_then(cut_short),
    refused_and_then(status_500),
    refused_and_then(redirects_for_ever),
    refused_and_then(errcode(40001)),
]


def told(answer: Any) -> list[BaseException]:
    """The errors that a caller makes of an answer."""
    errors: list[BaseException] = []
    judges: list[Callable[[Any], object]] = [
        raise_for_errcode,
        lambda one: one.raise_for_status(),
        lambda one: one.json(),
    ]
    for judge in judges:
        try:
            judge(answer)
        except Exception as error:
            errors.append(error)
    return errors


def attempt(adapter: ClientAdapter, url: str) -> str:
    """Call, and collect what the caller may come to see; the body is WeChat's own and left out."""
    try:
        answer = adapter.get(url + PATH, redirects=True)
    except Exception as error:
        return shown(error)
    seen = [repr(answer), str(answer.url), repr(answer.request), str(answer.request.url), repr(answer.headers)]
    for one in answer.history:
        seen += [repr(one), str(one.url), repr(one.request.headers)]
    return "\n".join([*seen, *map(shown, told(answer))])


@pytest.mark.usefixtures("unresolved")
@pytest.mark.parametrize("trouble", TROUBLES, ids=lambda one: one.__name__)
def test_troubles(
    adapter_class: type[ClientAdapter], api: Api, scripted: Any, trouble: Trouble, logged: io.StringIO
) -> None:
    """Neither token shows, whatever the network or WeChat does."""
    if "for_ever" in trouble.__name__ and adapter_class.name != "requests":
        pytest.skip(
            "not covered: httpx puts the request of a redirect into its error, and the server the token into that"
        )
    masking.install()
    scripted.tokens = [FIRST, SECOND]
    url = trouble(api)
    adapter = adapter_class(scripted, url, hosts=[url])
    scripted.account.base_url = url
    everything = attempt(adapter, url) + logged.getvalue()

    assert [] == [one[:5] for one in (FIRST, SECOND) if one in everything]


def test_timeout(
    adapter_class: type[ClientAdapter], wechat: WeChat, wechat_account: Account, logged: io.StringIO
) -> None:
    """Nor does a call that waited too long."""
    provider = TokenProvider(wechat_account)
    token = provider.get_token()
    hanging = wechat.faults.add("/cgi-bin/user/info", "hang")
    adapter = adapter_class(provider, wechat_account.base_url)
    with pytest.raises(adapter.errors) as caught:
        adapter.get(PATH, timeout=0.1)
    hanging.release()

    assert token not in shown(caught.value) + logged.getvalue()


@pytest.mark.parametrize("code", [40125, 40164])
def test_no_token(
    adapter_class: type[ClientAdapter], wechat: WeChat, wechat_account: Account, code: int, logged: io.StringIO
) -> None:
    """What the token endpoint refuses reaches the caller as the provider says it, without the secret."""
    wechat.faults.add("/cgi-bin/stable_token", "errcode", errcode=code, times=None)
    adapter = adapter_class(TokenProvider(wechat_account), wechat_account.base_url)
    with pytest.raises(TokenError) as caught:
        adapter.get(PATH)

    assert wechat.secret not in shown(caught.value) + logged.getvalue()


def test_success(adapter_class: type[ClientAdapter], api: Api, scripted: Any, logged: io.StringIO) -> None:
    """Nor is a token shown where all goes well, in an answer, its history, or their pickles."""
    masking.install()
    scripted.tokens = [FIRST, SECOND]
    api.answer = lambda seen: (200, {}, [REJECTED if seen.token == FIRST else b"{}"])
    answer = adapter_class(scripted, api.url).get(PATH)
    everything = [logged.getvalue(), repr(pickle.dumps(answer)), str(answer.url), repr(answer.request)]
    everything += [str(answer.request.url), str(answer.history[0].url), repr(answer.history[0].request)]

    assert [FIRST, SECOND] == api.tokens
    assert [] == [one[:5] for one in (FIRST, SECOND) if one in "\n".join(everything)]
    assert answer.content == pickle.loads(pickle.dumps(answer)).content


def test_only_a_shield_covers_what_an_auth_cannot_see(scripted: Any) -> None:
    """Without it requests' ConnectionError quotes the token; that is what it is for."""
    url = _closed_port()
    scripted.tokens = [FIRST]
    scripted.account.base_url = url
    shielded, bare = mask_errors(requests.Session()), requests.Session()
    texts = []
    for session in (bare, shielded, mask_errors(shielded)):
        session.auth = WeChatAuth(scripted)
        with pytest.raises(requests.ConnectionError) as caught:
            session.get(url + PATH, timeout=5)
        texts.append(shown(caught.value))

    assert [True, False, False] == [FIRST in text for text in texts]
    assert "access_token=***" in texts[1]


def test_what_an_auth_can_see_it_covers(api: Api, scripted: Any) -> None:
    """An error of the second request passes through our hands, shield or not."""

    def answer(seen: Seen) -> Any:
        if seen.token == SECOND:
            raise ConnectionError
        return 200, {}, [REJECTED]

    api.answer, scripted.tokens = answer, [FIRST, SECOND]
    with pytest.raises(requests.ConnectionError) as caught:
        requests.get(api.url + PATH, auth=WeChatAuth(scripted), timeout=5)

    assert SECOND not in shown(caught.value)


def test_a_shield_is_for_tokens_put_there_by_hand_too(api: Api) -> None:
    """A session without our auth is covered as well, and so are secrets, and adapters that are mounted later."""
    with mask_errors(requests.Session()) as session:
        session.mount("http://", requests.adapters.HTTPAdapter(max_retries=1))
        with pytest.raises(requests.ConnectionError) as caught:
            session.get(f"{_closed_port()}/cgi-bin/token", params={"secret": FIRST}, timeout=5)

    assert FIRST not in shown(caught.value)


def test_a_masked_url_is_one_of_httpx(api: Api, scripted: Any) -> None:
    """What the wire and a transport read of the URL is the token; what is printed or pickled is not."""
    urls: list[Any] = []
    with Httpx(scripted, api.url).client(event_hooks={"request": [lambda request: urls.append(request.url)]}) as client:
        client.get(api.url + PATH)
    url = urls[0]

    assert "T1" == url.params["access_token"]
    assert b"access_token=T1" in url.raw_path
    assert str(url).endswith("&access_token=***")
    assert "T1" not in repr(url)
    assert str(url) == str(pickle.loads(pickle.dumps(url)))


def test_the_check_itself() -> None:
    """A client without our auth shows its token in all these places."""
    with pytest.raises(requests.ConnectionError) as caught:
        requests.get(f"{_closed_port()}/x?access_token={FIRST}", timeout=5)

    assert FIRST in shown(caught.value)
