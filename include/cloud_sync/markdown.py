"""Text from outside in the Markdown that Airflow shows."""

from __future__ import annotations

from collections.abc import Iterable


def code(text: str) -> str:
    """Return text as code that fits a cell of a table: on one line, nothing in it is markup."""
    return "`" + " ".join(text.split()).replace("|", "\\|").replace("`", "'") + "`"


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a table; its cells are Markdown already."""
    names = list(head)
    lines = [names, ["---"] * len(names), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
