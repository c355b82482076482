"""Shows the story: live where there is a terminal (and rich), in plain lines elsewhere."""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Protocol, TextIO

from wxmiddleware._runtime.language import columns

from . import _words as words
from ._story import END, OLD_AGE, OUTAGE, THEFT, Check, Moment, Story
from ._traffic import SLOT, Tally
from ._words import padded, say

if TYPE_CHECKING:
    from rich.console import Console, Group
    from rich.panel import Panel
    from rich.text import Text

_COLOURS = {"act": "bold cyan", "bad": "bold red", "good": "green", "plain": ""}
_MARKS = ((OLD_AGE, words.MARK_OLD_AGE), (THEFT, words.MARK_THEFT), (OUTAGE[0], words.MARK_OUTAGE))


class Screen(Protocol):
    """Where the story is shown."""

    def say(self, text: str) -> None:
        """Say something before or after the story."""

    def playing(self, story: Story) -> contextlib.AbstractContextManager[None]:
        """Show the story while the block runs."""

    def show(self) -> None:
        """Show how it stands now."""

    def close(self, story: Story, checks: Sequence[Check]) -> None:
        """Show what came of it."""


def screen_for(out: TextIO) -> Screen:
    """Choose the screen that suits `out`."""
    if not out.isatty() or importlib.util.find_spec("rich") is None:
        return PlainScreen(out)
    from rich.console import Console

    console = Console(file=out, highlight=False)
    # The pictures need a terminal that can draw them, and some room.
    can = console.is_terminal and not console.is_dumb_terminal and console.encoding.startswith("utf")
    return RichScreen(console) if can and console.width >= 80 and console.height >= 24 else PlainScreen(out)


def strip(tally: Tally, width: int) -> str:
    """Draw the requests over time: ``#`` good, ``x`` some were not, a dot for none."""
    slots = int(END / SLOT)
    drawn = []
    for column in range(width):
        some = tally.slots[column * slots // width : max(column * slots // width + 1, (column + 1) * slots // width)]
        good, bad = (sum(slot[kind] for slot in some) for kind in (0, 1))
        drawn.append("x" if bad else "#" if good else ".")
    return "".join(drawn)


def marks(width: int) -> str:
    """Write above the strips what happened when."""
    line = ""
    for at, what in _MARKS:
        line = padded(line, int(at / END * width)) + f"v {say(what)} "
    while columns(line) > width:
        line = line[:-1]
    return padded(line, width)


class PlainScreen:
    """One line for each thing that happens; in ASCII, if it is in English."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._shown = 0
        self._story: Story | None = None
        self._next_count = 5.0

    def say(self, text: str) -> None:
        """Print a line."""
        print(text, file=self._out, flush=True)

    @contextlib.contextmanager
    def playing(self, story: Story) -> Iterator[None]:
        """Print what happens while the block runs."""
        self._story = story
        yield

    def show(self) -> None:
        """Print what is new, and every five seconds how the users fare."""
        story = self._story
        assert story is not None
        for moment in story.timeline[self._shown :]:
            self._shown += 1
            self.say(_line(moment))
        if story.now >= self._next_count:
            self._next_count += 5.0
            counts = [
                say(words.COUNT, name=t.name, done=t.done, errors=t.errors) for t in (*story.tallies, story.rival_tally)
            ]
            self.say(f"{story.now:5.1f} s  ... {'; '.join(counts)}")

    def close(self, story: Story, checks: Sequence[Check]) -> None:
        """Print the strips and the checks."""
        width = max(columns(t.name) for t in (*story.tallies, story.rival_tally))
        self.say(f"\n{'':{width}}  {marks(60)}".rstrip())
        for tally in (*story.tallies, story.rival_tally):
            self.say(f"{padded(tally.name, width)}  {strip(tally, 60)}  {say(words.ERRORS_OF, errors=tally.errors)}")
        self.say("")
        for check in checks:
            self.say(f"{'ok  ' if check.holds else 'FAIL'}  {check.text}")
        self.say(f"\n{story.comparison()}")


def _line(moment: Moment) -> str:
    if moment.who:
        return f"{moment.at:5.1f} s  {moment.who:<10} {moment.text}"
    return f"{moment.at:5.1f} s  == {moment.text}"


class RichScreen:
    """A picture that is drawn anew several times a second."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._story: Story | None = None
        self._refresh = self._nothing

    def _nothing(self) -> None:
        pass

    def say(self, text: str) -> None:
        """Print a line."""
        self._console.print(text, style="dim", markup=False)

    @contextlib.contextmanager
    def playing(self, story: Story) -> Iterator[None]:
        """Draw the story while the block runs."""
        from rich.live import Live

        self._story = story
        with Live(console=self._console, auto_refresh=False, transient=True, get_renderable=self._picture) as live:
            self._refresh = live.refresh
            try:
                yield
            finally:
                self._refresh = self._nothing

    def show(self) -> None:
        """Draw it as it is now."""
        self._refresh()

    def close(self, story: Story, checks: Sequence[Check]) -> None:
        """Draw the users' half minute once more, and the checks."""
        from rich.panel import Panel
        from rich.table import Table
        from rich.text import Text

        lines = Table.grid(padding=(0, 1))
        for check in checks:
            lines.add_row(Text("✓", "bold green") if check.holds else Text("✗", "bold red"), Text(check.text))
        lines.add_row("", "")
        lines.add_row(Text("·", "dim"), Text(story.comparison(), "dim"))
        good = all(check.holds for check in checks)
        self._console.print(self._users(story))
        self._console.print(
            Panel(lines, title=say(words.CAME), title_align="left", border_style="green" if good else "red")
        )

    def _picture(self) -> Group:
        from rich.console import Group

        story = self._story
        assert story is not None
        return Group(self._head(story), self._users(story), self._token(story), self._timeline(story))

    def _head(self, story: Story) -> Panel:
        from rich.panel import Panel
        from rich.table import Table
        from rich.text import Text

        mood = next((m.mood for m in reversed(story.timeline) if not m.who), "act")
        clock = say(words.CLOCK, now=f"{min(story.now, END):2.0f}", end=f"{END:.0f}")
        row = Table.grid(expand=True, padding=(0, 1))
        row.add_column(ratio=1)
        row.add_column(justify="right", no_wrap=True)
        row.add_row(Text(story.headline, _COLOURS[mood]), Text(clock, "dim"))
        return Panel(row, title=f"[bold]{say(words.TITLE)}[/]", title_align="left", border_style="cyan", height=4)

    def _users(self, story: Story) -> Panel:
        from rich.panel import Panel
        from rich.table import Table
        from rich.text import Text

        width = max(20, min(60, self._console.width - 54))
        table = Table(box=None, expand=True, header_style="dim", padding=(0, 1))
        table.add_column("")
        table.add_column(marks(width).replace("v ", "▾ "), no_wrap=True, header_style="yellow")
        for title in (words.REQUESTS_HEAD, words.HEALED_HEAD, words.ERRORS_HEAD):
            table.add_column(say(title), justify="right")
        for tally in (*story.tallies, story.rival_tally):
            name = Text(tally.name, "bold").append(f"\n{tally.title}", "dim")
            healed = Text(str(tally.healed), "bold green" if tally.healed else "dim")
            table.add_row(
                name,
                _drawn(tally, width, story.now),
                str(tally.done + tally.errors),
                Text(say(words.NEVER), "dim") if tally is story.rival_tally else healed,
                Text(str(tally.errors), "bold red" if tally.errors else "bold green"),
            )
        return Panel(table, title=say(words.SEEN), title_align="left", border_style="dim")

    def _token(self, story: Story) -> Panel:
        from rich.panel import Panel
        from rich.table import Table
        from rich.text import Text

        grid = Table.grid(expand=True, padding=(0, 1))
        grid.add_column(ratio=3)
        grid.add_column(ratio=2, justify="right")
        state = Text(f"✗ {say(words.DOWN)}", "bold red") if story.down else Text(f"✓ {say(words.UP)}", "green")
        counts = Text(say(words.FETCHED, answered=story.answered, failed=story.failed), "dim")
        token = story.token()
        if token is None:
            grid.add_row(Text(say(words.NONE_YET), "dim"), state)
            grid.add_row("", counts)
        else:
            grid.add_row(Text(say(words.NUMBER, number=token.number, whose=token.whose)), state)
            grid.add_row(_bar(token.left, token.life, max(20, self._console.width // 2 - 14)), counts)
        return Panel(grid, title=say(words.TOKEN), title_align="left", border_style="dim")

    def _timeline(self, story: Story) -> Panel:
        from rich.panel import Panel
        from rich.text import Text

        room = max(3, self._console.height - 24)
        text = Text(no_wrap=True, overflow="ellipsis")
        for moment in story.timeline[-room:]:
            text.append(f"{moment.at:5.1f} s  ", "dim")
            if moment.who:
                text.append(f"{moment.who:<10} ", "bold")
            text.append(f"{moment.text}\n", _COLOURS[moment.mood])
        text.rstrip()
        return Panel(text, title=say(words.HAPPENS), title_align="left", border_style="dim", height=room + 2)


def _drawn(tally: Tally, width: int, now: float) -> Text:
    from rich.text import Text

    text = Text()
    reached = int(now / END * width)
    for column, kind in enumerate(strip(tally, width)):
        if kind == ".":
            text.append("╴" if column >= reached else " ", "bright_black")
        else:
            text.append(*(("▆", "green") if kind == "#" else ("✕", "bold red")))
    return text


def _bar(left: float, life: float, width: int) -> Text:
    from rich.text import Text

    full = round(width * min(1.0, left / life))
    colour = "green" if left > life / 3 else "yellow" if left > life / 10 else "red"
    rest = f" {say(words.LEFT, left=f'{left:4.1f}')}"
    return Text("━" * full, colour).append("━" * (width - full), "bright_black").append(rest, "dim")
