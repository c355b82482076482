"""The simulated WeChat as a WSGI app."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import struct
import threading
import time
from collections.abc import Iterable, Iterator
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Request, Response

from wxmiddleware.exceptions import ConfigurationError

from ._admin import administer
from ._apis import Answer, Call
from ._door import Door, is_page
from ._errors import error
from ._faults import Fault, Interrupted, page
from ._log import TOKEN_PATHS, shown_appid
from ._rids import Remembered
from ._routes import answer
from ._wechat import WeChat

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

__all__ = ["create_app"]

STOPPING = "wxmiddleware.simulator.stopping"
_BODY_LIMIT = 64 * 1024 * 1024
# Where a token endpoint's body says whose token it is.
_NAMED = {
    "stable": "appid",
    "component": "component_appid",
    "suite": "suite_id",
    "provider": "corpid",
    "corp": "auth_corpid",
}


class AnswerLost(ConnectionError):
    """Nothing more is sent on this connection. WSGI servers close it quietly for a ``ConnectionError``."""


def create_app(wechat: WeChat, *, admin: bool = False, hosts: Iterable[str] = ()) -> WSGIApplication:
    """
    Put HTTP around a simulated WeChat.

    The app runs under any threaded WSGI server. :class:`SimulatorServer` can in addition reset connections and
    end what hangs when it stops.

    Args:
        wechat: The rules, the faults and the counters.
        admin: Also serve ``/_simulator/`` (state, steal, revoke, advance, knobs, faults) to anyone who can connect.
        hosts: Names and addresses under which ``/_simulator/`` and HTML pages are served, beside ``localhost`` and
            loopback addresses: what a browser sends from another origin, or under another name, is refused there.

    Raises:
        ConfigurationError: ``wechat`` is not a :class:`WeChat`, or ``hosts`` has something that is no name.
    """
    if not isinstance(wechat, WeChat):
        raise ConfigurationError("create_app() serves a WeChat; give it WeChat().")
    door = Door(hosts)

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        request = Request(environ)
        request.max_content_length = _BODY_LIMIT
        if admin and request.path.startswith("/_simulator/"):
            refused = door.refusal(environ)
            found = administer(wechat, request) if refused is None else _refused(refused)
            return found(environ, start_response)
        with wechat._serving_lock:
            wechat._serving += 1
        try:
            response = _Exchange(wechat, request, environ).run()
        finally:
            request.close()  # uploaded files are open files
            with wechat._serving_lock:
                wechat._serving -= 1
            wechat._ledger.tell()
        if is_page(response.content_type):
            # 127.0.0.1 is one site for all that runs there: no script may see the others' cookies.
            response.headers["Content-Security-Policy"] = "sandbox"
            if (refused := door.refusal(environ)) is not None:
                response.close()
                response = _refused(refused)
        return response(environ, start_response)

    return app


class _Exchange:
    """One request and what becomes of it."""

    def __init__(self, wechat: WeChat, request: Request, environ: dict[str, Any]) -> None:
        self.wechat = wechat
        self.request = request
        self.environ = environ
        self.stopping: threading.Event | None = environ.get(STOPPING)
        self.call = Call(wechat, request, ip=request.remote_addr or "127.0.0.1")
        self.fault: Fault | None = None
        self.releases = 0
        self.began = time.monotonic()

    def run(self) -> Response:
        # The body is read whole, whatever the answer: closing on unread bytes would reset the connection.
        with contextlib.suppress(HTTPException):
            self.request.get_data(cache=True)
        self.wechat._ledger.arrived(self.request.path)
        self.fault, self.releases = self.wechat.faults.take(self.request.path)
        try:
            return self._struck(self.fault) if self.fault is not None else self._sent(self._usual())
        except Interrupted:
            self._log(None, None)
            raise AnswerLost("the simulator stops") from None

    def _usual(self, extra: float = 0.0) -> Answer:
        latency = extra + (self.wechat.token_latency if self.request.path in TOKEN_PATHS else 0.0)
        self._pause(latency / 2)
        made = answer(self.call)
        self._pause(latency / 2)
        return made

    def _struck(self, fault: Fault) -> Response:
        match fault.kind:
            case "latency":
                return self._sent(self._usual(fault.option("seconds")))
            case "hang":
                made = self._usual() if fault.executed else None
                self.wechat.faults.pause(fault.option("seconds"), self.stopping, fault, self.releases)
                return self._sent(made or self._usual())
            case "trickle":
                data = self._usual().data()
                return self._sent_in_pieces(data, self._trickle(data, fault.option("seconds")))
        done = self._usual() if fault.executed else Answer({})
        match fault.kind:
            case "half":
                return self._sent_in_pieces(done.data(), _half(done.data()))
            case "reset" | "lost":
                self._log(None, None)
                if fault.kind == "reset":
                    _reset(self.environ)
                raise AnswerLost("the answer is lost on request")
        return self._sent(self._instead(fault))

    def _instead(self, fault: Fault) -> Answer:
        match fault.kind:
            case "errcode":
                if not fault.executed:
                    self._blame()
                    self._pause(self.wechat.token_latency if self.request.path in TOKEN_PATHS else 0.0)
                errcode, errmsg = fault.option("errcode"), fault.option("errmsg")
                return Answer(error(errcode, self.wechat.clock(), ip=self.call.ip, errmsg=errmsg))
            case "status":
                status, body = fault.option("status"), fault.option("body")
                return Answer(
                    page(status, _reason(status)) if body is None else body, fault.option("content_type"), status
                )
            case "html":
                return Answer(fault.option("body"), "text/html")
            case "body":
                return Answer(fault.option("body"), fault.option("content_type"))
        return Answer(b"")

    def _blame(self) -> None:
        # An injected errcode is WeChat's own answer, so a token endpoint has judged this request.
        slot = TOKEN_PATHS.get(self.request.path)
        if slot is None:
            owner = self.wechat._rules.owner(self.request.args.get("access_token"))
            self.call.appid = None if owner is None else owner.appid
            return
        appid: object = self.request.args.get("corpid" if slot == "wecom" else "appid")
        if slot in _NAMED:
            body = self.call.posted()
            appid = body.get(_NAMED[slot]) if isinstance(body, dict) else None
        self.call.appid = appid if isinstance(appid, str) else None
        self.wechat._rules.count_fetch(appid, slot)

    def _pause(self, seconds: float) -> None:
        if seconds > 0:
            self.wechat.faults.pause(seconds, self.stopping)

    def _sent(self, made: Answer) -> Response:
        self._log(made.status, made.errcode)
        self._remember(made)
        headers = {} if made.location is None else {"Location": made.location}
        kind = made.content_type or self.wechat.json_content_type
        return Response(made.data(), status=made.status, headers=headers, content_type=kind)

    def _remember(self, made: Answer) -> None:
        if isinstance(made.body, dict) and self.call.appid is not None and self.wechat._knows(self.call.appid):
            body = self.request.get_data(as_text=True) if self.request.content_length else ""
            spent = time.monotonic() - self.began
            at, answer = self.wechat.clock(), made.data().decode()
            asked = Remembered(self.call.appid, at, spent, self.request.full_path, body, answer, self.call.ip)
            self.wechat._rids.remember(made.body, asked)

    def _sent_in_pieces(self, data: bytes, pieces: Iterator[bytes]) -> Response:
        response = self._sent(Answer(data))
        response.response = pieces
        response.content_length = len(data)
        return response

    def _trickle(self, data: bytes, seconds: float) -> Iterator[bytes]:
        for at in range(len(data)):
            if at:
                try:
                    self.wechat.faults.pause(seconds, self.stopping)
                except Interrupted:
                    raise AnswerLost("the simulator stops") from None
            yield data[at : at + 1]

    def _log(self, status: int | None, errcode: int | None) -> None:
        appid = self.call.appid
        self.wechat._ledger.answered(
            at=self.wechat.clock(),
            method=self.request.method,
            path=self.request.path,
            appid=shown_appid(appid, self.wechat._knows(appid)),
            errcode=errcode,
            ip=self.call.ip,
            status=status,
            fault=None if self.fault is None else self.fault.kind,
        )


def _refused(why: str) -> Response:
    return Response(json.dumps({"error": why}) + "\n", status=403, content_type="application/json")


def _half(data: bytes) -> Iterator[bytes]:
    yield data[: len(data) // 2]
    raise AnswerLost("half of the answer is lost on request")


def _reset(environ: dict[str, Any]) -> None:
    # Only servers that hand out their socket (werkzeug's, gunicorn's) can send an RST; others just close.
    connection = environ.get("werkzeug.socket") or environ.get("gunicorn.socket")
    if isinstance(connection, socket.socket):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        os.close(connection.detach())  # detached: no later shutdown() can send a FIN before it


def _reason(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"
