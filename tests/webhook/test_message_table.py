"""The page lists the classes as the code has them. What each of them reads is tested in ``test_messages.py``."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Iterator
from pathlib import Path

import pytest

from wxmiddleware import webhook
from wxmiddleware.webhook import messages
from wxmiddleware.webhook.messages import Event, Message, Notice

PAGE = Path(__file__).parents[2] / "docs" / "webhooks.md"
NAMED = [(field, name, kind) for field, named in messages._CLASSES.items() for name, kind in named.items()]
BASES = {"MsgType": Message, "Event": Event, "InfoType": Notice}


def rows() -> Iterator[str]:
    for field, base in BASES.items():
        yield f"| `{field}` | class | attributes |"
        yield "|---|---|---|"
        kinds: dict[type[Message], list[str]] = {}
        for _, name, kind in (each for each in NAMED if each[0] == field):
            kinds.setdefault(kind, []).append(f"`{name}`")
        for kind, names in kinds.items():
            known = {each.name for each in dataclasses.fields(base)}
            own = [each.name for each in dataclasses.fields(kind) if each.name not in known]
            own += [name for name, value in inspect.getmembers(kind) if isinstance(value, property)]
            yield f"| {', '.join(names)} | `{kind.__name__}` | {', '.join(f'`{each}`' for each in own) or 'none'} |"
        yield ""


def test_table() -> None:
    """The page's tables are the code's."""
    table = "\n".join(rows())

    assert table in PAGE.read_text(encoding="utf-8"), f"docs/webhooks.md has to have:\n{table}"


@pytest.mark.parametrize(("field", "name", "kind"), NAMED, ids=[f"{field}-{name}" for field, name, _ in NAMED])
def test_named(field: str, name: str, kind: type[Message]) -> None:
    """A name in the table makes its class, which is public and has slots only."""
    got = messages.message_from({field: name} if field != "Event" else {"MsgType": "event", "Event": name})

    assert kind is type(got)
    assert kind is getattr(webhook, kind.__name__)
    assert issubclass(kind, BASES[field])
    assert not hasattr(got, "__dict__")


def test_all_exported() -> None:
    """Each class of messages is public in both places."""
    classes = {name for name in messages.__all__ if inspect.isclass(getattr(messages, name))}

    assert classes <= set(webhook.__all__)
    assert {kind.__name__ for *_, kind in NAMED} | {"Message", "Event", "Notice"} == classes
