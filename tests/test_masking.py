"""HTTP clients log URLs; what they log of ours has no secret in it."""

from __future__ import annotations

import asyncio
import io
import logging
import re
import urllib.error
from pathlib import Path

import flask
import httpx
import httpx2
import pytest
import requests
from support.clients import NO_ROOTS
from support.contrary import Contrary, ContraryError
from support.leaks import shown

from wxmiddleware import Account, TokenProvider, masking
from wxmiddleware._runtime import masking as _masking
from wxmiddleware.simulator import SimulatorServer, WeChat


@pytest.fixture
def provider(wechat_account: Account) -> TokenProvider:
    """Any provider: the first one of a process puts the filter in place."""
    return TokenProvider(wechat_account)


class TestClients:
    def test_requests(
        self, provider: TokenProvider, wechat_server: SimulatorServer, caplog: pytest.LogCaptureFixture
    ) -> None:
        """At DEBUG urllib3's line has the path, and *** for the token."""
        token = provider.get_token()
        with caplog.at_level(logging.DEBUG):
            requests.get(f"{wechat_server.url}/cgi-bin/user/info", {"access_token": token, "openid": "o1"}, timeout=5)

        assert token not in caplog.text
        assert "access_token=***&openid=o1" in caplog.text

    def test_httpx(
        self, provider: TokenProvider, wechat_server: SimulatorServer, caplog: pytest.LogCaptureFixture
    ) -> None:
        """At INFO httpx's line has the URL, and *** for the token."""
        token = provider.get_token()

        async def call() -> None:
            async with httpx.AsyncClient(verify=NO_ROOTS, base_url=wechat_server.url) as client:
                await client.get("/cgi-bin/user/info", params={"access_token": token, "openid": "o1"})

        with caplog.at_level(logging.INFO, "httpx"):
            asyncio.run(call())

        assert token not in caplog.text
        assert "access_token=***&openid=o1" in caplog.text

    @pytest.mark.parametrize("name", _masking.LOGGERS)
    def test_every_logger(self, provider: TokenProvider, caplog: pytest.LogCaptureFixture, name: str) -> None:
        """Each logger that may quote a URL is masked: in text, in arguments, in a header as bytes."""
        logger = logging.getLogger(name)
        with caplog.at_level(logging.DEBUG, name):
            logger.debug("GET /x?access_token=88_abc&a=1")
            logger.debug("%s %r", "/x?secret=88_abc", [(b"Location", b"/y?access_token=88_abc")])

        assert "88_abc" not in caplog.text
        assert "/x?access_token=***&a=1" in caplog.text
        assert "b'/y?access_token=***')" in caplog.text

    def test_each_provider_sees_to_it(self, provider: TokenProvider, wechat_account: Account) -> None:
        """Where somebody has taken the filter away, the next provider puts it back."""
        logger = logging.getLogger(_masking.LOGGERS[-1])
        kept = list(logger.filters)
        logger.filters.clear()

        TokenProvider(wechat_account)

        assert kept == logger.filters != []

    def test_loggers_are_all_there_are(self) -> None:
        """The clients have no logger that quotes a URL and is not masked."""
        import httpcore
        import httpcore2
        import urllib3

        roots = [Path(one.__path__[0]) for one in (httpcore, httpcore2, urllib3, httpx, httpx2)]
        found: set[str] = set()
        for root in roots:
            for file in root.rglob("*.py"):
                text = file.read_text(encoding="utf-8")
                found.update(re.findall(r'getLogger\("([\w.]+)"\)', text))
                if "getLogger(__name__)" in text:
                    found.add(".".join(file.relative_to(root.parent).with_suffix("").parts))
        # These are named, and quote none.
        quiet = {"urllib3.__init__", "urllib3.contrib.pyopenssl", "urllib3.contrib.emscripten.response"}

        assert set() == found - set(_masking.LOGGERS) - quiet

    def test_other_lines_are_left_alone(self, provider: TokenProvider, caplog: pytest.LogCaptureFixture) -> None:
        """What has no secret in it is logged as it was, with its arguments."""
        with caplog.at_level(logging.DEBUG, "urllib3.connectionpool"):
            logging.getLogger("urllib3.connectionpool").debug("Starting new connection (%d): %s:%s", 1, "host", 80)

        assert (1, "host", 80) == caplog.records[0].args


def test_account_of_the_simulator_is_not_taken_for_swapped(wechat: WeChat) -> None:
    """The simulator's own AppID passes the check that finds swapped values."""
    assert Account(wechat.appid, wechat.secret).appid == wechat.appid


class TestErrors:
    def test_everything_behind_an_error(self) -> None:
        """Arguments, attributes, causes and contexts are masked where they lie."""
        inner = ValueError("/x?access_token=88_abc")
        error = RuntimeError("secret=88_abc", inner, 7)
        error.url = "/x?access_token=88_abc&b=1"  # type: ignore[attr-defined]
        error.__cause__ = KeyError("access_token=88_abc")
        error.__cause__.__context__ = error
        _masking.mask_error(error)

        assert "88_abc" not in shown(error)
        assert ("secret=***", inner, 7) == error.args
        assert "/x?access_token=***&b=1" == error.url  # type: ignore[attr-defined]


SHOWN = [
    "/x?a=1&access_token=88_abc&b=1",
    "https://h/x?corpid=ww1&corpsecret=88_abc",
    "component_access_token=88_abc",
    "https://h/login?next=%2Fx%3Faccess_token%3D88_abc",
    "data=%7B%22secret%22%3A%20%2288_abc%22%7D",
    '{"access_token": "88_abc","expires_in":7200}',
    '"{\\"access_token\\":\\"88_abc\\"}"',
    "{'params': {'access_token': '88_abc'}}",
    "{'secret': b'88_abc'}",
    "[('access_token', '88_abc')]",
    "user_info(access_token='88_abc', openid='o')",
    "WECHAT_SECRET=88_abc",
    "<ComponentVerifyTicket><![CDATA[ticket@@@88_abc]]></ComponentVerifyTicket>",
    "<SuiteTicket>88_abc</SuiteTicket>",
    "permanent_code=88_abc",
    "authorizer_refresh_token=refreshtoken@@@88_abc",
]
NOT_SHOWN = [
    "invalid credential, access_token is invalid or not latest, could get access_token by getStableAccessToken",
    "component ticket is expired",
    'params={"access_token": access_token}, timeout=5',
    "The secret is wrong: check it.",
    "https://h/x?openid=o&lang=zh_CN",
]


class TestPublic:
    @pytest.mark.parametrize("text", SHOWN)
    def test_spellings(self, text: str) -> None:
        """A token behind its name is found in a query, in JSON, in a repr, in XML; and twice is as once."""
        masked = masking.mask(text)

        assert "88_abc" not in masked
        assert "***" in masked
        assert masked == masking.mask(masked)

    @pytest.mark.parametrize("text", NOT_SHOWN)
    def test_other_text(self, text: str) -> None:
        """What only speaks of tokens is left alone."""
        assert text == masking.mask(text)

    def test_data(self) -> None:
        """Dicts, lists, pairs, bytes and objects that print a URL; the rest keeps its identity."""
        plain = {"a": [1, None, ("x", 2.5)], "support_ticket": "T1"}
        data = {
            "headers": [("access_token", "88_abc"), ["secret", b"88_abc"]],
            "vars": {"token": "'88_abc'", "jsapi_ticket": "88_abc", "empty_secret": ""},
            "raw": b"GET /x?access_token=88_abc",
            "url": httpx.URL("http://h/x?access_token=88_abc"),
            "plain": plain,
        }
        masked = masking.mask_data(data)

        assert "88_abc" not in repr(masked)
        assert masked["plain"] is plain
        assert masked["raw"] == b"GET /x?access_token=***"
        assert masked["vars"]["empty_secret"] == ""
        assert "88_abc" in repr(data)

    def test_data_without_end(self) -> None:
        """A structure that holds itself, or one whose text fails, is no trouble."""

        class Silent:
            def __str__(self) -> str:
                raise RuntimeError

        endless: list[object] = [Silent()]
        endless.append(endless)

        assert masking.mask_data(endless)

    def test_log_filter(self) -> None:
        """On a handler it masks each record: text with its arguments, extras, stacks and errors."""
        text = io.StringIO()
        handler = logging.StreamHandler(text)
        handler.setFormatter(logging.Formatter("%(message)s %(url)s %(token)s"))
        handler.addFilter(masking.LogFilter())
        logger = logging.getLogger("masking.example")
        logger.addHandler(handler)
        extra = {"url": "/x?access_token=88_abc", "token": "88_abc"}
        try:
            try:
                raise ValueError("/x?secret=" + extra["token"])
            except ValueError:
                logger.exception("access_token=%s", "88_abc", extra=extra)
        finally:
            logger.removeHandler(handler)

        assert "88_abc" not in text.getvalue()
        assert "access_token=*** /x?access_token=*** ***" in text.getvalue()
        assert "ValueError: /x?secret=***" in text.getvalue()

    def test_log_filter_and_a_message_that_does_not_fit(self) -> None:
        """What is wrong with a record is for its handler to say."""
        record = logging.LogRecord("x", logging.INFO, "x.py", 1, "%d", ("no number",), None)

        assert masking.LogFilter().filter(record)
        assert ("no number",) == record.args


class TestErrorsOfClients:
    """What `with_token` sees go by, of clients that carry the token in plain sight."""

    def test_a_response_in_an_error(self) -> None:
        """The request and the URL of a response are replaced, those of earlier ones, too; the request itself stays."""
        request = requests.Request("GET", "http://h/x", params={"access_token": "88_abc"}).prepare()
        response, earlier = requests.Response(), requests.Response()
        response.url = earlier.url = request.url = str(request.url)
        response.status_code, response.request, response.history = 502, request, [earlier]
        earlier.request = request
        earlier.headers["location"] = "/y?access_token=88_abc"
        with pytest.raises(requests.HTTPError) as caught, _masking.masked_errors():
            response.raise_for_status()

        assert "88_abc" not in shown(caught.value) + repr(vars(earlier.request)) + earlier.headers["location"]
        assert caught.value.response.url == "http://h/x?access_token=***"
        assert "88_abc" in str(request.url)

    def test_httpx(self) -> None:
        """Of httpx as well: its request has a URL object."""
        request = httpx.Request("GET", "http://h/x?access_token=88_abc")
        with pytest.raises(httpx.HTTPStatusError) as caught, _masking.masked_errors():
            httpx.Response(500, request=request).raise_for_status()

        assert "88_abc" not in shown(caught.value)
        assert "http://h/x?access_token=***" == str(caught.value.response.url)
        assert "88_abc" in str(request.url)

    def test_groups_notes_and_what_is_kept_apart(self) -> None:
        """Members of a group, notes, lists and dicts in attributes, an OSError's file and urllib's URL."""
        inner = OSError(2, "No such file", "/tmp/x?secret=88_abc")
        inner.add_note("access_token=88_abc")
        other = urllib.error.HTTPError("http://h/x?access_token=88_abc", 404, "no", {}, None)  # type: ignore[arg-type]
        other.more = {"params": {"access_token": "88_abc"}, "urls": ["/x?secret=88_abc"]}  # type: ignore[attr-defined]
        group = ExceptionGroup("access_token=88_abc", [inner, ExceptionGroup("deep", [other])])
        with other:  # it is a file as well; left open, Python 3.14 warns
            _masking.mask_error(group)

            assert "88_abc" not in shown(inner) + shown(other) + inner.filename + str(other.filename)

    def test_anything_may_lie_in_an_attribute(self) -> None:
        """Something that fails at every question does not hide the error."""

        class Proxy:
            def __getattr__(self, name: str) -> object:
                raise RuntimeError("out of context")

        error = ValueError("access_token=88_abc")
        error.proxy = Proxy()  # type: ignore[attr-defined]
        error.response = flask.request  # type: ignore[attr-defined]
        _masking.mask_error(error)

        assert "access_token=***" == str(error)

    def test_an_error_that_fails_at_every_question(self) -> None:
        """What can be masked in it is, and the errors behind it are reached."""
        error = ContraryError("access_token=88_abc")
        error.__cause__ = ValueError([Contrary()], "access_token=88_abc")
        _masking.mask_error(error)

        assert ("access_token=***", "access_token=***") == (error.args[0], error.__cause__.args[1])
