"""
`with_token`: give a function that calls WeChat its access token, and heal the call if WeChat rejects that token.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field
from types import CoroutineType
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Protocol, TypeAlias, TypeVar, overload

from ._outbound.answers import aerrcode_of, asks_to_be_awaited, errcode_of, errcode_of_error
from ._outbound.arguments import PLAIN, Arguments
from ._outbound.retry import CallResult, arun_retry, codes_of, run_retry
from ._runtime.checks import checked_codes, checked_timeout, is_async, is_provider
from ._runtime.masking import mask_error, masked_errors
from .context import current_provider, serving_var
from .exceptions import ConfigurationError, ProviderClosed

if TYPE_CHECKING:
    from ._engine.provider import TokenProvider

__all__ = ["with_token"]

P = ParamSpec("P")
T = TypeVar("T")
S = TypeVar("S")
R_co = TypeVar("R_co", covariant=True)
S_contra = TypeVar("S_contra", contravariant=True)

# Told from None, which is what a provider that was to be made later often still is.
_NOT_GIVEN: Any = object()


# Three shapes that a type checker can take the token out of. They are told apart by their parameters' names.
class _TokenFirst(Protocol[P, R_co]):
    def __call__(self, access_token: str, *args: P.args, **kwargs: P.kwargs) -> R_co: ...


class _Method(Protocol[S_contra, P, R_co]):
    def __call__(this, self: S_contra, access_token: str, *args: P.args, **kwargs: P.kwargs) -> R_co: ...  # noqa: N805


class _ClassMethod(Protocol[S_contra, P, R_co]):
    def __call__(this, cls: S_contra, access_token: str, *args: P.args, **kwargs: P.kwargs) -> R_co: ...  # noqa: N805


class _WithToken(Protocol):
    """The decorator that `with_token` returns when it is given a provider or options."""

    @overload
    def __call__(self, function: _TokenFirst[P, T], /) -> Callable[P, T]: ...
    @overload
    def __call__(self, function: _Method[S, P, T], /) -> Callable[Concatenate[S, P], T]: ...
    @overload
    def __call__(self, function: _ClassMethod[S, P, T], /) -> Callable[Concatenate[S, P], T]: ...


class _WithTokenAnywhere(Protocol):
    """The same where the parameter is named. As one more overload above it would make mypy see Any everywhere."""

    def __call__(self, function: Callable[..., T], /) -> Callable[..., T]: ...


@overload
def with_token(function: _TokenFirst[P, T], /) -> Callable[P, T]: ...
@overload
def with_token(function: _Method[S, P, T], /) -> Callable[Concatenate[S, P], T]: ...
@overload
def with_token(function: _ClassMethod[S, P, T], /) -> Callable[Concatenate[S, P], T]: ...
@overload
def with_token(
    provider: TokenProvider, /, *, codes: Collection[int] | None = ..., timeout: float | None = ...
) -> _WithToken: ...
@overload
def with_token(
    *,
    provider: TokenProvider | Callable[[], TokenProvider] = ...,
    codes: Collection[int] | None = ...,
    timeout: float | None = ...,
) -> _WithToken: ...
@overload
def with_token(
    provider: TokenProvider, /, *, parameter: str, codes: Collection[int] | None = ..., timeout: float | None = ...
) -> _WithTokenAnywhere: ...
@overload
def with_token(
    *,
    parameter: str,
    provider: TokenProvider | Callable[[], TokenProvider] = ...,
    codes: Collection[int] | None = ...,
    timeout: float | None = ...,
) -> _WithTokenAnywhere: ...
def with_token(
    subject: Any = _NOT_GIVEN,
    /,
    *,
    provider: TokenProvider | Callable[[], TokenProvider] = _NOT_GIVEN,
    codes: Collection[int] | None = None,
    parameter: str = "access_token",
    timeout: float | None = None,
) -> Any:
    """
    Fill in the parameter ``access_token``, and call once more with a new token if WeChat rejects this one.

    ::

        @with_token                                 # the provider of the request being served
        def send_text(access_token: str, openid: str, text: str) -> dict: ...

        @with_token(provider)                       # this provider
        async def user_info(access_token: str, openid: str) -> dict: ...

        @with_token(provider=lambda: app.provider)  # made later: asked for at each call
        def menu(access_token: str) -> dict: ...

        send_text("oABC", "hello")

    It is for the function that makes one call to WeChat, not for a view: the whole function runs twice when a token
    is rejected. It may be a plain or an async function, a method, a class or static method (on either side of those
    decorators), a `functools.partial`, or an object with ``__call__``.

    The parameter may stand anywhere, also keyword-only or positional-only, and leaves the visible signature. A caller
    may still pass ``access_token="..."`` by keyword (``None`` counts as not given): the function is then called once
    with that value, which is not ours to refresh.

    *What counts as rejected:* an errcode among `codes`, as a number or a numeric string, at the top or in
    ``base_resp``, in a returned mapping, ``bytes``, ``str``, or response of requests, httpx, httpx2, werkzeug (Flask)
    or starlette; or as attribute ``errcode`` of a raised exception. A response that streams is looked at only as far
    as an error answer can reach (64 KiB, and only if it begins like a JSON object), and keeps every byte. Not looked
    at: responses of other clients, objects made from an answer, tuples, streams that could be read only by
    blocking the event loop, and a `TokenError`, which comes from the token endpoint.

    *What happens then:* a newer token is asked for, naming the rejected one, and the function is called exactly once
    more; the caller gets what that gives, whatever it is. WeChat's first answer stands if no newer token can be had,
    or if an argument cannot be sent again. Files among the arguments, also in lists, tuples and dicts as in
    ``files={"media": (name, file, type)}``, are wound back; any other stream (something with ``read`` that cannot
    seek) and any iterator cannot. ``self`` is no argument in this sense.

    A plain function that returns an awaitable (instead of being ``async def``) is healed when that is awaited, but
    its first token is waited for without ``await``: write ``async def`` where an event loop runs.

    *Type checkers* take the token out of the signature if it is called ``access_token`` and comes first, or right
    after ``self`` or ``cls``. If it stands elsewhere, or in a partial, say ``with_token(parameter="access_token")``:
    they then see ``(...)`` and the right return type. Passing the token explicitly needs a
    ``type: ignore[call-arg]``: no signature can say that it may be given and need not be.

    Args:
        subject: The function; or the provider that gives the tokens.
        provider: The provider, or a function without arguments that returns it, asked at each call. Such a function
            must be given by this name: by position it would be taken for the function to decorate.
        codes: The errcodes that mean a rejected token. By default those of the provider's kind of account: 40001, 40014
            and 42001; of WeCom, where 40001 is a wrong secret, the other two.
        parameter: The name of the parameter to fill in.
        timeout: Seconds to wait for a token; ``None`` for the provider's own limit.

    Raises:
        TypeError: At decoration: this can't be decorated. Has no such parameter, is a generator function or a class.
        ConfigurationError: At decoration: an option is wrong.
        ProviderClosed: At decoration: the provider was closed.
        TokenError: At the call: there is no token at all. `TokenRefused` or `TokenUnavailable`.
        NoProvider: At the call: no provider was given, and no request is being served.
    """
    if is_provider(subject):
        if provider is not _NOT_GIVEN:
            raise TypeError("with_token() got two providers. Give one, by position or by name.")
        subject, provider = _NOT_GIVEN, subject
    decorate = _Decorator(
        fixed=_given(provider),
        find=_finder(provider),
        codes=checked_codes(codes),
        parameter=_checked_name(parameter),
        timeout=checked_timeout(timeout),
    )
    return decorate if subject is _NOT_GIVEN else decorate(subject)


@dataclass(frozen=True, slots=True)
class _Decorator:
    """What `with_token` was told, ready to be put on a function."""

    fixed: TokenProvider | None
    find: Callable[[], TokenProvider]
    codes: frozenset[int] | None
    parameter: str
    timeout: float | None

    def __call__(self, function: Any, /) -> Any:
        if isinstance(function, (classmethod, staticmethod)):
            return type(function)(self(function.__func__))
        target = _Target.of(function, self.parameter)
        wrapper = self._async(target) if is_async(function) else self._sync(target)
        return _dressed(wrapper, target)

    # The two wrappers are long and say the same twice, in favour of the call that WeChat accepts, which is nearly every
    # call: one function more on that path costs a tenth of the whole. What is rare, they leave to others.

    def _sync(self, target: _Target) -> Callable[..., Any]:  # noqa: C901 - see above
        codes, timeout, parameter = self.codes, self.timeout, self.parameter
        function, first_of_all, call = target.function, target.index == 0, target.caller()
        skip, bound, after_self = target.skip, target.bound, target.skip == target.index == 1
        fixed, find, nothing_bound = self.fixed, self.find, PLAIN.issuperset(map(type, target.bound))
        zero = 0  # of which there is one in CPython; compared by identity, as anything else may raise at that question

        def with_token_wrapper(*args: Any, **kwargs: Any) -> Any:  # noqa: C901, PLR0912 - see above
            plain = nothing_bound
            if kwargs:
                if parameter in kwargs and (token := kwargs.pop(parameter)) is not None:
                    return _explicit(call, token, args, kwargs)
                for each in kwargs.values():
                    if type(each) not in PLAIN:
                        plain = False
            rest = args[skip:] if skip else args
            for each in rest:
                if type(each) not in PLAIN:
                    plain = False
            provider = find() if fixed is None else fixed
            token = provider.get_token() if timeout is None else provider.get_token(timeout=timeout)
            rewind = _always if plain else Arguments((*rest, *kwargs.values(), *bound)).rewind
            try:
                if first_of_all:
                    answer = function(token, *args, **kwargs)
                elif after_self and args:
                    answer = function(args[0], token, *rest, **kwargs)
                else:
                    answer = call(token, args, kwargs)
            except Exception as error:
                wanted = codes_of(provider) if codes is None else codes
                first = _outcome_of_error(error, wanted)
                if first is None:
                    mask_error(error)
                    raise
            except BaseException as error:
                mask_error(error)
                raise
            else:
                if type(answer) is dict and answer.get("errcode", zero) is zero and "base_resp" not in answer:
                    return answer
                if asks_to_be_awaited(answer):
                    return self._resumed(provider, token, answer, _with(call, args, kwargs), rewind)
                first = CallResult(answer, errcode=errcode_of(answer))
                wanted = codes_of(provider) if codes is None else codes
                if first.errcode not in wanted:
                    return answer
                del answer
            again = _with(call, args, kwargs)
            return run_retry(provider, token, first, again, codes=wanted, rewind=rewind, timeout=timeout)

        return with_token_wrapper

    def _async(self, target: _Target) -> Callable[..., Any]:  # noqa: C901 - see above
        codes, timeout, parameter = self.codes, self.timeout, self.parameter
        function, first_of_all, call = target.function, target.index == 0, target.caller()
        skip, bound, after_self = target.skip, target.bound, target.skip == target.index == 1
        fixed, find, nothing_bound = self.fixed, self.find, PLAIN.issuperset(map(type, target.bound))
        zero = 0  # of which there is one in CPython; compared by identity, as anything else may raise at that question

        async def with_token_wrapper(*args: Any, **kwargs: Any) -> Any:  # noqa: C901, PLR0912 - see above
            plain = nothing_bound
            if kwargs:
                if parameter in kwargs and (token := kwargs.pop(parameter)) is not None:
                    with masked_errors():
                        return await call(token, args, kwargs)
                for each in kwargs.values():
                    if type(each) not in PLAIN:
                        plain = False
            rest = args[skip:] if skip else args
            for each in rest:
                if type(each) not in PLAIN:
                    plain = False
            provider = find() if fixed is None else fixed
            token = await (provider.aget_token() if timeout is None else provider.aget_token(timeout=timeout))
            rewind = _always if plain else Arguments((*rest, *kwargs.values(), *bound)).rewind
            try:
                if first_of_all:
                    answer = await function(token, *args, **kwargs)
                elif after_self and args:
                    answer = await function(args[0], token, *rest, **kwargs)
                else:
                    answer = await call(token, args, kwargs)
            except Exception as error:
                wanted = codes_of(provider) if codes is None else codes
                first = _outcome_of_error(error, wanted)
                if first is None:
                    mask_error(error)
                    raise
            except BaseException as error:
                mask_error(error)
                raise
            else:
                if type(answer) is dict and answer.get("errcode", zero) is zero and "base_resp" not in answer:
                    return answer
                first = CallResult(answer, errcode=await aerrcode_of(answer))
                wanted = codes_of(provider) if codes is None else codes
                if first.errcode not in wanted:
                    return answer
                del answer
            again = _with(call, args, kwargs)
            return await arun_retry(provider, token, first, again, codes=wanted, rewind=rewind, timeout=timeout)

        return with_token_wrapper

    async def _resumed(
        self,
        provider: TokenProvider,
        token: str,
        answer: Awaitable[Any],
        again: Callable[[str], Any],
        rewind: Callable[[], bool],
    ) -> Any:
        """Go on with a plain function that returned an awaitable."""
        codes = codes_of(provider) if self.codes is None else self.codes
        try:
            value = await answer
        except Exception as error:
            first = _outcome_of_error(error, codes)
            if first is None:
                mask_error(error)
                raise
        except BaseException as error:
            mask_error(error)
            raise
        else:
            first = CallResult(value, errcode=await aerrcode_of(value))
            if first.errcode not in codes:
                return value
            del value
        return await arun_retry(provider, token, first, again, codes=codes, rewind=rewind, timeout=self.timeout)


@dataclass(frozen=True, slots=True)
class _Target:
    """
    A function that wants a token, and where it wants it.

    Attributes:
        function: The function.
        signature: Its signature without the token.
        parameter: The parameter's name.
        index: How many positional arguments stand before the token; out of reach if it is keyword-only.
        positional_only: Whether it can't be passed by name.
        skip: How many positional arguments are ``self`` or ``cls``.
        bound: What a `functools.partial` has bound already.
    """

    function: Callable[..., Any]
    signature: inspect.Signature
    parameter: str
    index: int
    positional_only: bool
    skip: int
    bound: tuple[Any, ...] = field(repr=False)

    @classmethod
    def of(cls, function: Any, parameter: str) -> _Target:
        _check_callable_twice(function)
        signature = _signature_of(function)
        names = list(signature.parameters)
        wanted = signature.parameters.get(parameter)
        if wanted is None or wanted.kind in (wanted.VAR_POSITIONAL, wanted.VAR_KEYWORD):
            raise TypeError(_without_parameter(function, parameter))
        partial = function if isinstance(function, functools.partial) else functools.partial(function)
        if parameter in partial.keywords:
            raise TypeError(f"{_name_of(function)} has {parameter}= bound already. Leave it to with_token().")
        index = sys.maxsize if wanted.kind is wanted.KEYWORD_ONLY else names.index(parameter)
        rest = [each for name, each in signature.parameters.items() if name != parameter]
        return cls(
            function=function,
            signature=signature.replace(parameters=rest),
            parameter=parameter,
            index=index,
            positional_only=wanted.kind is wanted.POSITIONAL_ONLY,
            skip=1 if names[0] in ("self", "cls") else 0,
            bound=(*partial.args, *partial.keywords.values()),
        )

    def caller(self) -> _Call:
        """Make the function that puts a token where it is wanted, among the caller's arguments, and calls."""
        function, parameter, index = self.function, self.parameter, self.index

        def call(token: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            if index == 1 and args:
                return function(args[0], token, *args[1:], **kwargs)
            if len(args) >= index:
                return function(*args[:index], token, *args[index:], **kwargs)
            if not self.positional_only:
                return function(*args, **{**kwargs, parameter: token})
            return function(*self._with_defaults(args, kwargs), token, **kwargs)

        return call

    def _with_defaults(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
        """Fill up the positional-only arguments that stand before the token and were left to their defaults."""
        self.signature.bind(*args, **kwargs)
        before = list(self.signature.parameters.values())[len(args) : self.index]
        return (*args, *(each.default for each in before))


_Call: TypeAlias = Callable[[str, tuple[Any, ...], dict[str, Any]], Any]


def _with(call: _Call, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Callable[[str], Any]:
    # Not a lambda in the wrapper: it would make cells of the arguments in every call.
    return lambda token: call(token, args, kwargs)


def _explicit(call: _Call, token: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Call once, with a token that is the caller's own."""
    with masked_errors():
        answer = call(token, args, kwargs)
    return _awaited(answer) if type(answer) is CoroutineType else answer


async def _awaited(answer: Awaitable[Any]) -> Any:
    with masked_errors():
        return await answer


def _always() -> bool:
    return True


def _dressed(wrapper: Any, target: _Target) -> Any:
    """Make the wrapper look like the function, without the token."""
    named = target.function
    while isinstance(named, functools.partial):
        named = named.func
    if inspect.isroutine(named):
        functools.update_wrapper(wrapper, named)
    else:
        # An object with __call__: its attributes are its own, and its name is that of its class.
        functools.update_wrapper(wrapper, type(named).__call__, updated=())
        wrapper.__name__ = wrapper.__qualname__ = type(named).__name__
        wrapper.__module__, wrapper.__doc__ = type(named).__module__, type(named).__doc__
    wrapper.__wrapped__ = target.function
    wrapper.__signature__ = target.signature
    annotations = getattr(wrapper, "__annotations__", {})
    wrapper.__annotations__ = {name: each for name, each in annotations.items() if name != target.parameter}
    return wrapper


def _outcome_of_error(error: Exception, codes: Collection[int]) -> CallResult | None:
    """Get the outcome of a first call that raised, if that means a rejected token."""
    errcode = errcode_of_error(error)
    return CallResult(error=error, errcode=errcode) if errcode in codes else None


def _given(provider: Any) -> TokenProvider | None:
    if provider is _NOT_GIVEN or not is_provider(provider):
        return None
    if getattr(provider, "closed", False):
        raise ProviderClosed("This provider was closed. Make a new one for with_token().")
    found: TokenProvider = provider
    return found


def _provider_of_request() -> TokenProvider:
    serving = serving_var.get()
    return current_provider() if serving is None else serving[0].provider


def _finder(provider: Any) -> Callable[[], TokenProvider]:
    """Get the function that finds the provider at each call, where it is not a fixed one."""
    if provider is _NOT_GIVEN or is_provider(provider):
        return _provider_of_request
    if isinstance(provider, type):
        raise ConfigurationError(f"provider must be an instance, not the class {provider.__name__}.")
    if not callable(provider):
        raise ConfigurationError(
            f"provider must be a TokenProvider, or a function that returns one, not a {type(provider).__name__}."
        )
    if is_async(provider):
        raise ConfigurationError("The function that finds the provider must not be async. Make the provider before.")
    finder: Callable[[], TokenProvider] = provider
    return finder


def _check_callable_twice(function: Any) -> None:
    if isinstance(function, type):
        raise TypeError(f"with_token() cannot decorate the class {function.__name__}. Decorate its methods.")
    if not callable(function):
        raise TypeError(f"with_token() needs a function or a TokenProvider, not a {type(function).__name__}.")
    inner = function
    while isinstance(inner, functools.partial):
        inner = inner.func
    for each in (inner, type(inner).__call__):
        if inspect.isgeneratorfunction(each) or inspect.isasyncgenfunction(each):
            raise TypeError(
                f"with_token() cannot decorate {_name_of(function)}: a generator can't be run again once its caller "
                "has seen the first items. Decorate the function that makes a single call to WeChat."
            )


def _signature_of(function: Any) -> inspect.Signature:
    try:
        return inspect.signature(function)
    except (TypeError, ValueError):
        raise TypeError(f"with_token() cannot read the signature of {_name_of(function)}. Wrap it in a def.") from None


def _without_parameter(function: Any, parameter: str) -> str:
    return (
        f"{_name_of(function)} has no parameter named {parameter}, so there is nowhere to put the token. Add it, or "
        "name another one in with_token(parameter=...). A function that returns the provider goes by name: "
        "with_token(provider=...)."
    )


def _name_of(function: Any) -> str:
    while isinstance(function, functools.partial):
        function = function.func
    name = getattr(function, "__qualname__", None)
    return f"{name}()" if isinstance(name, str) else f"a {type(function).__name__}"


def _checked_name(parameter: Any) -> str:
    if not isinstance(parameter, str) or not parameter.isidentifier():
        raise ConfigurationError("parameter must be the name of a parameter, such as 'access_token'.")
    return parameter
