"""What the two middlewares share: their paths, checked, and what is said of a request that is nearly the webhook's."""

from __future__ import annotations

import logging
from collections.abc import Collection

from wxmiddleware._middleware import check_path
from wxmiddleware._rules.paths import APPID, PathGuard, same_path
from wxmiddleware.exceptions import ConfigurationError

_logger = logging.getLogger("wxmiddleware")


def guard_of(path: object, exempt: object) -> PathGuard:
    """Check the path of a webhook and the paths of pages that are not guarded, or raise ConfigurationError."""
    if not isinstance(path, str):
        raise ConfigurationError("path must be the path of the webhook's URL, such as '/wechat'.")
    plain = check_path(path, "path")
    parts = plain.split("/")[1:]
    if parts and set(parts) == {APPID}:
        raise ConfigurationError(
            f"path={path!r} would be each page of the site. Give the webhook's URL a part with a name, as in "
            f"'/{APPID}/callback'."
        )
    pages = (exempt,) if isinstance(exempt, str) else exempt
    if not isinstance(pages, Collection) or isinstance(pages, (bytes, bytearray)):
        raise ConfigurationError(f"exempt= must be a path or a list of paths, not a {type(exempt).__name__}.")
    checked = [check_path(page, "exempt") for page in pages]
    for page in checked:
        if APPID in page.split("/"):
            raise ConfigurationError(f"The path {page!r} in exempt= must be the exact path of a page.")
        if same_path(page, plain):
            raise ConfigurationError(f"The path {page!r} in exempt= is the webhook's own: nothing would be checked.")
    return PathGuard(plain, checked)


def hint_for(path: str, own: str) -> str:
    """Say for the log what else a request may be for that is refused, if there is more before the webhook's path."""
    if path.rstrip("/") == own:
        return ""
    return f" If {path[:200]!r} is another page of yours, name it in exempt= of the WebhookMiddleware."


def tell_of_near(method: str, path: str, own: str) -> None:
    """Log that a request was refused for its path."""
    _logger.warning(
        "Refused %s %r: the path is not the webhook's %r, but a router may take it for that. If it is another page of "
        "yours, name it in exempt= of the WebhookMiddleware.",
        method[:20],
        path[:200],
        own or "/",
    )
