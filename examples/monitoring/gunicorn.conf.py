"""
Metrics under gunicorn's several processes: ``gunicorn --config gunicorn.conf.py app:app``.

Set ``PROMETHEUS_MULTIPROC_DIR`` to a directory that is empty at the start, before Python begins.
"""

from typing import Any

from prometheus_client.multiprocess import mark_process_dead


def child_exit(server: Any, worker: Any) -> None:
    """Take a worker's gauges away when it has ended; its counts stay."""
    mark_process_dead(worker.pid)
