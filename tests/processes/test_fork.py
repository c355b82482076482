"""Forks of a process that has a token, that is fetching one, or whose locks are held."""

from __future__ import annotations

import pytest

from wxmiddleware.simulator import WeChat

from .conftest import PATHS, StartProgram

# Python's own fork runs the hooks; uWSGI forks in C and does not.
HOOKS = pytest.mark.parametrize("hook", ["True", "False"], ids=["hook", "no-hook"])


@HOOKS
def test_token_before_the_fork(program: StartProgram, wechat: WeChat, hook: str) -> None:
    """A token fetched before the fork serves every child."""
    running = program(f"""
        from support.prelude import *
        provider = make_provider()
        say(provider.get_token())
        for _ in range(3):
            say(forked(provider.get_token, hook={hook}))
        """)

    assert running.end() == [wechat.current(slot="stable")] * 4
    assert wechat.fetches() == 1


@HOOKS
@pytest.mark.parametrize("source", ["stable", "classic"])
def test_fork_during_a_flight(program: StartProgram, wechat: WeChat, source: str, hook: str) -> None:
    """A child forked while its parent fetches gets a token by itself, and does not wait for the parent's."""
    wechat.overlap = 300
    hang = wechat.faults.add(PATHS[source], "hang")
    running = program(
        f"""
        from support.prelude import *
        provider = make_provider()
        waiting = in_thread(lambda: say("parent", provider.get_token()))
        hear()
        # Less than a lease lasts: that of the parent means nothing here.
        say("child", forked(lambda: provider.get_token(timeout=5), hook={hook}))
        waiting.join()
        """,
        WX_TEST_SOURCE=source,
    )

    assert wechat.wait_for(lambda: hang.hits == 1, timeout=20)
    running.say("fork")
    child, token = running.hear().split(maxsplit=1)
    hang.release()

    assert child == "child"
    assert wechat.is_valid(token), token
    assert running.end() == [f"parent {wechat.current(slot=source)}"]
    assert wechat.fetches() == 2


@HOOKS
def test_fork_during_a_refresh_ahead(program: StartProgram, wechat: WeChat, hook: str) -> None:
    """A child forked while its parent renews a good token hands that out, and renews it later by itself."""
    running = program(f"""
        from support.prelude import *
        now = [0.0]
        provider = make_provider(runtime=Runtime(clock=lambda: now[0]))
        say(provider.get_token())
        hear()
        now[0] += 7100
        say(provider.get_token())
        hear()

        def child():
            before = provider.get_token()
            now[0] += 90
            provider.get_token()
            while provider.status().state == "ahead":
                pass
            return before + " " + provider.get_token()

        say(forked(child, hook={hook}))
        """)
    first = running.hear()
    hang = wechat.faults.add(PATHS["stable"], "hang")
    wechat.revoke()
    running.say("ahead")
    assert running.hear() == first
    assert wechat.wait_for(lambda: hang.hits == 1, timeout=20)
    running.say("fork")

    before, after = running.hear().split()
    assert before == first
    assert after == wechat.current(slot="stable")
    hang.release()
    assert running.end() == []


@HOOKS
@pytest.mark.parametrize("lock", ["provider._own._lock", "registry._lock", "store._lock"])
def test_fork_while_a_lock_is_held(program: StartProgram, wechat: WeChat, lock: str, hook: str) -> None:
    """A lock that another thread held at the fork is no trouble in the child."""
    running = program(f"""
        from support.prelude import *
        from wxmiddleware._engine.registry import registry
        from wxmiddleware.stores.memory import MemoryStore
        store = MemoryStore()
        provider = make_provider(store=store)
        held = threading.Event()

        def hold():
            with {lock}:
                held.set()
                threading.Event().wait()

        in_thread(hold)
        held.wait()
        say(forked(lambda: make_provider(store=store).get_token(), hook={hook}))
        """)

    assert running.end() == [wechat.current(slot="stable")]


def test_fork_in_a_herd(program: StartProgram, wechat: WeChat) -> None:
    """Children forked while 16 threads ask for tokens all get one, whatever lock was held in that moment."""
    running = program("""
        from support.prelude import *
        provider = make_provider(cache=False)
        provider.get_token()
        done = threading.Event()

        def ask():
            while not done.is_set():
                provider.get_token()

        threads = [in_thread(ask) for _ in range(16)]
        for _ in range(10):
            say(forked(lambda: provider.get_token(timeout=5)))
        done.set()
        for thread in threads:
            thread.join()
        """)

    assert set(running.end()) == {wechat.current(slot="stable")}


def test_first_fetch_imports_nothing(program: StartProgram) -> None:
    """A process forked in its very first fetch finds no module half imported, whose lock nobody would give back."""
    running = program("""
        from support.prelude import *
        provider = make_provider()
        before = set(sys.modules)
        provider.get_token()
        say("imported:", *sorted(set(sys.modules) - before))
        """)

    assert running.end() == ["imported:"]


@HOOKS
def test_grandchild(program: StartProgram, wechat: WeChat, hook: str) -> None:
    """A child's own child gets a token, too, although its parent was fetching when it was forked."""
    hang = wechat.faults.add(PATHS["stable"], "hang", times=2)
    running = program(f"""
        from support.prelude import *
        provider = make_provider()

        def child():
            in_thread(provider.get_token)
            say("child fetches")
            hear()
            return forked(lambda: provider.get_token(timeout=5), hook={hook})

        in_thread(provider.get_token)
        say("parent fetches")
        hear()
        say(forked(child, hook={hook}))
        """)

    for hits, fetches in enumerate(["parent fetches", "child fetches"], start=1):
        assert running.hear() == fetches
        assert wechat.wait_for(lambda: hang.hits == hits, timeout=20)  # noqa: B023 - called at once
        running.say("fork")

    assert running.hear() == wechat.current(slot="stable")
    running.end()


@HOOKS
def test_settle_after_a_fork(program: StartProgram, wechat: WeChat, hook: str) -> None:
    """A child whose threads freeze does not wait for a refresh of its parent's when its response is out."""
    hang = wechat.faults.add(PATHS["stable"], "hang")
    running = program(f"""
        import sys, types
        sys.modules["uwsgi"] = types.SimpleNamespace(opt={{}}, version_info=(2, 0, 21, 0, ""))  # threads off
        from support.prelude import *
        provider = make_provider(timeout=1000.0)
        in_thread(provider.get_token)
        hear()
        say(forked(provider.drain, hook={hook}))
        """)

    assert wechat.wait_for(lambda: hang.hits == 1, timeout=20)
    running.say("fork")

    assert running.end() == ["None"]


@pytest.mark.parametrize(("method", "fetches"), [("fork", 1), ("spawn", 4), ("forkserver", 4)])
def test_multiprocessing(program: StartProgram, wechat: WeChat, method: str, fetches: int) -> None:
    """Workers of multiprocessing get the parent's token: a forked one has it, another asks and is given the same."""
    running = program(f"""
        import multiprocessing
        from support.prelude import *
        provider = make_provider()

        def ask(_):
            return provider.get_token()

        def work(results):
            results.put(ask(None))

        if __name__ == "__main__":
            context = multiprocessing.get_context("{method}")
            say(provider.get_token())
            results = context.Queue()
            workers = [context.Process(target=work, args=(results,)) for _ in range(3)]
            for worker in workers:
                worker.start()
            for worker in workers:
                say(results.get(timeout=PATIENCE))
            for worker in workers:
                worker.join()
        """)

    assert running.end() == [wechat.current(slot="stable")] * 4
    assert wechat.minted() == 1
    assert wechat.fetches() == fetches


def test_two_children(program: StartProgram, wechat: WeChat) -> None:
    """Two forked children that come at once ask each for itself: the memory that they inherited is not shared."""
    running = program("""
        from support.prelude import *
        provider = make_provider()
        first = in_thread(lambda: say(forked(provider.get_token)))
        second = in_thread(lambda: say(forked(provider.get_token)))
        first.join()
        second.join()
        """)

    assert running.end() == [wechat.current(slot="stable")] * 2
    assert wechat.fetches() == 2
