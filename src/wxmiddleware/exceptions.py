"""
What can go wrong, in one tree::

    WxMiddlewareError
    + ConfigurationError       an argument is wrong; said at construction (also a ValueError)
    + ProviderClosed           the provider was used after its ``close()``
    + NoProvider               ``@with_token`` or ``current_token()`` outside a request (also a LookupError)
    + TokenError
      - TokenRefused           WeChat said no; asking again will not help until a person acts
      - TokenUnavailable       network, busy, quota or a wait that ran out; a later call may work
    + NotVerified              a webhook's view was called, and no check had let the request in
    + StoreError               the shared store failed or holds what nobody can read
    + APIError                 an API answer with an errcode

None of them ever carries a secret, a token or a full URL: not in its text, its attributes, its cause or its context.
"""

from __future__ import annotations

__all__ = [
    "APIError",
    "ConfigurationError",
    "NoProvider",
    "NotVerified",
    "ProviderClosed",
    "StoreError",
    "TokenError",
    "TokenRefused",
    "TokenUnavailable",
    "WxMiddlewareError",
]


class WxMiddlewareError(Exception):
    """The root: catches everything that this package raises on purpose."""


class ConfigurationError(WxMiddlewareError, ValueError):
    """An argument is wrong. Raised where it was given, not at the first request."""


class ProviderClosed(WxMiddlewareError):
    """The provider was used after its ``close()``."""


class NoProvider(WxMiddlewareError, LookupError):
    """There is no request being served, so nobody knows whose token to use."""


class NotVerified(WxMiddlewareError):
    """A view asked for the message of a request that no `WebhookMiddleware` has let in. It may be anybody's."""


class StoreError(WxMiddlewareError):
    """The shared store failed, or holds something that cannot be read."""


class _WeChatSays(WxMiddlewareError):
    """
    What WeChat said, or would not say.

    Attributes:
        errcode: WeChat's error code, or ``None`` if there was no readable answer.
        errmsg: WeChat's text, for people; it changes, so do not branch on it.
        rid: WeChat's id of the request, for its support staff, or ``None``.
        retry_after: Seconds until another call may help, or ``None`` if that is not known.
    """

    def __init__(
        self,
        message: str,
        errcode: int | None = None,
        errmsg: str = "",
        rid: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        # All of them are arguments: a queue that sends errors as JSON makes them anew with type(error)(*error.args).
        given = [message, errcode, errmsg, rid, retry_after]
        while len(given) > 1 and given[-1] in (None, ""):
            given.pop()
        super().__init__(*given)
        self.errcode = errcode
        self.errmsg = errmsg
        self.rid = rid
        self.retry_after = retry_after

    def __str__(self) -> str:
        return str(self.args[0])


class TokenError(_WeChatSays):
    """No token can be had."""


class TokenRefused(TokenError):
    """WeChat will not give this account a token: a person has to change something first."""


class TokenUnavailable(TokenError):
    """No token can be had at the moment; ``retry_after`` says when to try again."""


class APIError(_WeChatSays):
    """An API answered with an errcode other than 0."""
