"""Runs commands in this process, as a shell would see them, and stands in for a terminal."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from typer.testing import CliRunner

from cloud_sync.cli import app

if TYPE_CHECKING:
    import pytest
    from typer.testing import Result


def cloud_sync(*arguments: Any, answers: str | None = None) -> Result:
    """Run a command; what is no text is written as one. Output is that of a pipe."""
    # Colours that the surroundings ask for would stand in what is compared.
    runner = CliRunner(env={"FORCE_COLOR": None, "TTY_COMPATIBLE": None})
    return runner.invoke(app, [str(one) for one in arguments], input=answers)


class Terminal(io.StringIO):
    """What a terminal is sent."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def terminal_of(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Make stdout a terminal without colours; in the test itself, because pytest sets stdout before each."""
    stream = Terminal()
    monkeypatch.setattr("sys.stdout", stream)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setenv("COLUMNS", "60")
    return stream
