"""`with_token` in both colours. The rule alone: test_healing.py; what a rejected token looks like: test_answers.py."""

from __future__ import annotations

import functools
import inspect
import io
import traceback
import typing
from collections.abc import Callable as Making
from collections.abc import Iterator
from typing import Any

import anyio
import httpx
import pytest
import requests
from fastapi import FastAPI
from fastapi.testclient import TestClient
from support.clients import NO_ROOTS
from support.contrary import Contrary, ContraryError, ContraryMapping, ContraryNumber, ErrorWithErrcode
from support.scripted_provider import FACES, OK, REJECTED, ScriptedProvider

from wxmiddleware import Account
from wxmiddleware._engine.provider import TokenProvider
from wxmiddleware.context import serving_var, use_provider
from wxmiddleware.decorators import with_token
from wxmiddleware.exceptions import (
    APIError,
    ConfigurationError,
    NoProvider,
    ProviderClosed,
    TokenRefused,
    TokenUnavailable,
)
from wxmiddleware.simulator import SimulatorServer, WeChat
from wxmiddleware.sources import ClassicToken


class WeChatClientException(Exception):
    """Like wechatpy's."""

    def __init__(self, errcode: int | str) -> None:
        super().__init__(f"Error code: {errcode}")
        self.errcode = errcode


class ContraryResponse(requests.Response):
    """A response that fails when it is looked into."""

    @property
    def _content(self) -> Any:
        raise ZeroDivisionError

    @_content.setter
    def _content(self, value: Any) -> None: ...


class Api:
    """A decorated call that gives or raises `results` one after the other, and notes the tokens it was sent."""

    def __init__(self, face: Any, provider: Any, *results: Any, **options: Any) -> None:
        self.tokens: list[str] = []
        self.bodies: list[bytes] = []
        self.face = face

        def send(access_token: str, *things: Any, media: Any = None) -> Any:
            self.tokens.append(access_token)
            if media is not None:
                self.bodies.append(media.read() if hasattr(media, "read") else b"".join(media))
            result = results[len(self.tokens) - 1]
            if issubclass(type(result), BaseException):
                raise result
            return result

        self.function = with_token(provider, **options)(face.of(send))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.face.call(self.function, *args, **kwargs)


@pytest.fixture(params=sorted(FACES))
def face(request: pytest.FixtureRequest) -> Any:
    return FACES[request.param]


@pytest.fixture
def provider() -> Any:
    return ScriptedProvider()


# What is done about a rejected token


@pytest.mark.parametrize("answer", [OK, {}, {"errcode": "0"}, None, "text", b"\xff", [1], {"errcode": 45015}])
def test_an_accepted_call_is_made_once(face: Any, provider: Any, answer: Any) -> None:
    """The answer is passed on as it is."""
    api = Api(face, provider, answer)

    assert api("oABC") is answer
    assert api.tokens == ["T1"]
    assert provider.asked == [(None, None)]
    assert provider.confirmed == []


@pytest.mark.parametrize("code", [40001, "40014", 42001])
def test_a_refused_token_is_healed(face: Any, provider: Any, code: Any) -> None:
    """The call is made again with a token that was asked for naming the rejected one."""
    api = Api(face, provider, {"errcode": code}, OK)

    assert api("oABC") is OK
    assert api.tokens == ["T1", "T2"]
    assert provider.rejected == ["T1"]
    assert provider.confirmed == ["T2"]
    assert set(provider.colours) == {face.colour}


@pytest.mark.parametrize(
    "error", [WeChatClientException(40001), WeChatClientException("42001"), APIError("", errcode=40014)]
)
def test_a_refused_token_in_an_exception_is_healed(face: Any, provider: Any, error: Exception) -> None:
    """A client that raises is healed like one that returns."""
    api = Api(face, provider, error, OK)

    assert api("oABC") is OK
    assert api.tokens == ["T1", "T2"]


def test_an_eternal_refusal_ends_after_two_sends(face: Any, provider: Any) -> None:
    """WeChat's second answer is the caller's, and one refresh is all."""
    last = dict(REJECTED)
    api = Api(face, provider, REJECTED, last, OK)

    assert api("oABC") is last
    assert api.tokens == ["T1", "T2"]
    assert provider.rejected == ["T1"]
    assert provider.confirmed == []


@pytest.mark.parametrize("error", [TokenUnavailable("cooling"), TokenRefused("secret", errcode=40001)])
def test_when_the_refresh_fails_wechats_answer_is_the_callers(face: Any, error: Exception) -> None:
    """Not our own error: the caller asked WeChat."""
    api = Api(face, ScriptedProvider("T1", error), REJECTED)

    assert api("oABC") is REJECTED
    assert api.tokens == ["T1"]


def test_when_the_refresh_fails_the_first_exception_is_the_callers(face: Any) -> None:
    """The very same exception; why its token could not be replaced is its cause, and nothing else is chained to it."""
    error, why = WeChatClientException(40001), TokenUnavailable("cooling")
    api = Api(face, ScriptedProvider("T1", why), error)

    with pytest.raises(WeChatClientException) as raised:
        api("oABC")
    assert raised.value is error
    assert error.__context__ is None
    assert error.__cause__ is why


def test_the_same_token_again_is_not_sent(face: Any, provider: Any) -> None:
    """Where the provider knows no newer token, WeChat's answer stands."""
    provider.tokens = ["T1", "T1"]
    api = Api(face, provider, REJECTED, OK)

    assert api("oABC") is REJECTED
    assert api.tokens == ["T1"]


def test_an_exception_of_the_second_call_stands_alone(face: Any, provider: Any) -> None:
    """It is not shown as something that happened while the first was handled, and names no token."""
    provider.tokens = ["SECRET-1", "SECRET-2"]
    error = ConnectionError("reset")
    api = Api(face, provider, WeChatClientException(40001), error)

    with pytest.raises(ConnectionError) as raised:
        api("oABC")
    assert raised.value is error
    assert error.__context__ is None
    assert "SECRET" not in "".join(traceback.format_exception(error))
    assert provider.confirmed == []


@pytest.mark.parametrize(
    "error", [ValueError("40001"), WeChatClientException(45015), TokenRefused("wrong secret", errcode=40001)]
)
def test_other_exceptions_are_not_touched(face: Any, provider: Any, error: Exception) -> None:
    """Least of all one of the token endpoint, where 40001 means a wrong secret."""
    api = Api(face, provider, error)

    with pytest.raises(type(error)) as raised:
        api("oABC")
    assert raised.value is error
    assert provider.rejected == []


@pytest.mark.parametrize(
    "make",
    [
        lambda: ContraryError("the disk is full"),
        lambda: ErrorWithErrcode(Contrary()),
        lambda: ErrorWithErrcode(ContraryNumber(45015)),
        lambda: ErrorWithErrcode(ContraryMapping()),
    ],
)
@pytest.mark.parametrize("before", [[], [REJECTED]])
def test_an_error_that_fails_at_every_question(
    face: Any, provider: Any, make: Making[[], Exception], before: list[Any]
) -> None:
    """What the function raised is the caller's, of the first call as of the second; nothing that we met in it."""
    error = make()
    api = Api(face, provider, *before, error)

    with pytest.raises(type(error)) as raised:
        api("oABC")
    assert raised.value is error
    assert len(before) + 1 == len(api.tokens)


@pytest.mark.parametrize(
    "make",
    [
        Contrary,
        ContraryMapping,
        lambda: {"errcode": Contrary()},
        lambda: {"errcode": ContraryNumber(0)},
        lambda: {"errcode": 0, "base_resp": Contrary()},
        lambda: {"base_resp": {"errcode": Contrary()}},
        ContraryResponse,
    ],
)
@pytest.mark.parametrize("before", [[], [REJECTED]])
def test_an_answer_that_fails_at_every_question(
    face: Any, provider: Any, make: Making[[], Any], before: list[Any]
) -> None:
    """What the function returned is the caller's, of the first call as of the second."""
    answer = make()
    api = Api(face, provider, *before, answer)

    assert (answer is api("oABC")) is True
    assert len(before) + 1 == len(api.tokens)


def test_an_argument_that_fails_at_every_question(face: Any, provider: Any) -> None:
    """It is passed on; that it may be sent twice nobody knows, so WeChat's first answer is the caller's."""
    api = Api(face, provider, REJECTED, OK)

    assert api("oABC", Contrary()) is REJECTED


def test_a_refused_token_in_an_error_that_takes_no_note(face: Any) -> None:
    """That the token could not be renewed is said where it can be, and hides nothing."""

    class Silent(ErrorWithErrcode):
        def add_note(self, note: str) -> None:
            raise ZeroDivisionError

    error = Silent(40001)
    api = Api(face, ScriptedProvider("T1", TokenUnavailable("busy")), error)

    with pytest.raises(Silent) as raised:
        api("oABC")
    assert raised.value is error


def test_a_refused_answer_that_cannot_be_closed(face: Any, provider: Any) -> None:
    """A response that nobody is going to see, and that fails to be closed, does not end the retry."""

    class Stuck(httpx.Response):
        def close(self) -> None:
            raise ZeroDivisionError

        async def aclose(self) -> None:
            raise ZeroDivisionError

    first = Stuck(200, stream=Stream())
    api = Api(face, provider, first, OK)

    assert api("oABC") is OK


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit()])
def test_what_ends_the_program_is_not_touched(provider: Any, error: BaseException) -> None:
    """Even if it carries an errcode."""
    error.errcode = 40001  # type: ignore[attr-defined]
    api = Api(FACES["thread"], provider, error)

    with pytest.raises(type(error)):
        api("oABC")
    assert provider.rejected == []


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("sends", [0, 1, 2])
def test_a_cancelled_call_ends_where_it_is(backend: str, sends: int) -> None:
    """During the wait for a token, the first call and the second alike."""
    provider: Any = ScriptedProvider()
    sent = []

    async def send(access_token: str) -> Any:
        sent.append(access_token)
        if len(sent) == sends:
            await anyio.sleep_forever()
        return REJECTED

    async def main() -> bool:
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as group:
                if sends == 0:
                    scope.cancel()
                group.start_soon(with_token(provider)(send))
                await anyio.wait_all_tasks_blocked()
                scope.cancel()
        return scope.cancelled_caught

    assert anyio.run(main, backend=backend)
    assert len(sent) == sends
    assert provider.confirmed == []


def test_without_any_token_nothing_is_sent(face: Any) -> None:
    """The first token's error is the caller's."""
    api = Api(face, ScriptedProvider(TokenRefused("frozen", errcode=40243)), OK)

    with pytest.raises(TokenRefused, match="frozen"):
        api("oABC")
    assert api.tokens == []


def test_the_codes_can_be_chosen(face: Any, provider: Any) -> None:
    """WeCom's 40001 is a wrong secret, so a WeCom user leaves it out."""
    api = Api(face, provider, REJECTED, codes={40014, 42001, 41001})
    other = Api(face, provider, {"errcode": 41001}, OK, codes=[41001])

    assert api("oABC") is REJECTED
    assert other("oABC") is OK


def test_the_timeout_is_the_providers_to_keep(face: Any, provider: Any) -> None:
    """It holds for the first token and for the newer one."""
    Api(face, provider, REJECTED, OK, timeout=3)("oABC")

    assert provider.asked == [(None, 3.0), ("T1", 3.0)]


@pytest.mark.parametrize("library", [requests, httpx])
def test_a_response_is_healed(face: Any, provider: Any, library: Any) -> None:
    """A function may return the client's own response."""
    rejected: Any
    good: Any
    if library is requests:
        rejected, good = requests.Response(), requests.Response()
        rejected._content, good._content = b'{"errcode":42001}', b"\xff\xd8"
    else:
        rejected, good = httpx.Response(200, json={"errcode": 42001}), httpx.Response(200, content=b"\xff\xd8")
    api = Api(face, provider, rejected, good)

    assert api("oABC") is good
    assert api.tokens == ["T1", "T2"]


class Stream(httpx.SyncByteStream, httpx.AsyncByteStream):
    """An answer that is still on its way."""

    def __iter__(self) -> Iterator[bytes]:
        yield b'{"errcode":40001}'

    async def __aiter__(self) -> Any:
        yield b'{"errcode":40001}'


def test_a_response_that_nobody_will_see_is_closed(face: Any, provider: Any) -> None:
    """Its connection is free before the second call asks for one; the caller's own is left open."""
    first, second = httpx.Response(200, stream=Stream()), httpx.Response(200, stream=Stream())
    api = Api(face, provider, first, second)

    assert api("oABC") is second
    assert first.is_closed
    assert not second.is_closed


# Files


def test_a_file_is_sent_whole_the_second_time(face: Any, provider: Any) -> None:
    """It is wound back to where it stood before the first call."""
    file = io.BytesIO(b"0123456789")
    file.seek(2)
    api = Api(face, provider, REJECTED, OK)

    assert api(media=file) is OK
    assert api.bodies == [b"23456789"] * 2


@pytest.mark.parametrize("things", [("positional",), ({"media": ("a.jpg", "here")},)])
def test_a_file_among_the_arguments_is_found(face: Any, provider: Any, things: Any) -> None:
    """Also by position, and in what requests takes as files=."""
    file = io.BytesIO(b"0123456789")
    things = (file,) if things == ("positional",) else ({"media": ("a.jpg", file)},)
    read = []

    def send(access_token: str, thing: Any) -> Any:
        read.append((thing["media"][1] if isinstance(thing, dict) else thing).read())
        return REJECTED

    face.call(with_token(provider)(face.of(send)), *things)

    assert read == [b"0123456789"] * 2


def test_a_file_bound_by_partial_is_found(face: Any, provider: Any) -> None:
    """An argument is an argument, whenever it was given."""
    file = io.BytesIO(b"0123456789")
    read = []

    def send(access_token: str, media: Any) -> Any:
        read.append(media.read())
        return REJECTED

    face.call(with_token(provider)(functools.partial(face.of(send), media=file)))

    assert read == [b"0123456789"] * 2


def test_a_used_up_stream_is_not_sent_again(face: Any, provider: Any) -> None:
    """The refresh happens; WeChat's first answer is the caller's."""
    api = Api(face, provider, REJECTED, OK)

    assert api(media=iter([b"abc"])) is REJECTED
    assert api.bodies == [b"abc"]
    assert provider.rejected == ["T1"]
    assert provider.confirmed == []


def test_a_client_with_read_is_no_hindrance_as_self(face: Any, provider: Any) -> None:
    """The object that a method belongs to is not an argument that is sent."""

    class Client:
        def read(self) -> None: ...

        send = with_token(provider)(face.of(lambda self, access_token: OK if access_token == "T2" else REJECTED))

    assert face.call(Client().send) is OK


# Where the parameter stands


def at_front(access_token: str, a: int, b: int = 2) -> Any:
    return access_token, a, b


def in_the_middle(a: int, access_token: str, b: int = 2) -> Any:
    return access_token, a, b


def at_the_end(a: int, b: int = 2, access_token: str = "none") -> Any:
    return access_token, a, b


def by_keyword(a: int, b: int = 2, *, access_token: str) -> Any:
    return access_token, a, b


def positional_only(a: int, access_token: str, /, b: int = 2) -> Any:
    return access_token, a, b


def after_default(a: int = 1, access_token: str = "", /, b: int = 2) -> Any:
    return access_token, a, b


PLACES = [at_front, in_the_middle, at_the_end, by_keyword, positional_only, after_default]


@pytest.mark.parametrize("function", PLACES)
def test_the_token_is_put_where_it_is_wanted(face: Any, provider: Any, function: Any) -> None:
    """The other arguments keep their places, as if there were no token."""
    call = functools.partial(face.call, with_token(provider)(face.of(function)))

    assert call(1) == ("T1", 1, 2)
    assert call(1, 3) == ("T1", 1, 3)
    assert call(1, b=3) == ("T1", 1, 3)
    if function is not positional_only and function is not after_default:
        assert call(a=1) == call(b=2, a=1) == ("T1", 1, 2)
    if function is after_default:
        assert call() == call(b=2) == ("T1", 1, 2)


@pytest.mark.parametrize("function", PLACES)
def test_a_token_given_by_the_caller_is_respected(face: Any, provider: Any, function: Any) -> None:
    """It is passed on as it is, and our own provider is not asked."""
    call = functools.partial(face.call, with_token(provider)(face.of(function)))

    assert call(1, access_token="MINE") == ("MINE", 1, 2)
    assert call(1, 3, access_token="MINE") == ("MINE", 1, 3)
    assert provider.asked == []
    assert call(1, access_token=None) == ("T1", 1, 2)


def test_a_token_given_by_the_caller_is_not_healed(face: Any, provider: Any) -> None:
    """We did not issue it, so there is nothing to refresh."""
    api = Api(face, provider, REJECTED, OK)

    assert api("oABC", access_token="MINE") is REJECTED
    assert api.tokens == ["MINE"]
    assert provider.asked == []


@pytest.mark.parametrize("function", PLACES)
def test_the_parameter_leaves_the_signature(provider: Any, function: Any) -> None:
    """What is left is as it was, for people and for frameworks that look."""
    wrapped = with_token(provider)(function)

    assert list(inspect.signature(wrapped).parameters) == ["a", "b"]
    assert inspect.signature(wrapped).parameters["b"].default == 2
    assert typing.get_type_hints(wrapped) == {"a": int, "b": int, "return": Any}
    assert (wrapped.__name__, wrapped.__module__) == (function.__name__, __name__)
    assert "access_token" in inspect.signature(wrapped.__wrapped__).parameters


def test_too_few_arguments_are_reported_in_pythons_words(face: Any, provider: Any) -> None:
    """Also where the token stands behind a missing positional-only argument."""
    for function in (at_front, positional_only):
        with pytest.raises(TypeError, match=r"missing .*'a'"):
            face.call(with_token(provider)(face.of(function)))


def test_the_parameter_can_have_another_name(face: Any, provider: Any) -> None:
    """And access_token is then a name like any other."""

    def send(access_token: str, token: str) -> Any:
        return access_token, token

    wrapped = with_token(provider, parameter="token")(face.of(send))

    assert face.call(wrapped, "mine") == face.call(wrapped, access_token="mine") == ("mine", "T1")


# What can be decorated


def test_methods_of_every_kind(face: Any, provider: Any) -> None:
    """Plain, class and static methods, with the decorator on either side."""

    def method(self: Any, access_token: str, a: int) -> Any:
        return self, access_token, a

    def static(access_token: str, a: int) -> Any:
        return access_token, a

    class Client:
        send = with_token(provider)(face.of(method))
        inner_class: Any = classmethod(with_token(provider)(face.of(method)))
        outer_class = with_token(provider)(classmethod(face.of(method)))
        inner_static = staticmethod(with_token(provider)(face.of(static)))
        outer_static = with_token(provider)(staticmethod(face.of(static)))

    client = Client()

    assert face.call(client.send, 1) == face.call(Client.send, client, a=1) == (client, "T1", 1)
    assert face.call(client.inner_class, 1) == face.call(Client.outer_class, a=1) == (Client, "T1", 1)
    assert face.call(client.inner_static, 1) == face.call(Client.outer_static, a=1) == ("T1", 1)
    assert list(inspect.signature(client.send).parameters) == ["a"]


def test_self_by_keyword(face: Any, provider: Any) -> None:
    """A method may be called from its class with ``self=``, as any function may."""

    class Client:
        def send(self, access_token: str, a: int) -> Any:
            return self, access_token, a

    client = Client()

    assert face.call(with_token(provider)(face.of(Client.send)), self=client, a=1) == (client, "T1", 1)


def test_a_bound_method(face: Any, provider: Any) -> None:
    """Somebody else's client can be decorated from outside."""

    class Client:
        def send(self, a: int, access_token: str) -> Any:
            return REJECTED if access_token == "T1" else (access_token, a)

    assert face.call(with_token(provider)(face.of(Client().send)), 1) == ("T2", 1)


def test_a_partial(face: Any, provider: Any) -> None:
    """Arguments bound before stay bound, and the name is that of the function."""
    wrapped = with_token(provider)(functools.partial(face.of(in_the_middle), 1, b=3))

    assert face.call(wrapped) == face.call(wrapped, b=3) == ("T1", 1, 3)
    assert wrapped.__name__ == "in_the_middle"


class Callable:
    """Calls WeChat when called."""

    def __init__(self) -> None:
        self.secret = "kept"

    def __call__(self, access_token: str, a: int) -> Any:
        return access_token, a


class AsyncCallable:
    async def __call__(self, access_token: str, a: int) -> Any:
        return access_token, a


def test_an_object_with_call(provider: Any) -> None:
    """It is called like a function, sync or async, and keeps its attributes to itself."""
    plain, awaited = with_token(provider)(Callable()), with_token(provider)(AsyncCallable())

    assert plain(1) == anyio.run(awaited, 1) == ("T1", 1)
    assert (plain.__name__, plain.__doc__) == ("Callable", "Calls WeChat when called.")
    assert not hasattr(plain, "secret")
    assert inspect.iscoroutinefunction(awaited)
    assert inspect.iscoroutinefunction(with_token(provider)(functools.partial(AsyncCallable())))
    assert not inspect.iscoroutinefunction(plain)


def test_an_async_function_stays_one(provider: Any) -> None:
    """Frameworks ask before they call."""

    async def send(access_token: str) -> None: ...

    assert inspect.iscoroutinefunction(with_token(provider)(send))
    assert inspect.iscoroutinefunction(with_token(provider)(functools.partial(send)))


@pytest.mark.parametrize("results", [(OK,), (REJECTED, OK), (WeChatClientException(42001), OK)])
def test_a_plain_function_that_returns_an_awaitable(provider: Any, results: Any) -> None:
    """It is healed when it is awaited."""
    api = Api(FACES["asyncio"], provider, *results)
    inner = inspect.unwrap(api.function)

    def send(access_token: str) -> Any:
        async def later() -> Any:
            return inner(access_token)

        return later()

    async def main() -> Any:
        return await with_token(provider)(send)()

    assert anyio.run(main) is OK
    assert len(results) == len(api.tokens)


def test_a_plain_function_whose_awaitable_fails(provider: Any) -> None:
    """An exception that is no refusal passes through."""

    async def later() -> Any:
        raise ValueError

    def send(access_token: str) -> Any:
        return later()

    with pytest.raises(ValueError):
        FACES["asyncio"].call(with_token(provider)(send))


def test_fastapi_does_not_see_the_parameter(provider: Any) -> None:
    """An endpoint may be decorated; the token is not taken for a query parameter."""
    app = FastAPI()

    async def endpoint(access_token: str, openid: str) -> dict[str, str]:
        return {"token": access_token, "openid": openid}

    app.get("/")(with_token(provider)(endpoint))

    with TestClient(app) as client:
        assert client.get("/", params={"openid": "o"}).json() == {"token": "T1", "openid": "o"}
        assert "access_token" not in client.get("/openapi.json").text


def _generator(access_token: str) -> Iterator[int]:
    yield 1


async def _async_generator(access_token: str) -> Any:
    yield 1


def _maker() -> Any:
    return ScriptedProvider()


class _GeneratorObject:
    def __call__(self, access_token: str) -> Iterator[int]:
        yield 1


@pytest.mark.parametrize(
    ("reason", "function"),
    [
        ("no parameter named access_token", lambda openid: None),
        ("no parameter named access_token", lambda *access_token: None),
        ("no parameter named access_token", lambda **access_token: None),
        (r"with_token\(provider=", _maker),
        ("no parameter named access_token", functools.partial(at_front, "mine")),
        ("has access_token= bound already", functools.partial(at_front, access_token="mine")),
        ("a generator can't be run again", _generator),
        ("a generator can't be run again", _async_generator),
        ("a generator can't be run again", functools.partial(_generator)),
        ("a generator can't be run again", _GeneratorObject()),
        ("Decorate its methods", Callable),
        ("needs a function or a TokenProvider, not a NoneType", None),
        ("needs a function or a TokenProvider, not a str", "wx8a1b"),
        ("cannot read the signature", type("X", (), {"__call__": min, "__signature__": 1})()),
    ],
)
def test_what_cannot_be_decorated(reason: str, function: Any) -> None:
    """The error comes at decoration and says what to do."""
    with pytest.raises(TypeError, match=reason):
        with_token(function)
    if function is not None:
        with pytest.raises(TypeError, match=reason):
            with_token()(function)


# At a simulated WeChat, with the real provider


@pytest.fixture
def real(wechat_account: Account) -> Iterator[TokenProvider]:
    with TokenProvider(wechat_account, source=ClassicToken()) as provider:
        yield provider


class Service:
    """Outbound helpers as one writes them, in both colours."""

    def __init__(self, provider: TokenProvider, url: str) -> None:
        @with_token(provider)
        def upload(access_token: str, name: str, media: Any) -> Any:
            files = {"media": (name, media, "image/jpeg")}
            query = {"access_token": access_token, "type": "image"}
            return requests.post(f"{url}/cgi-bin/media/upload", params=query, files=files, timeout=10)

        @with_token(provider)
        def code(access_token: str, scene: str) -> Any:
            query = {"access_token": access_token}
            return requests.post(
                f"{url}/wxa/getwxacodeunlimit", params=query, json={"scene": scene}, stream=True, timeout=10
            )

        @with_token(provider)
        async def acode(access_token: str, client: httpx.AsyncClient, scene: str) -> Any:
            query = {"access_token": access_token}
            request = client.build_request("POST", f"{url}/wxa/getwxacodeunlimit", params=query, json={"scene": scene})
            return await client.send(request, stream=True)

        self.upload, self.code, self.acode = upload, code, acode


def test_an_upload_is_healed(wechat: WeChat, wechat_server: SimulatorServer, real: TokenProvider) -> None:
    """The file that WeChat keeps is the whole file."""
    service = Service(real, wechat_server.url)
    real.get_token()
    wechat.revoke()
    answer = service.upload("a.jpg", io.BytesIO(b"\xff\xd8 a picture"))

    assert "media_id" in answer.json()
    assert [b"\xff\xd8 a picture"] == [upload.data for upload in wechat.uploads]
    assert wechat.fetches() == 2


@pytest.mark.parametrize("colour", ["thread", "task"])
def test_a_download_is_healed(wechat: WeChat, wechat_server: SimulatorServer, real: TokenProvider, colour: str) -> None:
    """An error where a picture should be is seen, and the picture still streams."""
    service = Service(real, wechat_server.url)
    real.get_token()
    wechat.revoke()

    def blocking() -> bytes:
        with service.code("a=1") as response:
            return bytes(response.raw.read())

    async def awaiting() -> bytes:
        async with httpx.AsyncClient(verify=NO_ROOTS) as client:
            answer = await service.acode(client, scene="a=1")
            return b"".join([piece async for piece in answer.aiter_bytes()])

    picture = blocking() if colour == "thread" else anyio.run(awaiting)

    assert picture.startswith(b"\xff\xd8")
    assert picture.endswith(b"\xff\xd9")
    assert wechat.rejections() == 1


def test_a_refusal_for_ever(wechat: WeChat, wechat_server: SimulatorServer, real: TokenProvider) -> None:
    """Two sends and one fetch; WeChat's own answer is the caller's."""
    wechat.faults.add("/wxa/getwxacodeunlimit", "errcode", None, errcode=40001)
    service = Service(real, wechat_server.url)
    real.get_token()
    answer = service.code("a=1")

    assert answer.json()["errcode"] == 40001
    assert wechat.calls("/wxa/getwxacodeunlimit") == 2
    assert wechat.fetches() <= 2


# Whose token


def test_the_request_being_served_has_the_provider(face: Any, provider: Any) -> None:
    """Bare, it is looked up at the call, and the request's own token is then the new one."""
    send = with_token(face.of(lambda access_token: OK if access_token == "T2" else REJECTED))

    with pytest.raises(NoProvider):
        face.call(send)
    with use_provider(provider):
        assert face.call(send) is OK
    assert provider.confirmed == ["T2"]


@pytest.mark.parametrize("mine", [True, False])
def test_the_requests_own_token_is_the_new_one(face: Any, provider: Any, mine: bool) -> None:
    """After a heal; unless the request belongs to another account."""
    other: Any = ScriptedProvider("A1")
    environ: dict[str, Any] = {"wxmiddleware.token": "old"}
    with use_provider(provider if mine else other):
        serving = serving_var.get()
        assert serving is not None
        binding = serving[0]
        binding.key = "wxmiddleware.token"
        mark = serving_var.set((binding, environ))
        try:
            Api(face, provider, REJECTED, OK)("oABC")
        finally:
            serving_var.reset(mark)

    assert environ == {"wxmiddleware.token": "T2" if mine else "old"}


def test_the_provider_may_be_made_later(face: Any, provider: Any) -> None:
    """A function that returns it is asked at each call, and goes by name."""
    made: list[Any] = []
    send = with_token(provider=lambda: made[-1])(face.of(at_front))
    made.append(provider)
    first = face.call(send, 1)
    made.append(ScriptedProvider("B1"))

    assert first == ("T1", 1, 2)
    assert face.call(send, 1) == ("B1", 1, 2)


def test_a_provider_by_name(face: Any, provider: Any) -> None:
    """provider= takes the provider itself too, and options stand alone."""
    assert face.call(with_token(provider=provider)(face.of(at_front)), 1) == ("T1", 1, 2)
    with use_provider(provider):
        assert face.call(with_token(codes={40001})(face.of(at_front)), 1) == ("T1", 1, 2)


async def _make_provider() -> Any: ...


@pytest.mark.parametrize(
    "options",
    [
        {"codes": 40001},
        {"codes": "40001"},
        {"codes": {"40001"}},
        {"codes": {True}},
        {"parameter": ""},
        {"parameter": 1},
        {"timeout": 0},
        {"timeout": -1},
        {"timeout": float("nan")},
        {"timeout": "3"},
        {"timeout": True},
        {"provider": None},
        {"provider": "wx8a1b"},
        {"provider": TokenProvider},
        {"provider": _make_provider},
    ],
)
def test_a_wrong_option_is_an_error_at_decoration(options: Any) -> None:
    """Not at the first request."""
    with pytest.raises(ConfigurationError):
        with_token(**options)


def test_a_provider_that_was_closed(provider: Any) -> None:
    """A clear error at decoration."""
    provider.closed = True

    with pytest.raises(ProviderClosed):
        with_token(provider)


def test_two_providers(provider: Any) -> None:
    """One is enough."""
    with pytest.raises(TypeError, match="two providers"):
        with_token(provider, provider=provider)  # type: ignore[call-overload]
