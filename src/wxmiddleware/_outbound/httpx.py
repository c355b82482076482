"""
The access token for httpx and for httpx2, which is its successor: the same flow, on base classes of either.

The token is in the URL that goes over the wire. The request that carries it is a copy of the caller's, and its URL
prints itself with *** in the token's place, as httpx does with a password; so nothing that quotes the URL shows it:
log lines, the text of an error, an error's ``request``.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, Generator
from contextlib import suppress
from typing import Any
from urllib.parse import quote, urlsplit

from .._runtime import masking
from .answers import aerrcode_of, errcode_of
from .arguments import Arguments
from .auth import TokenAuth, signed, token_in
from .retry import CallResult, GetNewer, Send, anewer, newer

__all__ = ["TokenFlow"]

_masked_classes: dict[type, Any] = {}


class TokenFlow(TokenAuth):
    """Both colours of an httpx auth flow."""

    _error: type[Exception]  # what the library raises when a server breaks the rules

    def sync_auth_flow(self, request: Any) -> Generator[Any, Any, None]:
        """Send with the token; if that is rejected, once more with a newer one."""
        if not self._goes(request):
            yield request
            return
        flow = self._flow(request, self.provider.get_token(timeout=self._timeout))
        reply: Any = None
        with suppress(StopIteration):
            while True:
                step, reply = flow.send(reply), None
                if isinstance(step, GetNewer):
                    reply = newer(self.provider, step.rejected, self._timeout)
                else:
                    response = yield self._with_token(request, step.token)
                    self._mask(response)
                    reply = CallResult(response, errcode=errcode_of(response))

    async def async_auth_flow(self, request: Any) -> AsyncGenerator[Any, Any]:
        """Send with the token; if that is rejected, once more with a newer one. Never blocks the event loop."""
        if not self._goes(request):
            yield request
            return
        flow = self._flow(request, await self.provider.aget_token(timeout=self._timeout))
        reply: Any = None
        with suppress(StopIteration):
            while True:
                step, reply = flow.send(reply), None
                if isinstance(step, GetNewer):
                    reply = await anewer(self.provider, step.rejected, self._timeout)
                else:
                    response = yield self._with_token(request, step.token, True)
                    self._mask(response)
                    reply = CallResult(response, errcode=await aerrcode_of(response))

    def _flow(self, request: Any, token: str) -> Generator[GetNewer | Send, Any, None]:
        """Say what both colours do, and in which order."""
        arguments = _arguments_of(request)
        first: CallResult = yield Send(token)
        # After a redirect this is another request than ours. Without the token its answer says nothing about it.
        if self._refused(first) and self._covers(first.answer.request.url):
            yield from self._rule(token, first, arguments)

    def _goes(self, request: Any) -> bool:
        url = request.url
        return self._wants(url.scheme, url.raw_host.decode(), url.port, _path_of(url), url.query.decode())

    def _covers(self, url: Any) -> bool:
        """Tell whether the token may go to an URL of httpx or of httpcore."""
        return token_in(url.query.decode()) is not None and self._scope.covers(
            url.scheme, url.raw_host.decode(), url.port, _path_of(url)
        )

    def _with_token(self, request: Any, token: str, asynchronous: bool = False) -> Any:
        """Copy a request and give the copy the token. Its headers and its stream are the caller's own."""
        copy = object.__new__(type(request))
        copy.__dict__.update(request.__dict__)
        name = self._scope.parameter(_path_of(request.url))
        copy.url = _masked_url(request.url)(request.url, query=signed(request.url.query.decode(), token, name).encode())
        given = request.extensions.get("trace")
        watch = self._awatch(token, given) if asynchronous else self._watch(token, given)
        copy.extensions = {**request.extensions, "trace": watch}
        return copy

    # The client follows redirects without asking us, to where the Location says, and a server may write our token into
    # that. Redirects inherit the request's extensions, and httpcore calls this one before it sends a request's head.

    def _watch(self, token: str, given: Any) -> Any:
        def trace(event: str, info: Any) -> None:
            if event.endswith(".send_request_headers.started"):
                self._stop(token, info["request"].url)
            if given is not None:
                given(event, info)

        return trace

    def _awatch(self, token: str, given: Any) -> Any:
        async def trace(event: str, info: Any) -> None:
            if event.endswith(".send_request_headers.started"):
                self._stop(token, info["request"].url)
            if given is not None:
                await given(event, info)

        return trace

    def _stop(self, token: str, url: Any) -> None:
        # Error trackers show local variables: none holds the whole URL.
        if token.encode() in url.target or quote(token, safe="").encode() in url.target:
            scheme, host, port, path = _goal(url)
            if not self._scope.covers(scheme, host, port, path):
                raise self._error(
                    f"WeChat's token was not sent to {host}, where a redirect of the server would take it."
                )

    def _mask(self, response: Any) -> None:
        """Let the URLs of redirects print themselves without the token, too."""
        for each in response.history:
            _mask(each.request)
        _mask(response.request)


def _path_of(url: Any) -> str:
    """Get the path as it is sent."""
    path: bytes = url.raw_path
    return path.partition(b"?")[0].decode()


def _goal(url: Any) -> tuple[str, str, int | None, str]:
    """Tell where a request of httpcore's ends up. A forward proxy is asked for a whole URL."""
    target: str = url.target.decode().partition("?")[0]
    if target.startswith("/"):
        return url.scheme.decode(), url.host.decode(), url.port, target
    there = urlsplit(target)
    return there.scheme, there.hostname or "", there.port, there.path


def _mask(request: Any) -> None:
    if not isinstance(request.url, _MaskedURL) and token_in(request.url.query.decode()) is not None:
        request.url = _masked_url(request.url)(request.url)


def _arguments_of(request: Any) -> Arguments:
    """Find what a request reads its body from. What is not known to be readable twice counts as not."""
    stream = request.stream
    if hasattr(request, "_content") or type(stream).__name__ == "ByteStream":
        return Arguments(())
    fields = getattr(stream, "fields", None)
    if fields is not None:  # multipart
        return Arguments([getattr(each, "file", None) for each in fields])
    return Arguments((getattr(stream, "_stream", iter(())),))


def _masked_url(url: Any) -> Any:
    """Get the class of URLs that print *** for their token: httpx asks for one of its own classes."""
    base = next(each for each in type(url).__mro__ if each.__name__ == "URL")
    if base not in _masked_classes:
        _masked_classes[base] = type("MaskedURL", (_MaskedURL, base), {"__module__": __name__})
    return _masked_classes[base]


class _MaskedURL:
    def __str__(self) -> str:
        return masking.mask(super().__str__())

    def __repr__(self) -> str:
        return masking.mask(super().__repr__())

    def __reduce__(self) -> tuple[Any, ...]:
        base = type(self).__mro__[2]
        return getattr(sys.modules[base.__module__], base.__name__), (str(self),)
