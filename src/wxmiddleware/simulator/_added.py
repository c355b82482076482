"""APIs that a test or a tool adds to the simulated WeChat. The token is checked before they are asked."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from wxmiddleware.exceptions import ConfigurationError

from . import _wecom
from ._apis import Answer, Call
from ._errors import OK, Json
from ._log import TOKEN_PATHS
from ._rules import SimulatedAccount
from ._wecom import SimulatedApp


@dataclass(frozen=True, slots=True)
class APICall:
    """
    A request to an API that was added with :meth:`WeChat.route`. Its token was right.

    Attributes:
        account: Whose token it had: an account, or an app of a WeCom corp.
        method: The HTTP method.
        query: The parameters beside ``access_token``.
        body: The body, as it came.
    """

    account: SimulatedAccount | SimulatedApp
    method: str
    query: Mapping[str, str]
    body: bytes = field(repr=False)

    @property
    def json(self) -> Any:
        """The body, decoded; ``None`` if it is no JSON."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None


Given: TypeAlias = "Mapping[str, Any] | bytes | None"
Handler: TypeAlias = Callable[[APICall], Given]


@dataclass(frozen=True, slots=True)
class Route:
    """What answers, and to which method (``None``: to each)."""

    handler: Handler
    method: str | None


def route_of(path: object, answer: object, method: object) -> Route:
    """
    Check what was given to :meth:`WeChat.route`.

    Raises:
        ConfigurationError: A path or an answer is of no use.
    """
    if not isinstance(path, str) or not path.startswith("/") or "?" in path or "#" in path:
        raise ConfigurationError(f"An API's path looks like /cgi-bin/tags/get, without a host and query; got {path!r}.")
    if path in TOKEN_PATHS or path.startswith("/_simulator/"):
        raise ConfigurationError(f"{path} is the simulator's own and takes no token. A fault changes its answer.")
    if method not in (None, "GET", "POST"):
        raise ConfigurationError(f'method is "GET", "POST" or None for both; got {method!r}.')
    given: Any = answer
    if not callable(given) and not isinstance(given, (Mapping, bytes)):
        raise ConfigurationError("An API is answered by a function of the call, or always with the same dict or bytes.")
    return Route(given if callable(given) else lambda _: given, None if method is None else str(method))


def answer(call: Call) -> Answer | None:
    """Answer a request to an API that was added; ``None`` if there is none."""
    route = call.wechat._routes.get(call.request.path)
    if route is None:
        return None
    owner = _owner(call)
    if isinstance(owner, dict):
        return Answer(owner)
    if route.method not in (None, call.request.method):
        return Answer(_fail(call, owner, 43001 if route.method == "GET" else 43002))
    query = {name: value for name, value in call.request.args.items() if name != "access_token"}
    found = route.handler(APICall(owner, call.request.method, query, call.request.get_data()))
    if isinstance(found, bytes):
        return Answer(found, "application/octet-stream")
    return Answer(OK if found is None else dict(found))


def _owner(call: Call) -> SimulatedAccount | SimulatedApp | Json:
    token = call.request.args.get("access_token")
    app = call.wechat._corps.app(token)
    if app is not None:
        call.appid, judged = app.corpid, call.wechat._corps.judge(token)
        return _fail(call, app, judged) if isinstance(judged, int) else app
    refused, owner = call.wechat.check(token), call.wechat._rules.owner(token)
    call.appid = None if owner is None else owner.appid
    if refused is not None:
        return refused
    return call.fail(40001) if owner is None else owner


def _fail(call: Call, owner: SimulatedAccount | SimulatedApp, errcode: int) -> Json:
    if isinstance(owner, SimulatedApp):
        return _wecom.error(errcode, call.wechat.clock(), call.ip)
    return call.fail(errcode)
