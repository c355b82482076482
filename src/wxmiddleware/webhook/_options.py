"""What the two middlewares share about their arguments."""

from __future__ import annotations

from wxmiddleware._selection import check_selection
from wxmiddleware.exceptions import ConfigurationError


def check_path(path: object) -> str:
    """Return the path of a webhook without a slash at its end, or raise ConfigurationError."""
    if not isinstance(path, str):
        raise ConfigurationError("path must be the path of the webhook's URL, such as '/wechat'.")
    prefixes = check_selection(path, None)
    assert prefixes is not None  # there is a path
    return prefixes[0]
