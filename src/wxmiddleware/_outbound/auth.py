"""The common part of the clients' auth classes: whose token, where it may go, and how it stands in a query."""

from __future__ import annotations

import re
from collections.abc import Collection, Generator, Iterable
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlsplit

from .._runtime.checks import checked_codes, checked_timeout, is_provider
from ..exceptions import ConfigurationError, ProviderClosed
from .answers import is_rejection
from .arguments import Arguments
from .retry import CallResult, codes_of, retry_rule
from .scope import Scope

if TYPE_CHECKING:
    from .._engine.provider import TokenProvider

__all__ = ["TokenAuth", "sent_token", "signed", "signed_url", "token_in", "unsigned_url", "without_token"]

_PARAMETER: Final = re.compile(r"(?:^|(?<=&))(?:component_)?access_token=([^&]*)")
_NAMES: Final = ("access_token", "component_access_token")


class TokenAuth:
    """
    Adds ``access_token`` to a client's requests, and sends once more with a new token what WeChat rejected.

    A request that has an ``access_token`` or ``component_access_token`` in its URL goes out as it is, and so do those
    to other hosts, to ``sns/*`` and to the token endpoints. The token of a platform (``platform.provider``) goes to
    ``sns/component/*``, too, as ``component_access_token``. A body that can be read only once is not sent again; the
    log says so, and the caller gets WeChat's first answer.

    Args:
        provider: Gives the tokens.
        hosts: More hosts, beside that of the account's ``base_url``, that may get the token:
            ``"sh.api.weixin.qq.com"``, ``"https://gateway.example:8443"``. Requests to others go out as they are.
        codes: The errcodes that mean a rejected token. By default those of the account's kind: 40001, 40014 and 42001
            for official accounts and mini programs.
        timeout: Seconds to wait for a token; ``None`` for the provider's own limit.

    Raises:
        ConfigurationError: An argument is wrong; or, at a request, it goes over http where the account says https.
        ProviderClosed: The provider was closed.
        TokenError: At a request: there is no token at all. `TokenRefused` or `TokenUnavailable`.
    """

    def __init__(
        self,
        provider: TokenProvider,
        *,
        hosts: Iterable[str] = (),
        codes: Collection[int] | None = None,
        timeout: float | None = None,
    ) -> None:
        if not is_provider(provider):
            given = f"the class {provider.__name__}" if isinstance(provider, type) else f"a {type(provider).__name__}"
            raise ConfigurationError(f"provider must be a TokenProvider, not {given}.")
        if getattr(provider, "closed", False):
            raise ProviderClosed("This provider was closed. Make a new one for WeChatAuth().")
        self.provider: Final = provider
        self._scope = Scope(provider.account.base_url, hosts, platform=getattr(provider, "kind", None) == "component")
        self._codes: Collection[int] = codes_of(provider) if codes is None else checked_codes(codes) or ()
        self._timeout = checked_timeout(timeout)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.provider!r}>"

    def _wants(self, scheme: str, host: str, port: int | None, path: str, query: str) -> bool:
        """
        Tell whether a request is to get our token.

        Raises:
            ConfigurationError: It is to go over http where the account says https.
        """
        # A token in the URL is the caller's own, as one that is passed to a decorated function.
        if token_in(query) is not None:
            return False
        if self._scope.covers(scheme, host, port, path):
            return True
        self._scope.refuse_downgrade(scheme, host)
        return False

    def _refused(self, outcome: CallResult) -> bool:
        return is_rejection(outcome.errcode, self._codes)

    def _rule(self, token: str, first: CallResult, arguments: Arguments) -> Generator[Any, Any, CallResult]:
        return retry_rule(self.provider, token, first, codes=self._codes, rewind=arguments.rewind)


def signed(query: str, token: str, name: str = "access_token") -> str:
    """Add the token to a query, and leave the rest of it as it is written."""
    return f"{query}{'&' if query else ''}{name}={quote(token, safe='')}"


def token_in(query: str) -> str | None:
    """Get the token as it is written in a query, or ``None``."""
    found = _PARAMETER.search(query)
    return found and found[1]


def sent_token(url: str | None) -> str | None:
    """Get the token as it is written in a URL, or ``None``."""
    return token_in(urlsplit(url or "").query)


def signed_url(url: str | None, token: str, name: str = "access_token") -> str:
    """Put the token into a URL, in the place of one that is there, and leave the rest of it as it is written."""
    parts = urlsplit(url or "")
    return parts._replace(query=signed(without_token(parts.query, _NAMES), token, name)).geturl()


def unsigned_url(url: str | None) -> str:
    """Take the token out of a URL, and leave the rest of it as it is written."""
    parts = urlsplit(url or "")
    return parts._replace(query=without_token(parts.query, _NAMES)).geturl()


def without_token(query: str, names: Iterable[str] = ("access_token",)) -> str:
    """Take the token out of a query, and leave the rest of it as it is written."""
    starts = tuple(f"{name}=" for name in names)
    return "&".join(each for each in query.split("&") if not each.startswith(starts))
