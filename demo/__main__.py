"""``python -m demo``, which is what ``make demo`` runs."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from wxmiddleware.exceptions import ConfigurationError, StoreError

_FROM_ENV = "WXM_STORE"
_EPILOG = """\
exit codes:
  0    every user was served, and everything came as it should
  1    it did not go as it should
  2    a wrong option, or something that it needs is missing
  4    the store cannot be reached
  130  ended by Ctrl-C
"""


def main(argv: Sequence[str] | None = None) -> int:
    """
    Play the demo.

    Args:
        argv: What follows the program's name; by default the process's own arguments.

    Returns:
        The exit code.
    """
    parser = argparse.ArgumentParser(
        prog="make demo",
        usage="make demo [ARGS='[--examples DIR] [--store [URL]] [--workers N]']",
        description="Run both example apps under real servers against a simulated WeChat, and make trouble.\n"
        "Ends with 0 if no user saw an error. Needs no account and no network.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--examples", type=Path, metavar="DIR", help="where the example apps are; by default in the source tree"
    )
    parser.add_argument(
        "--store",
        metavar="URL",
        nargs="?",
        const="",
        help="the store that the processes share; by default a JSON file of the demo's own. Without URL the one in "
        f"{_FROM_ENV}: `ps` shows a password that is in a URL",
    )
    parser.add_argument("--workers", type=_workers, default=4, metavar="N", help="gunicorn's workers, 1 to 16 (4)")
    try:
        options = parser.parse_args(argv)
        # Not from the environment alone: that may be a store with work to do.
        store = options.store or os.environ.get(_FROM_ENV) if options.store is not None else None
        if options.store is not None and not store:
            raise ConfigurationError(f"--store has no URL. Give it one, or set the environment variable {_FROM_ENV}.")
        return _play(options, store)
    except SystemExit as end:  # argparse has said what there is to say
        return end.code if isinstance(end.code, int) else 2
    except ConfigurationError as error:
        return _fail(error, 2)
    except StoreError as error:
        return _fail(error, 4)
    except KeyboardInterrupt:
        return 130


def _play(options: argparse.Namespace, store: str | None) -> int:
    try:
        from ._run import run
    except ImportError as error:
        raise ConfigurationError(f"The demo needs {error.name}; `make demo` installs what it needs.") from None
    return run(options.examples, workers=options.workers, store=store)


def _fail(error: Exception, code: int) -> int:
    print(f"demo: {error}", file=sys.stderr)
    return code


def _workers(text: str) -> int:
    if text.isascii() and text.isdigit() and 1 <= int(text) <= 16:
        return int(text)
    raise argparse.ArgumentTypeError("it is a number from 1 to 16")


if __name__ == "__main__":
    sys.exit(main())
