"""How many workers this machine starts, as far as the environment says so, and whether they share a store."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING

from .findings import Finding, fail, ok, skip, warn

if TYPE_CHECKING:
    from .examination import Examination

# gunicorn and uvicorn read the first; uWSGI takes each of its options from the environment.
_NUMBERS = ("WEB_CONCURRENCY", "UWSGI_PROCESSES", "UWSGI_WORKERS", "GUNICORN_WORKERS")
_ARGUMENTS = "GUNICORN_CMD_ARGS"
_MANY = 2


def look_at_workers(examination: Examination) -> Finding:
    """See whether there are several workers, each of which would keep a token of its own."""
    return judge_workers(
        workers_of(os.environ), shared=bool(examination.url), classic=examination.source.revokes_previous
    )


def workers_of(environ: Mapping[str, str]) -> tuple[str, int] | None:
    """Find which variable says how many workers there are; ``None`` if none does."""
    for name in _NUMBERS:
        if re.fullmatch(r"[0-9]{1,4}", environ.get(name, "").strip()):
            return name, int(environ[name])
    try:
        words = shlex.split(environ.get(_ARGUMENTS, ""))
    except ValueError:
        return None
    text = " ".join(words)
    found = re.search(r"(?:^| )(?:-w ?|--workers[= ])([0-9]{1,4})(?: |$)", text)
    return None if found is None else (_ARGUMENTS, int(found[1]))


def judge_workers(workers: tuple[str, int] | None, *, shared: bool, classic: bool) -> Finding:
    """
    Judge a number of workers.

    Args:
        workers: The variable and the number.
        shared: Whether they share a store.
        classic: Whether each fetch ends the token before.
    """
    if workers is None:
        return ok("workers.shared") if shared else skip("workers.unknown")
    name, count = workers
    data = {"workers": count}
    if count < _MANY or shared:
        return ok("workers.ok", name=name, count=count, data=data)
    if classic:
        return fail("workers.classic", name=name, count=count, data=data)
    return warn("workers.alone", name=name, count=count, data=data)
