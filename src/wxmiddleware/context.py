"""
What a request carries, and the functions that find it from anywhere in the request's code.

One context variable holds a plain pair: the `Binding` (made once per middleware) and the request's own mapping.
A pair costs a tenth of what an object with an ``__init__`` does, and every request makes one.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TypeAlias

from wxmiddleware._runtime.threads import in_event_loop
from wxmiddleware.exceptions import NoProvider, TokenUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, MutableMapping
    from types import TracebackType

    from wxmiddleware._engine.provider import TokenProvider

__all__ = [
    "Binding",
    "Serving",
    "acurrent_token",
    "add_fallback",
    "block_or_request",
    "current_provider",
    "current_token",
    "note_refreshed",
    "serving_now",
    "serving_var",
    "use_provider",
]


class Binding:
    """
    Whose token, under which key, and how long a caller waits for it.

    Attributes:
        provider: Gives the token.
        key: Where the token stands in the request's own mapping.
        wait: Seconds a caller waits, or ``None`` for the provider's own limit.
    """

    __slots__ = ("key", "provider", "wait")

    def __init__(self, provider: TokenProvider, key: str = "", wait: float | None = None) -> None:
        self.provider = provider
        self.key = key
        self.wait = wait


Serving: TypeAlias = "tuple[Binding, MutableMapping[str, Any] | None]"

# The middlewares set and reset it themselves: a helper function would be a third of what they cost.
serving_var: ContextVar[Serving | None] = ContextVar("wxmiddleware_serving", default=None)

_fallbacks: list[Callable[[], TokenProvider | None]] = []

_NO_PROVIDER = (
    "Nobody knows whose token to use here. In a web app put TokenMiddleware around it, and check that its paths= or "
    "only= choose this request; with a ProviderPool, that its make(appid) knows the account that the request is for. "
    "In a thread of your own, a job, a shell or a test write: with use_provider(provider): ..."
)
_WOULD_BLOCK = (
    "The token is not at hand, and waiting for it here would block the event loop. Write: await acurrent_token()."
)


class _Block(Binding):
    """
    What a `use_provider` block binds. Where it is still found after its end, it stands for what is served around it.

    Attributes:
        around: What was served when the block began.
        ended: Whether the block has ended.
    """

    __slots__ = ("around", "ended")

    def __init__(self, provider: TokenProvider, around: Serving | None) -> None:
        super().__init__(provider)
        self.around = around
        self.ended = False

    def end(self) -> None:
        self.ended = True
        del self.provider, self.key, self.wait

    def __getattr__(self, name: str) -> Any:
        # Asked only for what is not there, so a block that has not ended pays nothing for this.
        if not self.ended:
            raise AttributeError(name)
        return getattr(_found(_still_serving(self.around))[0], name)


def _still_serving(serving: Serving | None) -> Serving | None:
    """Leave out the blocks that have ended."""
    while serving is not None and isinstance(serving[0], _Block) and serving[0].ended:
        serving = serving[0].around
    return serving


def add_fallback(find: Callable[[], TokenProvider | None]) -> None:
    """Ask `find` for a provider where no request is being served. Adding it again changes nothing."""
    if find not in _fallbacks:
        _fallbacks.append(find)


def serving_now() -> Serving | None:
    """Tell what is being served here, or ``None``."""
    serving = block_or_request()
    return _fallback() if serving is None else serving


def block_or_request() -> Serving | None:
    """Tell what is being served here, if it is a request or a block that has not ended."""
    return _still_serving(serving_var.get())


def _fallback() -> Serving | None:
    for find in _fallbacks:
        provider = find()
        if provider is not None:
            return Binding(provider), None
    return None


def current_provider() -> TokenProvider:
    """
    Get the provider of the request being served, or of the innermost `use_provider` block.

    Raises:
        NoProvider: Neither is there.
    """
    return _here()[0].provider


def current_token() -> str:
    """
    Get the token that is good now, for the request being served or the innermost `use_provider` block.

    It is asked for afresh at each call: a websocket outlives the token that was attached when it was opened.
    Waits no longer than the middleware's ``wait`` seconds; with ``wait=0``, or in `use_provider`, as long as the
    provider's own limit. In an event loop it never waits at all: a token that is good is given also where others wait
    for a look at the store, which may have a newer one.

    Raises:
        NoProvider: No request is being served here.
        TokenRefused: The account or its secret is wrong.
        TokenUnavailable: No token can be had at the moment; or only by waiting, in an event loop.
        ProviderClosed: The provider was closed.
    """
    serving = _here()
    binding = serving[0]
    token = binding.provider.peek()
    if token is None:
        if in_event_loop():
            token = _without_waiting(binding.provider)
        else:
            token = binding.provider.get_token(timeout=binding.wait or None)
    _carry(serving, token)
    return token


async def acurrent_token() -> str:
    """Get what `current_token` gives, awaiting it where it must be waited for."""
    serving = _here()
    binding = serving[0]
    token = binding.provider.peek()
    if token is None:
        token = await binding.provider.aget_token(timeout=binding.wait or None)
    _carry(serving, token)
    return token


def note_refreshed(provider: TokenProvider, token: str) -> None:
    """Make `token` the request's own, if a request is being served here with this provider."""
    serving = block_or_request()
    if serving is not None and serving[0].provider is provider:
        _carry(serving, token)


class use_provider:  # noqa: N801 - reads like contextlib's own: closing, suppress
    """
    Serve a block with `provider`: a job, a Celery task, a shell, a test.

    Works with ``with`` and ``async with``. Blocks nest; the innermost counts. ``as`` gives the provider.

    A block may end in another context than it began in, as it does in generators that are fixtures or dependencies.
    After its end it serves nobody, in either context.
    """

    __slots__ = ("_block", "_provider")

    def __init__(self, provider: TokenProvider) -> None:
        self._provider = provider
        self._block: Serving | None = None

    def __enter__(self) -> TokenProvider:
        if self._block is not None:
            raise RuntimeError("This use_provider(...) is in use. Make a new one for each block.")
        self._block = (_Block(self._provider, _still_serving(serving_var.get())), None)
        serving_var.set(self._block)
        return self._provider

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        serving, self._block = self._block, None
        assert serving is not None  # there is no way out that is not in
        block = serving[0]
        assert isinstance(block, _Block)
        # Not a reset: that is an error in another context, and takes the wrong one where two generators take turns.
        if serving_var.get() is serving:
            serving_var.set(_still_serving(block.around))
        block.end()

    async def __aenter__(self) -> TokenProvider:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, traceback)


def _here() -> Serving:
    return _found(serving_var.get())


def _found(serving: Serving | None) -> Serving:
    serving = serving or _fallback()
    if serving is None:
        raise NoProvider(_NO_PROVIDER)
    return serving


def _without_waiting(provider: TokenProvider) -> str:
    try:
        return provider.get_token(timeout=0.0)
    except TokenUnavailable as error:
        raise TokenUnavailable(_WOULD_BLOCK, retry_after=error.retry_after) from error


def _carry(serving: Serving, token: str) -> None:
    binding, carrier = serving
    if carrier is not None and carrier.get(binding.key) != token:
        carrier[binding.key] = token
