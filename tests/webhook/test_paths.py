"""
However the webhook's path is spelt: nothing unsigned reaches a view, in any framework.

`processes/test_paths.py` says the same to real servers, which change a path before the middleware sees it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator
from io import BytesIO
from typing import Any
from urllib.parse import unquote, unquote_to_bytes

import pytest
from support.gateway import noting

from wxmiddleware._rules.paths import Kinship, PathGuard, text_of
from wxmiddleware.exceptions import ConfigurationError
from wxmiddleware.webhook import asgi, wsgi

from . import routers
from .spellings import SPELLINGS
from .wechat import Pusher, text

APPS = [*routers.WSGI_APPS, *routers.ASGI_APPS]
RIGHT = {name: paths for name, (_, _, paths) in {**routers.WSGI_APPS, **routers.ASGI_APPS}.items()}


def ask_wsgi(app: Any, target: str, query: str = "", body: bytes = b"<xml><MsgType>text</MsgType></xml>") -> int:
    environ = {
        "REQUEST_METHOD": "POST",
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(target).decode("latin-1"),
        "QUERY_STRING": query,
        "SERVER_NAME": "test",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": "test",
        "CONTENT_LENGTH": str(len(body)),
        "CONTENT_TYPE": "text/xml",
        "wsgi.input": BytesIO(body),
        "wsgi.errors": BytesIO(),
        "wsgi.url_scheme": "http",
        "wsgi.version": (1, 0),
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    got: list[str] = []
    answer = app(environ, noting(got))
    try:
        list(answer)
    finally:
        getattr(answer, "close", lambda: None)()
    return int(got[-1][:3])


async def ask_asgi(
    app: Any, target: str, query: str = "", body: bytes = b"<xml><MsgType>text</MsgType></xml>", root: str | None = None
) -> int:
    scope: dict[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": unquote(target),
        "raw_path": target.encode(),
        "query_string": query.encode(),
        "headers": [(b"host", b"test"), (b"content-length", str(len(body)).encode())],
        "client": ("127.0.0.1", 1),
        "server": ("test", 80),
    }
    if root is not None:
        scope["root_path"] = root
    sent: list[Any] = []
    coming = [{"type": "http.request", "body": body, "more_body": False}]

    over = asyncio.Event()

    async def receive() -> Any:
        if coming:
            return coming.pop()
        await over.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            over.set()  # from then on a server says so; Quart waits for it

    await app(scope, receive, send)
    return int(sent[0]["status"])


def ask_each(name: str, app: Any, requests: list[dict[str, Any]]) -> dict[str, int | None]:
    """Send requests; by their targets, how they were answered. ``None``: the framework fails at such a path."""

    async def main() -> dict[str, int | None]:
        found: dict[str, int | None] = {}
        for request in requests:
            before = routers.calls.total()
            try:
                answer = ask_wsgi(app, **request) if name in routers.WSGI_APPS else await ask_asgi(app, **request)
            except Exception:
                answer = None
            found[request["target"]] = answer if routers.calls.total() == before else 200
        return found

    return asyncio.run(main())


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    routers.calls.clear()
    with caplog.at_level(logging.CRITICAL, "wxmiddleware"), routers.settings_kept():
        yield
    routers.calls.clear()


@pytest.mark.parametrize("name", APPS)
def test_unsigned(name: str) -> None:
    """No spelling of its path leads an unsigned request to the view."""
    ask_each(name, routers.make(name), [{"target": target} for target in SPELLINGS])

    assert {} == routers.calls


@pytest.mark.parametrize("name", APPS)
def test_without_the_middleware(name: str) -> None:
    """Without the middleware some other spelling than the right one leads there: the test above could fail."""
    right = {path.rstrip("/") for path in RIGHT[name]}
    targets = [target for target in SPELLINGS if target.rstrip("/") not in right]
    ask_each(name, routers.make(name, guarded=False), [{"target": target} for target in targets])

    assert routers.calls[routers.name_of(name), "OPEN"] > 0


@pytest.mark.parametrize("name", APPS)
def test_signed(name: str) -> None:
    """What WeChat has signed is handled on each right path."""
    pusher = Pusher(now=int(time.time()))
    requests = []
    for path in RIGHT[name]:
        pushed = pusher.plain(text(msg_id=path), nonce=path)
        requests.append({"target": path, "query": pushed.url.partition("?")[2], "body": pushed.body})
    statuses = ask_each(name, routers.make(name), requests)

    assert dict.fromkeys(RIGHT[name], 200) == statuses
    assert {(routers.name_of(name), "HANDLED"): len(requests)} == routers.calls


ROOTS = ["/api", "/api/", "/", "/x/api", "/wechat"]
ROOTED = ["quart", "starlette", "fastapi", "litestar", "django-asgi"]
FORCED = ["fastapi-rooted", "fastapi-rooted-in-full", "django-asgi-forced", "django-asgi-forced-in-full"]


@pytest.mark.parametrize("root", ROOTS)
@pytest.mark.parametrize("name", [*ROOTED, *FORCED])
def test_root_path(name: str, root: str) -> None:
    """The server's root_path, in the path or not, with a slash at its end or without, opens nothing."""
    more = [root + target for target in SPELLINGS[:20]] + [root.rstrip("/") + "x" + root + "/wechat"]
    ask_each(name, routers.make(name), [{"target": target, "root": root} for target in [*SPELLINGS, *more]])

    assert {} == routers.calls


@pytest.mark.parametrize("name", ROOTED)
def test_signed_below_root_path(name: str) -> None:
    """Below the server's root_path a push is handled."""
    pushed = Pusher(now=int(time.time())).plain(text())
    request = {"target": "/api/wechat", "query": pushed.url.partition("?")[2], "body": pushed.body, "root": "/api"}
    ask_each(name, routers.make(name), [request])

    assert {(name, "HANDLED"): 1} == routers.calls


OWN, NEAR, OTHER = Kinship.OWN, Kinship.NEAR, Kinship.OTHER


@pytest.mark.parametrize(
    ("guarded", "path", "root", "kinship"),
    [
        ("/wechat", "/wechat", "", OWN),
        ("/wechat", "/wechat/", "", OWN),
        ("/wechat", "/blog/wechat", "", OWN),
        ("/wechat", "/微信/wechat/", "", OWN),
        ("/wechat", "/WeChat", "", NEAR),
        ("/wechat", "/blog/WECHAT/", "", NEAR),
        ("/wechat", "wechat", "", NEAR),
        ("/wechat", "/x\\wechat", "", NEAR),
        ("/wechat", "//WeChat", "", NEAR),
        ("/wechat", "/we\ufffdchat", "", NEAR),
        ("/wechat", "/x/wechat;" + "x" * 5000, "", NEAR),
        ("/wechat", "/%25252577echat", "", NEAR),
        ("/wechat", "/" + "微" * 5000, "", OTHER),
        ("/wechat", "/wechatx", "", OTHER),
        ("/wechat", "/wechat/x", "", OTHER),
        ("/wechat", "/mywechat", "", OTHER),
        ("/wechat", "/my%20wechat", "", OTHER),
        ("/wechat", "/", "", OTHER),
        ("/wechat", "", "", OTHER),
        ("/wechat", "/微信/users/Ä b", "", OTHER),
        ("/微信", "/微信", "", OWN),
        ("/微信", "/%E5%BE%AE%E4%BF%A1", "", NEAR),
        ("/Wechat/In", "/wechat/in", "", NEAR),
        # a prefix that stands in the path: a framework may do without it
        ("/api/wechat", "/api/wechat", "", OWN),
        ("/api/wechat", "/wechat", "", NEAR),
        ("/api/wechat", "/x/wechat", "", OTHER),
        ("/api/wechat", "//wechat", "", NEAR),
        ("/api/wechat", "/x//wechat", "", OTHER),
        # the request's own prefix
        ("/wechat", "/api/wechat", "/api", OWN),
        ("/wechat", "/apiwechat", "/api", NEAR),
        ("/wechat", "/x/apiwechat", "/api", NEAR),
        ("/wechat", "/apiwechat", "", OTHER),
        ("/wechat", "/api/users", "/api", OTHER),
        ("/wechat", "/wechat", "/wechat", OWN),  # for a framework that has another prefix of its own
        ("/wechat", "/WeChat", "/WeChat", NEAR),
        ("/api/wechat", "/api/wechat", "/api", OWN),
        ("/api/wechat", "/v1/wechat", "/v1", NEAR),
        ("/api/wechat", "/wechat", "/wechat", NEAR),
        # patterns
        ("/$APPID$/callback", "/wx1/callback", "", OWN),
        ("/$APPID$/callback", "/callback", "", OTHER),
        ("/$APPID$/callback", "//callback", "", OTHER),
        ("/$APPID$/callback", "/\n/callback", "", OWN),
        ("/$APPID$/callback", "/wx1/Callback", "", NEAR),
        ("/callback/$APPID$", "/callback/wx1", "", OWN),
        ("/callback/$APPID$", "/callback", "", OTHER),
        ("/callback/$APPID$", "/wx1", "", OTHER),
        ("/callback/$APPID$", "/callback/wx1/more", "", OTHER),
        ("/callback/$APPID$", "/CALLBACK/wx1", "", NEAR),
        ("/callback/$APPID$", "/callback/ / ", "", NEAR),
        ("/api/$APPID$/callback", "/wx1/callback", "", NEAR),
        # the root is only itself
        ("", "/", "", OWN),
        ("", "", "", OWN),
        ("", "/api", "/api", OWN),
        ("", "/api/", "/api/", OWN),
        ("", "//", "", NEAR),
        ("", "/x/..", "", NEAR),
        ("", "//api/", "/api", NEAR),
        ("", "/x", "", OTHER),
        ("", "/微信", "", OTHER),
    ],
)
def test_judge(guarded: str, path: str, root: str, kinship: Kinship) -> None:
    """A path is the webhook's, or nearly, or another."""
    assert kinship is PathGuard(guarded).judge(path, root)


def test_exempt() -> None:
    """A page that is exempt is let through with its very path, also with a slash at its end; nothing else is."""
    guard = PathGuard("/wechat", ["/blog/wechat", "/WeChat"])
    paths = ["/blog/wechat", "/blog/wechat/", "/WeChat", "/Blog/wechat", "/blog//wechat", "//blog/wechat", "/wechat"]

    assert [OTHER, OTHER, OTHER, OWN, OWN, OWN, OWN] == [guard.judge(path) for path in paths]


def test_text_of() -> None:
    """A path of a WSGI environ is read as UTF-8, and is left alone where the server has read it."""
    assert ["/wechat", "/微信", "/we\ufffdchat", "/微信"] == [
        text_of(path) for path in ("/wechat", "/微信".encode().decode("latin-1"), "/we\xffchat", "/微信")
    ]


def _wsgi_app(environ: Any, start_response: Any) -> list[bytes]:
    return []


async def _asgi_app(scope: Any, receive: Any, send: Any) -> None: ...


@pytest.mark.parametrize("middleware", [wsgi.WebhookMiddleware, asgi.WebhookMiddleware])
@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"path": None}, "path must be the path"),
        ({"path": "wechat"}, "must begin with a slash"),
        ({"path": "/<appid>/callback"}, "pattern"),
        ({"path": "/{appid}/callback"}, r"\$APPID\$"),
        ({"path": "/:appid/callback"}, "pattern"),
        ({"path": "/wx$APPID$/callback"}, "pattern"),
        ({"path": "/$appid$/callback"}, "pattern"),
        ({"path": "/wechat$"}, "pattern"),
        ({"path": "/wechat?x"}, "pattern"),
        ({"path": "/$APPID$"}, "a part with a name"),
        ({"path": "/%77echat"}, "decoded"),
        ({"path": "/wechat\n"}, "decoded"),
        ({"path": "//wechat"}, "decoded"),
        ({"path": "/x/../wechat"}, "decoded"),
        ({"exempt": 7}, "exempt= must be"),
        ({"exempt": b"/blog"}, "exempt= must be"),
        ({"exempt": ["blog"]}, "exempt= must begin"),
        ({"exempt": ["/blog/*"]}, "pattern"),
        ({"exempt": "/$APPID$/wechat"}, "exact path"),
        ({"exempt": "/wechat/"}, "the webhook's own"),
        ({"exempt": "/WeChat;x"}, "the webhook's own"),
    ],
)
def test_mistakes(middleware: Any, options: dict[str, Any], match: str) -> None:
    """A path that can match nothing, or would open the webhook, is refused at construction."""
    app = _wsgi_app if middleware is wsgi.WebhookMiddleware else _asgi_app
    with pytest.raises(ConfigurationError, match=match):
        middleware(app, **{"path": "/wechat", "token": "x", **options})


@pytest.mark.parametrize("name", ["flask", "starlette"])
def test_near_is_told(name: str, caplog: pytest.LogCaptureFixture) -> None:
    """A refusal for the path is a 403, and the log says what to do if it is another page."""
    with caplog.at_level(logging.WARNING, "wxmiddleware"):
        assert {"/wechat%0A": 403} == ask_each(name, routers.make(name), [{"target": "/wechat%0A"}])

    assert r"Refused POST '/wechat\n'" in caplog.text
    assert "exempt=" in caplog.text


@pytest.mark.parametrize("name", ["flask", "starlette"])
def test_prefix_is_told(name: str, caplog: pytest.LogCaptureFixture) -> None:
    """So it is where another page ends in the webhook's path; of the webhook's own path nothing of the kind is said."""
    app = routers.make(name)
    with caplog.at_level(logging.WARNING, "wxmiddleware"):
        assert {"/login/wechat": 403, "/wechat/": 403} == ask_each(
            name, app, [{"target": target} for target in ("/login/wechat", "/wechat/")]
        )

    told = [each.getMessage() for each in caplog.records if each.name == "wxmiddleware"]
    assert [True, False] == ["If '/login/wechat' is another page" in each and "exempt=" in each for each in told]


def test_websocket() -> None:
    """A websocket goes through."""
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["path"])

    middleware = asgi.WebhookMiddleware(app, path="/wechat", token="x")
    asyncio.run(middleware({"type": "websocket", "path": "//wechat"}, None, None))  # type: ignore[arg-type]

    assert ["//wechat"] == seen
