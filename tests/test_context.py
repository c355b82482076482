"""What the code of a request finds through the context. Both middlewares' own sides: test_wsgi.py, test_asgi.py."""

from __future__ import annotations

import contextvars
import gc
import threading
import weakref
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from typing import Any

import anyio
import anyio.to_thread
import pytest
from support.fake_provider import fake_provider

from wxmiddleware import context
from wxmiddleware._outbound.errors import error_in
from wxmiddleware.context import (
    Binding,
    acurrent_token,
    add_fallback,
    current_provider,
    current_token,
    note_refreshed,
    serving_now,
    serving_var,
    use_provider,
)
from wxmiddleware.exceptions import NoProvider, TokenRefused, TokenUnavailable


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def fallbacks(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    alone: list[Any] = []
    monkeypatch.setattr(context, "_fallbacks", alone)
    return alone


def served(provider: Any) -> Iterator[Any]:
    """A fixture or dependency that serves with a provider, or with one that has this token."""
    with use_provider(fake_provider(provider) if isinstance(provider, str) else provider) as given:
        yield given


@contextmanager
def request_of(provider: Any, wait: float = 2.0) -> Iterator[dict[str, Any]]:
    """Serve a request the way a middleware does, and give the mapping it carries."""
    carrier: dict[str, Any] = {}
    mark = serving_var.set((Binding(provider, "key", wait), carrier))
    try:
        yield carrier
    finally:
        serving_var.reset(mark)


class TestNobodyIsServed:
    @pytest.mark.parametrize("ask", [current_provider, current_token])
    def test_says_what_to_do(self, ask: Any) -> None:
        """Outside a request the error names both ways out."""
        with pytest.raises(NoProvider, match=r"TokenMiddleware.*use_provider\(provider\)"):
            ask()

    def test_async(self) -> None:
        """acurrent_token() says the same."""
        with pytest.raises(NoProvider):
            anyio.run(acurrent_token)

    def test_note_refreshed(self) -> None:
        """Noting a new token outside a request does nothing."""
        note_refreshed(fake_provider(), "T9")

        assert serving_now() is None


class TestUseProvider:
    def test_block(self) -> None:
        """The block is served with the provider, which `as` gives."""
        provider = fake_provider()

        with use_provider(provider) as given:
            assert current_provider() is given is provider
            assert current_token() == "T1"

    def test_end(self) -> None:
        """After the block nobody is served, even if it ended with an error."""
        with pytest.raises(ZeroDivisionError), use_provider(fake_provider()):
            1 / 0  # noqa: B018

        assert serving_now() is None

    def test_nested(self) -> None:
        """Of two blocks the inner counts, and the outer again after it."""
        with use_provider(fake_provider("outer")):
            with use_provider(fake_provider("inner")):
                inner = current_token()
            assert (inner, current_token()) == ("inner", "outer")

    def test_again(self) -> None:
        """One object serves two blocks, one after the other."""
        block = use_provider(fake_provider())
        with block:
            pass

        with block:
            assert current_token() == "T1"

    def test_entered_twice(self) -> None:
        """Entering a block that is in use is an error, and leaves the block as it was."""
        block = use_provider(fake_provider())

        with block:
            with pytest.raises(RuntimeError, match="Make a new one"):
                block.__enter__()
            assert current_token() == "T1"
        assert serving_now() is None

    def test_end_in_another_context(self) -> None:
        """A generator that ends in another context than it began in leaves nobody served there, nor where it began."""
        generator = served("T1")
        began, ends = contextvars.Context(), contextvars.Context()

        given = began.run(next, generator)
        during = began.run(current_token)
        rest = ends.run(list, generator)

        assert ("T1", "T1", []) == (given.peek(), during, rest)
        assert [None, None] == [began.run(serving_now), ends.run(serving_now)]
        with pytest.raises(NoProvider):
            began.run(current_token)

    def test_end_in_a_copy_of_the_context(self) -> None:
        """Where a block ends in a copy of its context, what is around it is served again in both."""
        outer = use_provider(fake_provider("outer"))
        with outer:
            generator = served("inner")
            next(generator)
            copied = contextvars.copy_context()
            copied.run(list, generator)

            assert ("outer", "outer") == (copied.run(current_token), current_token())

    def test_blocks_that_take_turns(self) -> None:
        """Of two generators that end in the order in which they began, none takes the other's provider away."""
        first, second = served("first"), served("second")
        next(first)
        next(second)
        list(first)

        between = current_token()
        list(second)

        assert ("second", None) == (between, serving_now())

    def test_ended_blocks_do_not_add_up(self) -> None:
        """A job whose generators all end elsewhere keeps none of their providers."""
        providers = [fake_provider() for _ in range(3)]
        watched = [weakref.ref(provider) for provider in providers]
        while providers:
            generator = served(providers.pop())
            next(generator)
            contextvars.Context().run(list, generator)
        gc.collect()

        assert [None, None, None] == [each() for each in watched]

    def test_note_refreshed_after_the_end(self) -> None:
        """A call that goes on after its block has ended has nothing to note a new token in."""
        provider = fake_provider()
        generator = served(provider)
        next(generator)
        contextvars.Context().run(list, generator)

        note_refreshed(provider, "T2")

        error = error_in({"errcode": 1, "errmsg": "not signed"})
        assert error is not None
        assert (1, None) == (error.errcode, serving_now())

    @pytest.mark.anyio
    async def test_async_generator_that_another_task_closes(self) -> None:
        """`async with` in a generator may end in another task than it began in."""

        async def rows() -> AsyncGenerator[int, None]:
            async with use_provider(fake_provider()):
                yield 1

        generator, found = rows(), []

        async def begin() -> None:
            found.append(await anext(generator))

        async with anyio.create_task_group() as group:
            group.start_soon(begin)
        await generator.aclose()

        assert ([1], None) == (found, serving_now())

    def test_thread(self) -> None:
        """Another thread is not served by this one's block."""
        found: list[Any] = []

        with use_provider(fake_provider()):
            thread = threading.Thread(target=contextvars.Context().run, args=(lambda: found.append(serving_now()),))
            thread.start()
            thread.join()

        assert found == [None]

    @pytest.mark.anyio
    async def test_async(self) -> None:
        """`async with` does the same."""
        async with use_provider(fake_provider()) as provider:
            assert current_provider() is provider
            assert await acurrent_token() == "T1"
        assert serving_now() is None

    @pytest.mark.anyio
    async def test_tasks(self) -> None:
        """Tasks that are under way together keep their own providers."""
        found: dict[str, str] = {}
        both = [anyio.Event(), anyio.Event()]

        async def job(name: str, mine: anyio.Event, other: anyio.Event) -> None:
            async with use_provider(fake_provider(name)):
                mine.set()
                await other.wait()
                found[name] = current_token()

        async with anyio.create_task_group() as group:
            group.start_soon(job, "a", both[0], both[1])
            group.start_soon(job, "b", both[1], both[0])

        assert found == {"a": "a", "b": "b"}


class TestCurrentToken:
    def test_now(self) -> None:
        """It is the provider's token of now, not the one the request began with."""
        provider = fake_provider()

        with request_of(provider):
            current_token()
            provider.at_hand = "T7"

            assert current_token() == "T7"

    def test_request_follows(self) -> None:
        """The request's own token becomes the one that was given out last."""
        with request_of(fake_provider("T7")) as carrier:
            current_token()

            assert carrier == {"key": "T7"}

    @pytest.mark.parametrize(("wait", "asked"), [(2.0, 2.0), (0.5, 0.5), (0.0, None)])
    def test_bound(self, wait: float, asked: float | None) -> None:
        """It waits as long as the middleware does, and with 0 there as the provider's own limit allows."""
        provider = fake_provider(None)

        with request_of(provider, wait) as carrier:
            assert current_token() == "T2"
            assert provider.waits == [asked]
            assert carrier == {"key": "T2"}

    def test_failure(self) -> None:
        """What the provider cannot give is the provider's own error."""
        with (
            request_of(fake_provider(None, error=TokenRefused("no"))),
            pytest.raises(TokenRefused, match=r"^no$"),
        ):
            current_token()

    @pytest.mark.anyio
    async def test_loop_at_hand(self) -> None:
        """In an event loop a token that is at hand is given."""
        with request_of(fake_provider()):
            assert current_token() == "T1"

    @pytest.mark.anyio
    async def test_loop_does_not_wait(self) -> None:
        """In an event loop it never waits: it says how to await instead."""
        provider = fake_provider(None, error=TokenUnavailable("It is on its way.", retry_after=3.0))

        with request_of(provider), pytest.raises(TokenUnavailable, match=r"await acurrent_token\(\)") as caught:
            current_token()
        assert ([0.0], 3.0) == (provider.waits, caught.value.retry_after)

    @pytest.mark.anyio
    async def test_worker_thread(self) -> None:
        """In a worker thread of an event loop it may wait."""
        with request_of(fake_provider(None)) as carrier:
            assert await anyio.to_thread.run_sync(current_token) == "T2"
            assert carrier == {"key": "T2"}

    @pytest.mark.anyio
    @pytest.mark.parametrize(("wait", "asked"), [(2.0, 2.0), (0.0, None)])
    async def test_awaited(self, wait: float, asked: float | None) -> None:
        """acurrent_token() awaits within the same bound."""
        provider = fake_provider(None)

        with request_of(provider, wait) as carrier:
            assert await acurrent_token() == "T2"
            assert provider.waits == [asked]
            assert carrier == {"key": "T2"}


class TestNoteRefreshed:
    def test_request(self) -> None:
        """The request's own token becomes the new one."""
        provider = fake_provider()

        with request_of(provider) as carrier:
            note_refreshed(provider, "T9")

            assert carrier == {"key": "T9"}

    def test_other_provider(self) -> None:
        """The token of another account does not get into the request."""
        with request_of(fake_provider()) as carrier:
            note_refreshed(fake_provider(), "T9")

            assert carrier == {}

    def test_block(self) -> None:
        """In a use_provider block there is nothing to write to."""
        with use_provider(fake_provider()) as provider:
            note_refreshed(provider, "T9")

            assert current_token() == "T1"


class TestFallback:
    def test_asked_in_turn(self, fallbacks: list[Any]) -> None:
        """Outside a request the first fallback that knows a provider gives it."""
        provider = fake_provider()
        add_fallback(lambda: None)
        add_fallback(lambda: provider)

        assert current_provider() is provider
        assert current_token() == "T1"

    def test_request_first(self, fallbacks: list[Any]) -> None:
        """In a request or block no fallback is asked."""
        add_fallback(lambda: fake_provider("fallback"))

        with use_provider(fake_provider()):
            assert current_token() == "T1"

    def test_none_knows(self, fallbacks: list[Any]) -> None:
        """If no fallback knows one, there is none."""
        add_fallback(lambda: None)

        with pytest.raises(NoProvider):
            current_token()

    def test_added_twice(self, fallbacks: list[Any]) -> None:
        """Adding one again changes nothing."""

        def find() -> None:
            """Know nobody."""

        add_fallback(find)
        add_fallback(find)

        assert fallbacks == [find]
