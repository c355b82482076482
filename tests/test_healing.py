"""The one retry rule and the files it winds back. Through the decorator: test_decorators.py."""

from __future__ import annotations

import gc
import io
import os
import tempfile
import weakref
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
import flask
import pytest
from starlette.datastructures import UploadFile
from support.scripted_provider import OK, REJECTED, ScriptedProvider
from werkzeug.datastructures import FileStorage

from wxmiddleware._outbound.answers import RETRYABLE
from wxmiddleware._outbound.arguments import Arguments
from wxmiddleware._outbound.retry import CallResult, GetNewer, Send, arun_retry, retry_rule, run_retry
from wxmiddleware.exceptions import APIError, ProviderClosed, TokenRefused, TokenUnavailable

FIRST = CallResult(REJECTED, errcode=40001)


def _rule(provider: ScriptedProvider, *, rewind: bool = True, first: CallResult = FIRST) -> Any:
    return retry_rule(provider, "T1", first, codes=RETRYABLE, rewind=lambda: rewind)  # type: ignore[arg-type]


def _end(rule: Any, reply: Any) -> CallResult:
    with pytest.raises(StopIteration) as end:
        rule.send(reply)
    outcome: CallResult = end.value.value
    return outcome


def test_the_rule_names_the_refused_token() -> None:
    """The first thing wanted is a token newer than the rejected one."""
    assert next(_rule(ScriptedProvider())) == GetNewer("T1")


@pytest.mark.parametrize("fresh", [None, "T1"])
def test_without_a_newer_token_the_first_answer_stands(fresh: str | None) -> None:
    """Sending the same token again would be rejected again."""
    rule = _rule(ScriptedProvider())
    next(rule)

    assert _end(rule, fresh) is FIRST


def test_a_newer_token_is_sent_once() -> None:
    """The second outcome is the last, rejected or not."""
    rule = _rule(ScriptedProvider())
    next(rule)
    second = CallResult(REJECTED, errcode=40001)

    assert rule.send("T2") == Send("T2")
    assert _end(rule, second) is second


def test_what_cannot_be_sent_again_is_not() -> None:
    """The refresh has happened by then; WeChat's first answer stands."""
    rule = _rule(ScriptedProvider(), rewind=False)
    next(rule)

    assert _end(rule, "T2") is FIRST


@pytest.mark.parametrize(
    ("expected", "second"),
    [
        (["T2"], CallResult(OK, errcode=0)),
        (["T2"], CallResult(b"a picture")),
        (["T2"], CallResult({"errcode": 45015}, errcode=45015)),
        (["T2"], CallResult(error=APIError("", errcode=45015), errcode=45015)),
        ([], CallResult(REJECTED, errcode=40001)),
        ([], CallResult(error=APIError("", errcode=42001), errcode=42001)),
        ([], CallResult(error=TimeoutError())),
        ([], CallResult(error=TokenRefused("", errcode=40001))),
    ],
)
def test_a_token_is_confirmed_when_wechat_took_it(expected: list[str], second: CallResult) -> None:
    """An answer to the second call confirms the token; a refusal or a lost answer does not."""
    provider = ScriptedProvider()
    rule = _rule(provider)
    next(rule)
    rule.send("T2")
    _end(rule, second)

    assert expected == provider.confirmed


def test_a_provider_closed_meanwhile_costs_no_answer() -> None:
    """Another thread may shut the service down while the second call is under way."""

    class Closed(ScriptedProvider):
        def confirm(self, token: str) -> None:
            raise ProviderClosed

    rule = _rule(Closed())
    next(rule)
    rule.send("T2")
    second = CallResult(OK, errcode=0)

    assert _end(rule, second) is second


def test_tokens_do_not_show() -> None:
    """What the rule asks for may end up in a traceback."""
    assert repr((GetNewer("T1"), Send("T2"))) == "(GetNewer(), Send())"


@pytest.mark.parametrize("error", [TokenUnavailable("cooling"), TokenRefused("", errcode=40243), ProviderClosed()])
def test_the_drivers_take_no_token_for_an_answer(error: Exception) -> None:
    """Both drivers give WeChat's own answer when the refresh fails."""
    given: dict[str, Any] = {"codes": RETRYABLE, "rewind": lambda: True, "timeout": 3}

    def again(token: str) -> Any:
        raise AssertionError(token)

    async def main() -> Any:
        return await arun_retry(ScriptedProvider("T1", error), "T1", FIRST, again, **given)  # type: ignore[arg-type]

    assert run_retry(ScriptedProvider("T1", error), "T1", FIRST, again, **given) is REJECTED  # type: ignore[arg-type]
    assert anyio.run(main) is REJECTED


def test_an_error_that_was_given_is_not_kept() -> None:
    """The caller's exception keeps no frame of ours alive through a cycle."""

    class Loud(APIError):
        pass

    outcome = CallResult(error=Loud("no", errcode=40001))
    gone = weakref.ref(outcome.error)
    gc.disable()
    try:
        with pytest.raises(Loud):
            outcome.give()
        # pytest's own record of the exception is gone by now.
        assert gone() is None
    finally:
        gc.enable()


def _opened() -> io.BytesIO:
    file = io.BytesIO(b"0123456789")
    file.seek(4)
    return file


@pytest.mark.parametrize(
    "wrap",
    [
        lambda file: file,
        lambda file: [file],
        lambda file: {"media": file},
        lambda file: {"media": ("a.jpg", file, "image/jpeg")},
        lambda file: [("media", ("a.jpg", file, "image/jpeg"))],
        lambda file: {"files": {"media": ("a.jpg", file)}},
        io.BufferedReader,
        io.TextIOWrapper,
        FileStorage,
        UploadFile,
    ],
)
def test_a_file_is_wound_back_to_where_it_stood(wrap: Any) -> None:
    """A file is found wherever requests or httpx would look for it, and not put back to its very beginning."""
    file = _opened()
    thing = wrap(file)
    arguments = Arguments(("oABC", 7, thing))
    (thing if hasattr(thing, "read") and not isinstance(thing, UploadFile) else file).read()

    assert arguments.rewind()
    rest = getattr(thing, "file", thing) if hasattr(thing, "read") else file
    assert rest.read() in (b"456789", "456789")


def test_real_files_are_wound_back(tmp_path: Path) -> None:
    """Files of the disk and temporary ones, some of which only pass on what they wrap."""
    (tmp_path / "a.jpg").write_bytes(b"abc")
    with (
        (tmp_path / "a.jpg").open("rb") as plain,
        tempfile.NamedTemporaryFile() as named,
        tempfile.SpooledTemporaryFile() as spooled,
    ):
        for file in (named, spooled):
            file.write(b"abc")
            file.seek(0)
        arguments = Arguments((plain, [named], {"media": spooled}))
        before = [file.read() for file in (plain, named, spooled)]

        assert arguments.rewind()
        assert [file.read() for file in (plain, named, spooled)] == before == [b"abc"] * 3


class _Once:
    """A stream without a way back, such as a multipart encoder."""

    def read(self, size: int = -1) -> bytes:
        return b""


class _AsyncStream:
    async def read(self) -> bytes:
        return b""


async def _pieces() -> Any:
    yield b""


def _closed() -> io.BytesIO:
    file = io.BytesIO()
    file.close()
    return file


@pytest.mark.parametrize(
    "thing", [_Once(), _AsyncStream(), iter([b"a"]), (b"a" for _ in ""), map(bytes, ()), _pieces(), _closed()]
)
def test_what_can_be_read_once_is_not_sent_twice(thing: Any) -> None:
    """A stream or iterator is used up by sending it, whatever other files there are."""
    assert not Arguments((_opened(), thing)).rewind()
    assert not Arguments(({"media": ("a", thing)}, _opened())).rewind()


def test_a_pipe_is_not_sent_twice() -> None:
    """A pipe has seek, and says that it can't."""
    reader, writer = os.pipe()
    with open(reader, "rb") as pipe, open(writer, "wb"):
        assert not Arguments((pipe,)).rewind()


def test_a_file_that_the_first_call_closed_is_not_sent_twice() -> None:
    """Nobody is helped by a ValueError about a closed file."""
    file = _opened()
    arguments = Arguments((file,))
    file.close()

    assert not arguments.rewind()


@pytest.mark.parametrize(
    "thing",
    [
        object(),
        Path("x"),
        {"touser": "o", "data": {"k": {"value": "v"}}},
        [1, 2],
        range(3),
        {1, 2},
        type("T", (), {"read": 1})(),
        {"a": [[["too deep to matter", [_Once()]]]]},
        {"a": [{"b": {"too deep": _Once()}}]},
    ],
)
def test_ordinary_arguments_can_be_sent_again(thing: Any) -> None:
    """What is no stream is no hindrance."""
    assert Arguments((thing,)).rewind()


def test_a_proxy_is_what_it_stands_for() -> None:
    """Flask's request and current_app have every method there is, and are no iterators."""
    app = flask.Flask(__name__)
    with app.test_request_context():
        assert Arguments((flask.request, flask.current_app)).rewind()
    assert not Arguments((flask.request,)).rewind()


class TestGivingUp:
    """A provider is told of each call that could not be healed, once."""

    class Provider(ScriptedProvider):
        def __init__(self, *tokens: str | BaseException) -> None:
            super().__init__(*tokens)
            self.given_up: list[int | None] = []

        def give_up(self, errcode: int | None) -> None:
            self.given_up.append(errcode)

    @pytest.mark.parametrize(
        ("tokens", "second", "rewind", "given_up"),
        [
            (("T1", "T2"), CallResult(OK, errcode=0), True, []),
            (("T1", "T2"), CallResult(REJECTED, errcode=42001), True, [42001]),
            (("T1", "T2"), CallResult(error=TimeoutError()), True, [None]),
            (("T1", "T2"), CallResult(OK, errcode=0), False, [40001]),
            (("T1", TokenUnavailable("No.")), None, True, [40001]),
        ],
        ids=["healed", "rejected again", "no answer", "not sent again", "no token"],
    )
    def test_told(self, tokens: Any, second: CallResult | None, rewind: bool, given_up: list[Any]) -> None:
        provider = self.Provider(*tokens)
        rule = _rule(provider, rewind=rewind)
        next(rule)
        with suppress(StopIteration):
            rule.send(tokens[1])
            rule.send(second)

        assert given_up == provider.given_up
