"""
Keep this package's own requests out of traces.

A token request carries the AppSecret, on some endpoints in the URL. OpenTelemetry's instrumentation of urllib3 and
requests and Sentry's of `http.client` write the URL of each request into spans and breadcrumbs, whoever sends it. So
the requests that this package sends by itself run under OpenTelemetry's suppression, and under a client of Sentry's
that records nothing. A package that is not loaded costs nothing and is not imported.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

__all__ = ["untraced"]


@contextmanager
def untraced() -> Iterator[None]:
    """Neither OpenTelemetry nor Sentry records the requests that are sent here. Nor does either break them."""
    with ExitStack() as stack:
        for package, hide in _TRACERS:
            module = sys.modules.get(package)
            if module is not None:
                with suppress(Exception):  # of another version, or only half imported
                    hide(module, stack)
        yield


def _hide_from_opentelemetry(context: Any, stack: ExitStack) -> None:
    # The first two have been the keys since 2023, the last one before that.
    names = ("_SUPPRESS_INSTRUMENTATION_KEY", "_SUPPRESS_HTTP_INSTRUMENTATION_KEY")
    keys = [key for key in (getattr(context, name, None) for name in names) if key]
    current = context.get_current()
    for key in (*keys, "suppress_instrumentation"):
        current = context.set_value(key, True, current)
    stack.callback(context.detach, context.attach(current))


def _hide_from_sentry(sentry_sdk: Any, stack: ExitStack) -> None:
    if not hasattr(sentry_sdk, "new_scope"):  # 1.x: a hub without a client
        stack.enter_context(sentry_sdk.Hub(None))
    elif sentry_sdk.get_client().is_active():
        stack.enter_context(sentry_sdk.new_scope()).set_client(_silent_client(sentry_sdk))


def _silent_client(sentry_sdk: Any) -> Any:
    """Get a client without integrations that counts as active: an inactive one is passed over for the next."""
    client = sentry_sdk.client.BaseClient()
    client.is_active = _yes
    return client


def _yes() -> bool:
    return True


_TRACERS: tuple[tuple[str, Callable[[Any, ExitStack], None]], ...] = (
    ("opentelemetry.context", _hide_from_opentelemetry),
    ("sentry_sdk", _hide_from_sentry),
)
