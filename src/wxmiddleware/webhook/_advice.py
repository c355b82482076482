"""
Says why pushes fail although the URL was verified: the middleware answers the verification, the app the pushes.

WeChat follows no redirect and knows no CSRF token; all that its users see is that the service is not available.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from urllib.parse import SplitResult, urlsplit

from ._flow import Answer

_logger = logging.getLogger("wxmiddleware")

_MISSING = (
    "No view is there. Add a route for POST at exactly this path; the path= of the WebhookMiddleware and the URL on "
    "WeChat's site are to say the same."
)
_METHOD = "The view there takes no POST. Add POST to the methods of its route."
_FORBIDDEN = (
    "The app itself has refused it, as CSRF protection and logins do, which WeChat cannot pass. Take this view out of "
    "them: in Django with @csrf_exempt above the view. What comes here was checked by its signature."
)
_BAD = (
    "The app itself has refused it. CSRF protection does that (Flask-WTF: csrf.exempt(view)), and so does a view that "
    "reads the body as JSON or as a form: WeChat sends XML."
)
_NOT_200 = "WeChat takes 200 only and repeats the push, so that it is handled again. Answer with 200."
_SLASH = (
    "The redirect adds the slash at the end, or takes it off, and WeChat follows none. Let the route and the URL on "
    "WeChat's site end alike; in Django that is what APPEND_SLASH does, in Flask a route with a slash at its end."
)
_SECURE = "The redirect is to https, and WeChat follows none. Let the URL on WeChat's site begin with https://."
_ELSEWHERE = "WeChat follows no redirect. Answer at this path; take the view out of logins and the like."


class Advice:
    """One warning for each cause, for one webhook."""

    __slots__ = ("_told",)

    def __init__(self) -> None:
        self._told: set[str] = set()

    def heard(self, path: str, deliver: Callable[[Answer], None]) -> Callable[[Answer], None]:
        """Look at how an app answers a push that was let in, before that is delivered."""

        def hear(answer: Answer) -> None:
            if answer.status != 200 and answer.status < 500:
                self._heed(path, answer)
            deliver(answer)

        return hear

    def _heed(self, path: str, answer: Answer) -> None:
        location = _location(answer)
        cause = _redirect(path, location) if answer.status // 100 == 3 else _refusal(answer.status)
        if cause in self._told:
            return
        self._told.add(cause)
        _logger.warning(
            "A push that WeChat has signed was not handled: the app answered POST %r with %d%s. %s",
            path[:200],
            answer.status,
            f" to {location.path[:200]!r}" if answer.status // 100 == 3 else "",
            cause,
        )


def _refusal(status: int) -> str:
    other = _BAD if status >= 400 else _NOT_200
    return {404: _MISSING, 405: _METHOD, 401: _FORBIDDEN, 403: _FORBIDDEN}.get(status, other)


def _location(answer: Answer) -> SplitResult:
    location = next((value for name, value in answer.headers if name.lower() == "location"), "")
    try:
        return urlsplit(location)
    except ValueError:
        return urlsplit("")


def _redirect(path: str, location: SplitResult) -> str:
    # Its query is not said: it has the signature in it.
    if not location.path.rstrip("/").endswith(path.rstrip("/")):
        return _ELSEWHERE
    if location.path.endswith("/") != path.endswith("/"):
        return _SLASH
    return _SECURE if location.scheme == "https" else _ELSEWHERE
