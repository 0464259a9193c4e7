"""Write the commands and options into docs/cli.md: `python -m cloud_sync.cli.reference docs/cli.md`.

They come from the commands themselves; a test compares, so that the page cannot be behind.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import typer
from typer.cli import get_docs_for_click
from typer.main import get_command

from cloud_sync.cli.app import app
from cloud_sync.cli.files import write_whole

MARKER: Final = "<!-- From here on written by `make reference`. -->\n"
NAME: Final = "cloud-sync"


def with_reference(page: str) -> str:
    """Return a page whose part behind the marker says what the commands say."""
    command = get_command(app)
    written = get_docs_for_click(
        obj=command, ctx=typer.Context(command), name=NAME, title="Commands", indent=1
    )
    return f"{page.partition(MARKER)[0]}{MARKER}\n{_as_code(written).strip()}\n"


def _as_code(written: str) -> str:
    """Put the examples, which are whole lines, into blocks of code; they come as paragraphs."""
    lines = []
    for line in written.split("\n"):
        is_example = line.startswith(f"{NAME} ")
        lines.append(f"    {line}" if is_example else line)
    return "\n".join(lines)


if __name__ == "__main__":
    for path in map(Path, sys.argv[1:]):
        write_whole(path, with_reference(path.read_text()).encode())
