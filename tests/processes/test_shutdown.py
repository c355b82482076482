"""The interpreter's end while a token is fetched, and fetches at the interpreter's end."""

from __future__ import annotations

import signal

import pytest

from wxmiddleware.simulator import WeChat

from .conftest import PATHS, StartProgram

STABLE = PATHS["stable"]
# A fetch of these programs may take a minute: a program that ends before does not wait for it.
PATIENT = "make_provider(source=StableToken(timeout=60.0), timeout=60.0)"
PROMPTLY = 10.0


@pytest.mark.parametrize(
    "ask",
    ["provider.peek()", "in_thread(provider.get_token)", "in_thread(lambda: asyncio.run(provider.aget_token()))"],
    ids=["nobody", "thread", "task"],
)
def test_exit_during_a_flight(program: StartProgram, wechat: WeChat, ask: str) -> None:
    """A program ends promptly and silently while a token is fetched, whoever waits for it."""
    hang = wechat.faults.add(STABLE, "hang")
    running = program(f"""
        import asyncio
        from support.prelude import *
        provider = {PATIENT}
        {ask}
        hear()
        """)
    assert wechat.wait_for(lambda: hang.hits == 1, timeout=20)

    running.say("end")

    assert running.end(PROMPTLY) == []
    assert wechat.in_progress == 1


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_loop_ends_during_a_flight(program: StartProgram, wechat: WeChat, backend: str) -> None:
    """An event loop whose task no longer wants the token ends at once, and so does the program."""
    wechat.faults.add(STABLE, "hang")
    running = program(f"""
        import anyio
        from support.prelude import *
        provider = {PATIENT}

        async def main():
            with anyio.move_on_after(0.3):
                await provider.aget_token()
            say("gave up")

        anyio.run(main, backend="{backend}")
        """)

    assert running.hear() == "gave up"
    assert running.end(PROMPTLY) == []


def test_interrupt(program: StartProgram, wechat: WeChat) -> None:
    """Ctrl-C ends a wait for the token at once."""
    hang = wechat.faults.add(STABLE, "hang")
    # A test runner in the background may have been started with SIGINT ignored.
    running = program(f"""
        import signal
        from support.prelude import *
        signal.signal(signal.SIGINT, signal.default_int_handler)
        provider = {PATIENT}
        try:
            provider.get_token()
        except KeyboardInterrupt:
            say("interrupted")
        """)
    assert wechat.wait_for(lambda: hang.hits == 1, timeout=20)

    running.signal(signal.SIGINT)

    assert running.end(PROMPTLY) == ["interrupted"]


def test_atexit(program: StartProgram, wechat: WeChat) -> None:
    """A function that runs at exit gets a token."""
    running = program("""
        import atexit
        from support.prelude import *
        provider = make_provider()
        atexit.register(lambda: say(provider.get_token()))
        """)

    assert running.end(PROMPTLY) == [wechat.current(slot="stable")]


def test_atexit_during_a_flight(program: StartProgram, wechat: WeChat) -> None:
    """A function that runs at exit gets the token that is being fetched already."""
    hang = wechat.faults.add(STABLE, "hang")
    running = program("""
        import atexit
        from support.prelude import *
        provider = make_provider()
        atexit.register(lambda: say(provider.get_token()))
        atexit.register(lambda: say("asks"))
        provider.peek()
        hear()
        """)
    assert wechat.wait_for(lambda: hang.hits == 1, timeout=20)
    running.say("end")

    assert running.hear() == "asks"
    hang.release()

    assert running.end(PROMPTLY) == [wechat.current(slot="stable")]
    assert wechat.fetches() == 1


# What is left of the interpreter then may not be enough for a request, so an error is an answer, too.
LAST_WORDS = """
    import os
    from support.prelude import *

    class Last:
        def __init__(self, ask, write=os.write):
            self.ask, self.write = ask, write

        def __del__(self):
            try:
                self.ask()
            except Exception:
                pass
            self.write(1, b"ended\\n")
"""


def test_del_at_shutdown(program: StartProgram) -> None:
    """An object that asks for the first token while the interpreter is taken apart does not hang."""
    running = program(
        LAST_WORDS
        + """
    last = Last(make_provider().get_token)
    """
    )

    assert running.end(PROMPTLY) == ["ended"]


def test_del_at_shutdown_with_a_token(program: StartProgram) -> None:
    """An object that asks for a token that is there while the interpreter is taken apart does not hang."""
    running = program(
        LAST_WORDS
        + """
    provider = make_provider()
    provider.get_token()
    last = Last(provider.get_token)
    """
    )

    assert running.end(PROMPTLY) == ["ended"]


def test_del_at_shutdown_near_the_end_of_a_token(program: StartProgram) -> None:
    """An object that meets a token near its end while the interpreter is taken apart does not hang."""
    running = program(
        LAST_WORDS
        + """
    now = [0.0]
    provider = make_provider(runtime=Runtime(clock=lambda: now[0]))
    provider.get_token()
    now[0] += 7100
    last = Last(provider.get_token)
    """
    )

    assert running.end(PROMPTLY) == ["ended"]


def test_del_at_shutdown_during_a_flight(program: StartProgram, wechat: WeChat) -> None:
    """An object that asks while the interpreter is taken apart waits for a lost flight no longer than it said."""
    hang = wechat.faults.add(STABLE, "hang")
    running = program(
        LAST_WORDS
        + """
    provider = make_provider()
    provider.peek()
    last = Last(lambda: provider.get_token(timeout=1))
    hear()
    """
    )
    assert wechat.wait_for(lambda: hang.hits == 1, timeout=20)

    running.say("end")

    assert running.end(PROMPTLY) == ["ended"]


def test_events_of_the_last_fetch(program: StartProgram) -> None:
    """A program that ends as soon as it has its token still hears what there is to be said of the fetch."""
    running = program("""
        import threading, time
        from support.prelude import *

        def slow(event):
            while threading.main_thread().is_alive():
                time.sleep(0.01)
            say(event.name)

        make_provider(observers=[slow]).get_token()
        """)

    assert "fetch_done" in running.end(PROMPTLY)


def test_observer_that_never_ends(program: StartProgram) -> None:
    """An observer that never comes to its end does not keep a program from its own."""
    running = program("""
        import threading
        from support.prelude import *
        make_provider(observers=[lambda event: threading.Event().wait()]).get_token()
        say("ended")
        """)

    assert running.end(PROMPTLY) == ["ended"]
