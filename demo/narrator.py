"""Tells people what happens: live on a terminal, line by line in a pipe or a CI log."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from demo.airflow_api import TaskInstance

PIPE_WIDTH = 120
STATE_STYLES = {"success": "green", "failed": "red", "running": "cyan", "deferred": "magenta"}
QUIET_STATES = frozenset({None, "scheduled", "queued", "restarting"})


class Narrator:
    """Prints with the seconds since it began.

    Args:
        console: Where to; by default standard output.
    """

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(highlight=False)
        if not self.console.is_terminal:
            self.console.width = max(self.console.width, PIPE_WIDTH)
        self._began = time.monotonic()
        self._live: Live | None = None
        self._told: dict[tuple[str, int], str | None] = {}

    def heading(self, text: str) -> None:
        """Print a line that stands out."""
        self.console.print()
        self.console.print(Text(text, style="bold"))

    def say(self, text: str) -> None:
        """Print text as it is."""
        self.console.print(Text(text))

    def show(self, what: RenderableType) -> None:
        """Print a table."""
        self.console.print(what)

    def step(self, text: str) -> None:
        """Print that something has just been reached. Safe to call from any thread."""
        self.console.print(Text(f"{time.monotonic() - self._began:6.1f} s  {text}"))

    @contextmanager
    def waiting_for(self, text: str) -> Iterator[None]:
        """Show on a terminal that something is under way."""
        if not self.console.is_terminal:
            yield
            return
        with Live(Spinner("dots", text), console=self.console, transient=True, refresh_per_second=8) as live:
            self._live = live
            try:
                yield
            finally:
                self._live = None

    def tasks(self, tasks: list[TaskInstance]) -> None:
        """Show where the tasks of a run are; in a pipe, print those that have changed."""
        if self._live is not None:
            self._live.update(task_table(tasks))
            return
        for task in tasks:
            place = (task.task_id, task.map_index)
            if task.state in QUIET_STATES or self._told.get(place) == task.state:
                continue
            self._told[place] = task.state
            self.step(f"{task_label(task)}: {task.state}")

    def forget_tasks(self) -> None:
        """Begin anew with the tasks of another run."""
        self._told.clear()


def task_label(task: TaskInstance) -> str:
    """Return `register[2]` for a mapped task instance, `plan` for one that is not."""
    return task.task_id if task.map_index < 0 else f"{task.task_id}[{task.map_index}]"


def task_table(tasks: list[TaskInstance]) -> Table:
    """Return the tasks of a run with their states, in the order in which they began."""
    table = Table(show_header=False, box=None, padding=(0, 2))
    for task in sorted(
        tasks, key=lambda task: (task.started_at is None, task.started_at or "", task.map_index)
    ):
        style = STATE_STYLES.get(task.state or "", "dim")
        seconds = "" if task.duration_s is None else f"{task.duration_s:.1f} s"
        table.add_row(task_label(task), Text(task.state or "waiting", style=style), seconds)
    return table
