"""Where a token goes, and where it does not."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import anyio
import httpx
import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.api_server import OK, REJECTED, Api, serving
from support.clients import NO_ROOTS, AsyncHttpx, ClientAdapter, Httpx, Requests

import wxmiddleware.httpx
import wxmiddleware.httpx2
from wxmiddleware._outbound.scope import Scope
from wxmiddleware.exceptions import ConfigurationError

USER = "/cgi-bin/user/info?openid=oFollower"


@pytest.fixture
def elsewhere() -> Iterator[Api]:
    """Another server, which is none of WeChat's."""
    with serving() as other:
        yield other


@pytest.mark.parametrize(
    ("expected", "url"),
    [
        (True, ("https", "api.weixin.qq.com", None, "/cgi-bin/user/info")),
        (True, ("HTTPS", "API.weixin.QQ.com", 443, "/wxa/getwxacodeunlimit")),
        (True, ("https", "sh.api.weixin.qq.com", None, "/")),
        (True, ("https", "gateway.test", 8443, "/cgi-bin/x")),
        (True, ("http", "plain.test", None, "/x")),
        (True, ("https", "plain.test", None, "/x")),
        (True, ("https", "sh.api.weixin.qq.com", None, "/cgi-bin/tokens")),
        (True, ("https", "sh.api.weixin.qq.com", None, "/snsx/y")),
        (False, ("http", "api.weixin.qq.com", None, "/x")),
        (False, ("https", "api.weixin.qq.com", 8443, "/x")),
        (False, ("https", "gateway.test", None, "/x")),
        (False, ("http", "gateway.test", 8443, "/x")),
        (False, ("https", "evil.api.weixin.qq.com", None, "/x")),
        (False, ("https", "api.weixin.qq.com.evil.test", None, "/x")),
        (False, ("https", "", None, "/x")),
        (False, ("ws", "api.weixin.qq.com", None, "/x")),
        (False, ("https", "api.weixin.qq.com", None, "/sns/userinfo")),
        (False, ("https", "api.weixin.qq.com", None, "//sns/oauth2/access_token")),
        (False, ("https", "api.weixin.qq.com", None, "/cgi-bin/token")),
        (False, ("https", "api.weixin.qq.com", None, "/cgi-bin/stable_token/")),
        (False, ("https", "api.weixin.qq.com", None, "/cgi-bin/gettoken")),
        (False, ("https", "api.weixin.qq.com", None, "/cgi-bin/component/api_component_token")),
    ],
)
def test_covers(expected: bool, url: tuple[str, str, int | None, str]) -> None:
    """A scheme, a name and a port make a host; some paths are not ours on any of them."""
    hosts = ["sh.api.weixin.qq.com", "https://gateway.test:8443", "http://plain.test/"]

    assert expected is Scope("https://api.weixin.qq.com", hosts).covers(*url)


def test_below_a_path() -> None:
    """Behind a gateway with a path of its own, WeChat's paths begin after it."""
    scope = Scope("https://gateway.test/wechat")

    assert scope.covers("https", "gateway.test", None, "/wechat/cgi-bin/user/info")
    assert not scope.covers("https", "gateway.test", None, "/wechat/sns/userinfo")


BELOW = ["/wechat/cgi-bin/x", "/wechat/", "/wechat//cgi-bin/x", "/wechat/a%2Fb", "/%77echat/wxa/x", "/wechat/\u540d"]
BESIDE = [
    "",
    "/",
    "/metrics",
    "/wechat-of-others/x",
    "/wechatx",
    "/Wechat/x",
    "//wechat/x",
    "/wechat%2Fx",
    "/wechat/../metrics",
    "/wechat/%2e%2e/metrics",
    "/wechat/%252e%252e/metrics",
    "/wechat/x/..%2f..%2fmetrics",
    "/wechat/..;a=b/metrics",
    "/wechat/..\\metrics",
    "/wechat/..",
]


@pytest.mark.parametrize("path", [*BELOW, *BESIDE])
def test_not_beside_a_path(path: str) -> None:
    """A gateway's other paths are somebody else's, however the gateway reads a path; those of a listed host are not."""
    url = ("https", "gateway.test", None, path)

    assert Scope("https://gateway.test/wechat").covers(*url) is (path in BELOW)
    assert Scope("http://gateway.test/wechat/").covers(*url) is (path in BELOW)
    assert Scope("https://gateway.test/wechat", ["gateway.test"]).covers(*url)


@pytest.mark.parametrize("base", ["", "/wechat", "/%e4%bc%81/a b"])
@pytest.mark.parametrize(
    "path",
    [
        "/sns/x",
        "/%73ns/x",
        "/./sns/x",
        "/cgi-bin/%2e/token",
        "//cgi-bin/token",
        "/cgi-bin/stable_token/",
        "/a/%2e%2e/sns/x",
    ],
)
def test_paths_of_others_in_any_spelling(base: str, path: str) -> None:
    """Neither does a token go where another kind of token or a secret is meant."""
    for hosts in ([], ["gateway.test"]):
        scope = Scope(f"https://gateway.test{base}", hosts)

        assert scope.covers("https", "gateway.test", None, f"{base}/cgi-bin/user/info")
        assert not scope.covers("https", "gateway.test", None, base + path)


def test_a_gateways_other_paths(adapter_class: type[ClientAdapter], api: Api, scripted: Any) -> None:
    """On the wire, too: below the path there is a token, beside it there is none."""
    scripted.account.base_url = f"{api.url}/wechat"
    adapter = adapter_class(scripted, api.url)
    for path in ("/wechat/x", "/metrics", "/wechat/%2e%2e/metrics", "/wechat-of-others/x"):
        adapter.get(path)

    assert ["T1", "T2", None, None, None] == api.tokens


def test_a_redirect_beside_the_path(adapter_class: type[ClientAdapter], api: Api, scripted: Any) -> None:
    """A redirect that has our token in it does not take it there."""
    scripted.account.base_url = f"{api.url}/wechat"
    api.answer = lambda seen: (302, {"Location": f"/login?access_token={seen.token}"}, [b""])
    adapter = adapter_class(scripted, api.url)
    with contextlib.suppress(adapter.errors):
        adapter.get("/wechat/x", redirects=True)

    assert {"/wechat/x"} == {one.path for one in api.seen if one.token == "T1"}


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("library", [httpx, httpx2])
def test_through_a_forward_proxy(api: Api, scripted: Any, library: Any, asynchronous: bool) -> None:
    """A proxy is asked for the whole URL; the token goes to the host behind it, and heals as ever."""
    scripted.account.base_url = "http://wechat.test"
    auth = {httpx: wxmiddleware.httpx, httpx2: wxmiddleware.httpx2}[library].WeChatAuth(scripted)

    async def main() -> Any:
        async with library.AsyncClient(verify=NO_ROOTS, auth=auth, proxy=api.url) as client:
            return await client.get("http://wechat.test/cgi-bin/x"), await client.get("http://other.test/x")

    if asynchronous:
        anyio.run(main)
    else:
        with library.Client(verify=NO_ROOTS, auth=auth, proxy=api.url) as client:
            assert OK == client.get("http://wechat.test/cgi-bin/x").content
            client.get("http://other.test/x")

    assert [("wechat.test", "T1"), ("wechat.test", "T2"), ("other.test", None)] == [
        (one.headers["host"], one.token) for one in api.seen
    ]


def test_a_redirect_elsewhere_through_a_forward_proxy(api: Api, scripted: Any) -> None:
    """The proxy's own name hides no host that the token is not for."""
    scripted.account.base_url = "http://wechat.test"
    api.answer = lambda seen: (302, {"Location": f"http://other.test/x?access_token={seen.token}"}, [b""])
    client = httpx.Client(
        verify=NO_ROOTS, auth=wxmiddleware.httpx.WeChatAuth(scripted), proxy=api.url, follow_redirects=True
    )
    with client, pytest.raises(httpx.HTTPError, match=r"other\.test"):
        client.get("http://wechat.test/cgi-bin/x")

    assert ["T1"] == api.tokens


@given(st.from_regex(r"[a-z0-9.-]{1,20}", fullmatch=True), st.sampled_from(["http", "https"]), st.integers(0, 65535))
def test_only_what_was_listed(host: str, scheme: str, port: int) -> None:
    """No other name, scheme or port is ever covered."""
    scope = Scope("https://wechat.test:4433", ["other.test"])
    listed = {("https", "wechat.test", 4433), ("https", "other.test", 443)}

    assert scope.covers(scheme, host, port, "/x") is ((scheme, host, port) in listed)


@pytest.mark.parametrize(
    "wrong", ["", "*.qq.com", "a b", "a?b", "a/b", "ftp://a", "user@host", "h:0", "h:x", None, b"a"]
)
def test_hosts_that_are_none(wrong: Any) -> None:
    """What is no host is refused, and not quoted."""
    with pytest.raises(ConfigurationError, match="no host"):
        Scope("https://api.weixin.qq.com", [wrong])


@pytest.mark.parametrize("base", ["", "/wechat"])
@pytest.mark.parametrize(
    ("expected", "path"),
    [
        ("component_access_token", "/sns/component/jscode2session"),
        ("component_access_token", "//%73ns/component/jscode2session"),
        ("access_token", "/cgi-bin/component/api_query_auth"),
        ("access_token", "/wxa/gettemplatelist"),
        (None, "/sns/component/"),
        (None, "/sns/component/../userinfo"),
        (None, "/sns/component/%2e%2e/userinfo"),
        (None, "/sns/component/%252e%252e/userinfo"),
        (None, "/sns/componentx/y"),
        (None, "/sns/oauth2/access_token"),
        (None, "/cgi-bin/component/api_component_token"),
    ],
)
def test_where_a_platforms_token_goes(expected: str | None, path: str, base: str) -> None:
    """Where users of its accounts log in, too, by another name; an account's own token does not."""
    url = ("https", "gateway.test", None, base + path)
    scope = Scope(f"https://gateway.test{base}", platform=True)

    assert scope.covers(*url) is (expected is not None)
    assert expected in (None, scope.parameter(base + path))
    assert "/sns/" not in path.replace("%73", "s") or not Scope(f"https://gateway.test{base}").covers(*url)


@pytest.mark.parametrize("path", ["/sns/userinfo", "/cgi-bin/token", "/cgi-bin/stable_token"])
def test_paths_that_are_not_ours(adapter: ClientAdapter, api: Api, scripted: Any, path: str) -> None:
    """Where 40001 speaks of a user's token or of a secret, there is no token of ours and no healing."""
    api.answer = lambda seen: (200, {}, [REJECTED])

    assert REJECTED == adapter.get(path).content
    assert [None] == api.tokens
    assert [] == scripted.asked


def test_a_token_of_the_callers_own(adapter: ClientAdapter, api: Api, scripted: Any) -> None:
    """A request with an access_token in its URL goes out as it is, and its rejection is the caller's."""
    answer = adapter.get(f"{USER}&access_token=T1")

    assert REJECTED == answer.content
    assert ["T1"] == api.tokens
    assert [] == scripted.asked
    assert "access_token" not in api.seen[0].target.partition("&")[0]


def test_other_hosts(adapter: ClientAdapter, api: Api, elsewhere: Api, scripted: Any) -> None:
    """A session may be used for other hosts: they get no token, and what they answer is not judged."""
    elsewhere.answer = lambda seen: (200, {}, [REJECTED])

    assert REJECTED == adapter.get(elsewhere.url + USER).content
    assert [None] == elsewhere.tokens
    assert [] == scripted.asked


def test_listed_hosts(adapter_class: type[ClientAdapter], api: Api, elsewhere: Api, scripted: Any) -> None:
    """A host that was listed gets the token, and its refusals are healed."""
    adapter = adapter_class(scripted, api.url, hosts=[elsewhere.url])

    assert OK == adapter.get(elsewhere.url + USER).content
    assert ["T1", "T2"] == elsewhere.tokens


def test_http_where_https_was_said(adapter_class: type[ClientAdapter], scripted: Any) -> None:
    """A step down to http is refused before anything is sent."""
    scripted.account.base_url = "https://wechat.test"
    with pytest.raises(ConfigurationError, match="https://"):
        adapter_class(scripted, "http://wechat.test").get(USER)

    assert [] == scripted.asked


class TestRedirects:
    @pytest.mark.parametrize("status", [301, 302, 307, 308])
    def test_elsewhere(
        self, adapter: ClientAdapter, api: Api, elsewhere: Api, moved_to: Callable[..., Any], status: int
    ) -> None:
        """A redirect to another host is followed without the token."""
        api.answer = moved_to(f"{elsewhere.url}/there?a=1", status)
        answer = adapter.get(USER, redirects=True)

        assert OK == answer.content
        assert [("/there?a=1", None)] == [(one.target, one.token) for one in elsewhere.seen]
        assert [status] == [one.status_code for one in answer.history]

    @pytest.mark.parametrize("echo", ["/there?access_token={}", "/login?next=%2Fx%3Faccess_token%3D{}", "/{}"])
    def test_elsewhere_with_our_token(self, adapter: ClientAdapter, api: Api, elsewhere: Api, echo: str) -> None:
        """A server that writes our token into a redirect elsewhere does not get it there."""
        api.answer = lambda seen: (302, {"Location": elsewhere.url + echo.format(seen.token)}, [b""])
        if adapter.name == "requests":
            adapter.get(USER, redirects=True)
        else:
            with pytest.raises(adapter.errors, match="redirect"):
                adapter.get(USER, redirects=True)

        assert [] == [one.target for one in elsewhere.seen if "T1" in one.target]
        assert ["T1"] == api.tokens

    def test_elsewhere_refuses(
        self, adapter: ClientAdapter, api: Api, elsewhere: Api, moved_to: Callable[..., Any], scripted: Any
    ) -> None:
        """What another host answers after a redirect says nothing about our token."""
        api.answer = moved_to(elsewhere.url)
        elsewhere.answer = lambda seen: (200, {}, [REJECTED])

        assert REJECTED == adapter.get(USER, redirects=True).content
        assert [] == scripted.rejected

    def test_within(self, adapter: ClientAdapter, api: Api) -> None:
        """A redirect that stays and keeps the query works, is healed, and shows no token."""
        usual = api.usual
        api.answer = lambda seen: (
            (302, {"Location": f"/moved?{seen.target.partition('?')[2]}"}, [b""])
            if seen.path != "/moved"
            else usual(seen)
        )
        answer = adapter.get(USER, redirects=True)

        assert OK == answer.content
        assert {"T1", "T2"} == set(api.tokens)
        assert "T2" not in str(answer.url)
        assert "T1" not in "".join(str(one.url) for one in answer.history)

    def test_not_followed(self, adapter: ClientAdapter, api: Api, elsewhere: Api, moved_to: Callable[..., Any]) -> None:
        """A redirect that the caller does not follow is the caller's answer."""
        api.answer = moved_to(elsewhere.url)

        assert 302 == adapter.get(USER).status_code

    def test_second_redirect(self, adapter: ClientAdapter, api: Api, elsewhere: Api) -> None:
        """The new token does not go elsewhere, either."""
        api.answer = lambda seen: (
            (200, {}, [REJECTED]) if seen.token == "T1" else (302, {"Location": f"{elsewhere.url}/{seen.token}"}, [b""])
        )
        if adapter.name == "requests":
            adapter.get(USER, redirects=True)
        else:
            with pytest.raises(adapter.errors, match="redirect"):
                adapter.get(USER, redirects=True)

        assert [] == [one.target for one in elsewhere.seen if "T2" in one.target]


@pytest.mark.parametrize("adapter_class", [Httpx, AsyncHttpx])
def test_the_callers_own_trace_is_called(adapter_class: type[ClientAdapter], api: Api, scripted: Any) -> None:
    """httpx's trace extension is still the caller's."""
    events: list[str] = []

    def trace(event: str, info: Any) -> None:
        events.append(event)

    async def async_trace(event: str, info: Any) -> None:
        events.append(event)

    watching = async_trace if adapter_class is AsyncHttpx else trace
    adapter_class(scripted, api.url).get(USER, extensions={"trace": watching})

    assert 2 == events.count("http11.send_request_headers.started")


def test_adapters_with_retries(api: Api, scripted: Any) -> None:
    """An adapter that the user mounted sends both requests, with its own retries."""
    import requests.adapters
    import urllib3

    usual, failures = api.usual, [503, 502]
    api.answer = lambda seen: (failures.pop(), {}, [b""]) if failures else usual(seen)
    with Requests(scripted, api.url).client() as session:
        retries = urllib3.Retry(3, status_forcelist=[502, 503], backoff_factor=0)
        session.mount(api.url, requests.adapters.HTTPAdapter(max_retries=retries))
        answer = session.get(api.url + USER, timeout=10)

    assert OK == answer.content
    assert ["T1", "T1", "T1", "T2"] == api.tokens


def test_redirects_with_a_broken_body(api: Api, scripted: Any) -> None:
    """requests follows a redirect whose body is cut short, as it does without us."""
    usual = api.usual
    moved = (302, {"Location": "/moved", "Content-Length": "99"}, iter([b"cut"]))
    api.answer = lambda seen: usual(seen) if seen.path == "/moved" else moved

    assert OK == Requests(scripted, api.url).get(USER, redirects=True).content
