"""
A valid WeChat access token in every request, and at most one fetch to get it.

The middlewares are in `wxmiddleware.wsgi` and `wxmiddleware.asgi`, conveniences in `wxmiddleware.flask`, `.starlette`
and `.fastapi`, the auth classes of HTTP clients in `wxmiddleware.requests`, `.httpx` and `.httpx2`, those of SDKs in
`wxmiddleware.contrib`, the stores in `wxmiddleware.stores`, the endpoints in `wxmiddleware.sources`, and a WeChat for
your own machine in `wxmiddleware.simulator`.
"""

from ._engine.events import EventType, Observer, TokenEvent, observe, unobserve
from ._engine.measures import Measure, Measurement, Meter
from ._engine.provider import TokenProvider
from ._engine.token import Status
from ._outbound.errors import araise_for_errcode, raise_for_errcode
from ._rules.models import Account, WeComAccount
from ._runtime.runtime import Runtime
from .context import acurrent_token, current_provider, current_token, use_provider
from .decorators import with_token
from .exceptions import (
    APIError,
    ConfigurationError,
    NoProvider,
    NotVerified,
    ProviderClosed,
    StoreError,
    TokenError,
    TokenRefused,
    TokenUnavailable,
    WxMiddlewareError,
)
from .pool import ProviderPool
from .sources import ClassicToken, StableToken, WeComToken

__all__ = [
    "APIError",
    "Account",
    "ClassicToken",
    "ConfigurationError",
    "EventType",
    "Measure",
    "Measurement",
    "Meter",
    "NoProvider",
    "NotVerified",
    "Observer",
    "ProviderClosed",
    "ProviderPool",
    "Runtime",
    "StableToken",
    "Status",
    "StoreError",
    "TokenError",
    "TokenEvent",
    "TokenProvider",
    "TokenRefused",
    "TokenUnavailable",
    "WeComAccount",
    "WeComToken",
    "WxMiddlewareError",
    "acurrent_token",
    "araise_for_errcode",
    "current_provider",
    "current_token",
    "observe",
    "raise_for_errcode",
    "unobserve",
    "use_provider",
    "with_token",
]
