"""Whether threads run when nobody waits for them."""

from __future__ import annotations

import sys
from functools import cache

__all__ = ["threads_freeze"]


@cache
def threads_freeze() -> bool:
    """
    Whether background threads may lie frozen between requests here: in uWSGI, unless it was told to run threads.

    2.0.30 and later run them by default. 2.0.21 does not, and of those between we don't know; there a "yes" costs
    little: one request waits for a refresh after its body is out.
    """
    uwsgi = sys.modules.get("uwsgi")
    if uwsgi is None:
        return False
    options = getattr(uwsgi, "opt", {})
    asked_for = any(options.get(name) or options.get(name.encode()) for name in ("enable-threads", "threads"))
    return not asked_for and tuple(getattr(uwsgi, "version_info", (2, 0, 0)))[:3] < (2, 0, 30)
