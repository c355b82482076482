"""
How a token is asked for.

`StableToken` is WeChat's own recommendation and the default, also where other services use the classic endpoint;
`ClassicToken` is for systems that must share one token of that endpoint.
`WeComToken` asks for that of an app in WeCom, `JsapiTicket` and its like for the tickets of pages in WeChat's browser.
`FileToken`, `RemoteToken` and `CallableToken` take a token that somebody else owns. `Endpoint` is for sources of yours.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from .._rules.models import Account, Cause, Failure, Grant, WeComAccount
from .classic import ClassicToken
from .component import AuthorizerToken, ComponentToken
from .endpoint import Endpoint, ErrorTable, Form
from .stable import StableToken
from .tickets import AgentTicket, CardTicket, JsapiTicket
from .wecom import WeComToken

if TYPE_CHECKING:
    from .file import FileToken
    from .function import CallableToken
    from .remote import RemoteToken

__all__ = [
    "AgentTicket",
    "AuthorizerToken",
    "CallableToken",
    "CardTicket",
    "Cause",
    "ClassicToken",
    "ComponentToken",
    "Endpoint",
    "ErrorTable",
    "Failure",
    "FileToken",
    "Form",
    "Grant",
    "JsapiTicket",
    "RemoteToken",
    "StableToken",
    "TokenSource",
    "WeComToken",
    "default_source",
]


@runtime_checkable
class TokenSource(Protocol):
    """
    An endpoint that issues tokens.

    Attributes:
        kind: A short word for keys and logs, such as ``stable``.
        timeout: Seconds that one `fetch` may take in all.
        refresh_ahead: Seconds before the end of a token's life in which it is renewed.
        revokes_previous: Whether every successful fetch revokes the token before.
        can_force: Whether ``fetch(force=True)`` brings another token than the current one.

    A source may say more:

    - ``retryable_errcodes``: the errcodes of API calls that a newer token cures, if not 40001, 40014 and 42001;
    - ``check(account)``: raise `ConfigurationError` if this is not one of its accounts;
    - ``rotates``: true if each token is fetched with something that came with the one before (refresh token rotation).
      `fetch` is then also given ``refresh=``, the record's, and nothing is fetched while the store cannot be reached;
    - ``cheap``: true if somebody else owns the token, so that asking for it costs nothing and ends no token. A rejected
      token is then asked for again after a second and not after 30, however often; the back-off after a failure is 5 s
      at most; nothing counts for the day's budget; and that there is still the same token is no event;
    - ``needs_secret``: false if it fetches for an account without a secret, too;
    - ``refresh_after``: seconds after which a token is asked for again though its end is far, unless the provider says;
    - ``asks``: whom it asks, in a word or two for messages, if not WeChat;
    - ``wait_for_another(token, seconds)``: wait for at most so many seconds until there is another token than this;
      true if there is, false if not, ``None`` if one cannot wait there. `keep` calls it in place of a pause, in a
      thread of its own;
    - ``rejections_are_advisory``: true if it is not WeChat's APIs that reject a token, but somebody who reports it,
      such as a user's browser. A report leads to a fetch like a rejection; if that brings no other token, the reported
      one stays in use until its end, and is not renewed before its time.
    """

    @property
    def kind(self) -> str: ...
    @property
    def timeout(self) -> float: ...
    @property
    def refresh_ahead(self) -> float: ...
    @property
    def revokes_previous(self) -> bool: ...
    @property
    def can_force(self) -> bool: ...

    def fetch(self, account: Account, *, force: bool = False) -> Grant | Failure:
        """
        Ask for a token once, with deadlines of its own. Runs in a thread; never called twice at a time for an account.

        What went wrong is returned, not raised, and has nothing secret in it.
        """


def default_source(account: Account) -> TokenSource:
    """The endpoint to ask for the token of such an account, unless its user has another wish."""
    return WeComToken() if isinstance(account, WeComAccount) else StableToken()


# Imported when one is used: most programs have a secret, and ask WeChat.
_ELSEWHERE = {"CallableToken": "function", "FileToken": "file", "RemoteToken": "remote"}


def __getattr__(name: str) -> Any:
    if name in _ELSEWHERE:
        return getattr(import_module(f".{_ELSEWHERE[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
