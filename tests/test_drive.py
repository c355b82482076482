"""What drives a generator that does no I/O, in a thread and in a task."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Generator
from contextlib import suppress
from typing import Any

import pytest

from wxmiddleware._runtime.drive import adrive, drive

TOKEN = "66_of-this-test"

Drive = Callable[[Generator[Any, Any, Any], Callable[[Any], Any]], Any]


class Trouble(Exception):
    """What a step raises."""


@pytest.fixture(params=["thread", "task"])
def run(request: pytest.FixtureRequest) -> Drive:
    """`drive`; and `adrive`, which nothing here suspends."""
    if request.param == "thread":
        return drive

    def in_a_task(flow: Generator[Any, Any, Any], perform: Callable[[Any], Any]) -> Any:
        async def performed(step: Any) -> Any:
            return perform(step)

        try:
            adrive(flow, performed).send(None)
        except StopIteration as end:
            return end.value
        raise AssertionError("It was suspended.")

    return in_a_task


def fail(step: Any) -> Any:
    raise Trouble(step)


def test_replies(run: Drive) -> None:
    """A flow is sent what its steps have come to, and its value is returned."""

    def flow() -> Generator[int, int, list[int]]:
        return [(yield 1), (yield 2)]

    assert [10, 20] == run(flow(), lambda step: step * 10)


def test_errors(run: Drive) -> None:
    """What a step raises is raised where the flow has yielded it."""

    def flow() -> Generator[str, Any, str]:
        try:
            yield "one"
        except Trouble as error:
            return f"{error} failed"
        return "no error"

    assert run(flow(), fail) == "one failed"


def test_errors_are_let_go(run: Drive) -> None:
    """An error that the flow does not catch is in no cycle with the frames that it has passed."""
    kept: list[weakref.ref[Trouble]] = []

    def fails(step: Any) -> Any:
        error = Trouble(step)
        kept.append(weakref.ref(error))
        try:
            raise error
        finally:
            del error

    def flow() -> Generator[str, Any, None]:
        yield "one"

    gc.disable()
    try:
        with suppress(Trouble):
            run(flow(), fails)
        assert kept[0]() is None
    finally:
        gc.enable()


def test_tokens_do_not_show(run: Drive) -> None:
    """When a flow fails that was sent a token, no local variable of its driver shows it."""

    def flow() -> Generator[str, str, None]:
        yield "one"
        raise Trouble

    with pytest.raises(Trouble) as caught:
        run(flow(), lambda _: TOKEN)

    drivers = [each.frame.f_locals for each in caught.traceback if each.name.endswith("drive")]
    assert drivers
    assert TOKEN not in repr(drivers)
