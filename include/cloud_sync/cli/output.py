"""What commands show: a table on a terminal, tab-separated cells in a pipe, JSON on request.

What a command found goes to stdout; what it is doing, and errors, to stderr.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Literal

from cloud_sync.numbers import counted

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.measure import Measurement
    from rich.text import Text

ROWS_ON_A_TERMINAL: Final = 100
"""More rows than a person reads; in a pipe there are all."""

STYLES: Final = {
    "error": "bold red",
    "warning": "yellow",
    "note": "cyan",
    "added": "green",
    "removed": "red",
    "changed": "yellow",
    "register": "green",
    "retry": "green",
    "unlink": "red",
    "hold": "yellow",
    "report": "yellow",
}
"""Colours of the words that a table's first column can have."""

Cell = str | int | tuple[str, ...]
"""A text, a number, or several texts: one above the other on a terminal, cells of their own in a pipe."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table.

    Attributes:
        name: Its heading; of several texts with ` / ` between them.
        kind: How cells are shown on a terminal: numbers as `count` or `bytes`; an object's `key` cut on the
            left where it is too long, because keys differ at their ends; a `time` (ISO 8601 with its offset)
            in UTC, without seconds.
    """

    name: str
    kind: Literal["text", "count", "bytes", "key", "time"] = "text"


def printable(text: str) -> str:
    r"""Return a text that does nothing to a terminal: control characters as `\x1b`, and so on."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def say(message: str, *, style: str = "") -> None:
    """Write a line for people to stderr, as long as it is."""
    from rich.text import Text

    lines = "\n".join(printable(line) for line in message.split("\n"))
    _console(stderr=True).print(Text(lines, style=style), soft_wrap=True, highlight=False)


def show_json(value: Any) -> None:
    """Write a document for programs to stdout."""
    _write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def show_table(
    columns: Sequence[Column],
    rows: Sequence[Sequence[Cell]],
    *,
    title: str = "",
    most: int = ROWS_ON_A_TERMINAL,
    rest: Callable[[Sequence[Sequence[Cell]]], Sequence[Cell]] | None = None,
) -> None:
    """Write rows to stdout.

    Args:
        columns: Their columns.
        rows: All rows.
        title: Stands above the table; in a pipe each row begins with it, if there is one.
        most: So many rows on a terminal.
        rest: Makes one row of those that are left out there; None has their number said on stderr.
    """
    # Not rich's own answer, which FORCE_COLOR changes: a program that reads would get a table.
    if not sys.stdout.isatty():
        first = [title] if title else []
        _write("".join("\t".join([*first, *_cells(row)]) + "\n" for row in rows))
        return
    from rich import box
    from rich.table import Table
    from rich.text import Text

    heading = Text(printable(title), "bold") if title else None
    table = Table(box=box.SIMPLE, title=heading, title_justify="left", pad_edge=False)
    for column in columns:
        table.add_column(Text(column.name), justify="right" if column.kind in {"count", "bytes"} else "left")
    left_out = rows[most:]
    for row in [*rows[:most], *([rest(left_out)] if rest and left_out else [])]:
        table.add_row(*(_shown(cell, column) for cell, column in zip(row, columns, strict=True)))
    _console().print(table)
    if left_out and not rest:
        say(f"{counted(len(left_out), 'more row')}: send the output to a file or a pipe to see all.")


@contextmanager
def counting(what: str) -> Iterator[Callable[[int], None]]:
    """Show on a terminal how many objects there are so far; give the function that adds some."""
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        TextColumn("{task.completed:,.0f} objects", style="bold"),
        TimeElapsedColumn(),
    )
    is_shown, console = sys.stderr.isatty(), _console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not is_shown) as progress:
        task = progress.add_task(printable(what), total=None)
        yield lambda objects: progress.update(task, advance=objects)


def _console(*, stderr: bool = False) -> Console:
    from rich.console import Console

    class _Console(Console):
        def on_broken_pipe(self) -> None:
            raise  # noqa: PLE0704 (rich calls this inside its handler; ours knows what to do)

    return _Console(stderr=stderr, highlight=False, emoji=False, markup=False)


def _write(text: str) -> None:
    sys.stdout.write(text)


def _cells(row: Sequence[Cell]) -> Iterator[str]:
    for cell in row:
        for part in cell if isinstance(cell, tuple) else (str(cell),):
            yield printable(part)


def _shown(cell: Cell, column: Column) -> RenderableType:
    from rich.filesize import decimal
    from rich.text import Text

    if isinstance(cell, int):
        return Text(decimal(cell) if column.kind == "bytes" else f"{cell:,}")
    if isinstance(cell, str):
        if column.kind == "key":
            return _CutOnTheLeft(printable(cell))
        return Text(_minute(cell) if column.kind == "time" else printable(cell))
    *first, last = [part for part in cell if part] or [""]
    texts = [Text(printable(part), STYLES.get(part, "")) for part in first]
    return Text("\n").join([*texts, Text(printable(last), "dim" if first else "")])


def _minute(moment: str) -> str:
    return datetime.fromisoformat(moment).astimezone(UTC).strftime("%Y-%m-%d %H:%MZ")


@dataclass(frozen=True, slots=True)
class _CutOnTheLeft:
    """A text on one line of a table; rich itself cuts on the right only."""

    text: str

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        from rich.cells import cell_len
        from rich.measure import Measurement

        return Measurement(1, max(cell_len(self.text), 1)).with_maximum(options.max_width)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        from rich.cells import cell_len
        from rich.text import Text

        room, end = options.max_width, self.text
        if cell_len(end) > room:
            end = end[len(end) - room + 1 :]
            while cell_len(end) > room - 1:
                end = end[1:]
            end = f"…{end}"
        yield Text(end, no_wrap=True)
