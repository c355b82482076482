"""
The access token for requests: an ``auth`` that heals rejected calls, and a shield for what a session raises.

::

    session = mask_errors(requests.Session())
    session.auth = WeChatAuth(provider)
    session.get("https://api.weixin.qq.com/cgi-bin/user/info", params={"openid": "oABC"})

The token is in the URL that goes over the wire, where WeChat wants it. It is taken out of ``response.url``,
``response.request`` and ``response.history`` before the caller gets them. What cannot be seen from an ``auth`` is an
error that a session raises because no answer came; urllib3 quotes the URL there, and `mask_errors` takes the token out.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeVar
from urllib.parse import urljoin, urlsplit

import requests
from requests.auth import AuthBase

from ._outbound.answers import errcode_of
from ._outbound.arguments import Arguments
from ._outbound.auth import TokenAuth, sent_token, signed, signed_url, token_in, unsigned_url
from ._outbound.retry import CallResult, run_retry
from ._runtime import masking

__all__ = ["WeChatAuth", "mask_errors"]

SessionT = TypeVar("SessionT", bound=requests.Session)


class WeChatAuth(TokenAuth, AuthBase):
    __doc__ = TokenAuth.__doc__

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        parts = urlsplit(request.url or "")
        if not self._wants(parts.scheme, parts.hostname or "", parts.port, parts.path, parts.query):
            return request
        token = self.provider.get_token(timeout=self._timeout)
        request.url = signed_url(request.url, token, self._scope.parameter(parts.path))
        request.register_hook("response", _Healer(self, token, Arguments((request.body,))))  # type: ignore[no-untyped-call]
        return request


def mask_errors(session: SessionT) -> SessionT:
    """
    Keep tokens and secrets out of the errors that a session raises when no answer comes, and give it back.

    A refused connection, a name that is not found, a timeout: urllib3 quotes the path and query of the request in the
    text of the error, or keeps it in an attribute, and requests passes that on. Here both read ``access_token=***``.
    It is of use for sessions that put the token there themselves, too. A session is shielded for good, with the
    adapters that are mounted later; shielding it twice changes nothing.

    Not covered: what other code raises from a response, such as ``raise_for_status()``, if the token was put in the
    URL by hand.
    """
    if not isinstance(session.send, _Shielded):
        session.send = _Shielded(session.send)  # type: ignore[method-assign]
        # A copy of a session has none of its attributes but those that requests knows.
        session.__reduce_ex__ = functools.partial(_reduced, session)  # type: ignore[method-assign]
    return session


def _reduced(session: requests.Session, protocol: object) -> tuple[Any, ...]:
    return _shielded_anew, (type(session), session.__getstate__())


def _shielded_anew(kind: type[requests.Session], state: Any) -> requests.Session:
    session = object.__new__(kind)
    session.__setstate__(state)  # type: ignore[attr-defined]
    return mask_errors(session)


class _Shielded:
    """A session's ``send`` whose errors name no token."""

    def __init__(self, send: Callable[..., requests.Response]) -> None:
        self._send = send

    def __call__(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        with masking.masked_errors():
            return self._send(request, **kwargs)


class _Healer:
    """The response hook of one request: takes the token out of what the caller sees, and heals what was rejected."""

    def __init__(self, auth: WeChatAuth, token: str, arguments: Arguments) -> None:
        self._auth = auth
        self._arguments = arguments
        # As they were given, by what stands in the URL. Redirects of the second request have the second token.
        self._tokens = {token_in(signed("", token)): token}

    def __call__(self, response: requests.Response, **kwargs: Any) -> requests.Response:
        sent = response.request
        token = self._tokens.get(sent_token(sent.url))
        self._redact(response)
        # Redirects come by here, too; those that led out of the scope have no token. One that is about to be followed
        # brings no error of WeChat's, and requests reads it in its own way: its body may be broken.
        if token is None or response.is_redirect:
            return response
        if not kwargs.get("stream"):
            response.content  # noqa: B018 - the session is going to; then there is nothing to peek at and to put back
        first = CallResult(response, errcode=errcode_of(response))
        if not self._auth._refused(first):
            return response

        def again(token: str) -> requests.Response:
            retry = sent.copy()
            retry.url = signed_url(sent.url, token, self._auth._scope.parameter(urlsplit(sent.url or "").path))
            self._tokens[token_in(signed("", token))] = token
            started = time.perf_counter()
            with masking.masked_errors():
                second: requests.Response = response.connection.send(retry, **kwargs)
            second.elapsed = timedelta(seconds=time.perf_counter() - started)
            second.history.append(response)
            self._redact(second)
            return second

        healed: requests.Response = run_retry(
            self._auth.provider,
            token,
            first,
            again,
            codes=self._auth._codes,
            rewind=self._arguments.rewind,
            timeout=self._auth._timeout,
        )
        return healed

    def _redact(self, response: requests.Response) -> None:
        """Take the token out of what the caller sees, and out of a redirect that leads out of the scope."""
        sent = response.request
        if sent_token(sent.url) in self._tokens:
            # The request itself stays as it is: its owner may send it again.
            response.request = sent.copy()
            response.url = response.request.url = unsigned_url(sent.url)
        location = response.headers.get("location")
        if location is None or not response.is_redirect:
            return
        there = urlsplit(urljoin(response.url, location))
        if not self._auth._scope.covers(there.scheme, there.hostname or "", there.port, there.path):
            for written, token in self._tokens.items():
                location = location.replace(written or token, "").replace(token, "")
            response.headers["location"] = location

    def __reduce__(self) -> tuple[Any, ...]:
        # Responses are pickled with their requests, and these with their hooks. Tokens and locks are not.
        return _make_noop_hook, ()


def _make_noop_hook() -> Callable[..., None]:
    return _noop_hook


def _noop_hook(response: requests.Response, **kwargs: Any) -> None:
    """Stand where a `_Healer` was, in a request that was pickled."""
