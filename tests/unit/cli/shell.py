"""Runs commands in this process, as a shell would see them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from typer.testing import CliRunner

from cloud_sync.cli import app

if TYPE_CHECKING:
    from typer.testing import Result


def cloud_sync(*arguments: Any, answers: str | None = None) -> Result:
    """Run a command; what is no text is written as one. Output is that of a pipe."""
    # Colours that the surroundings ask for would stand in what is compared.
    runner = CliRunner(env={"FORCE_COLOR": None, "TTY_COMPATIBLE": None})
    return runner.invoke(app, [str(one) for one in arguments], input=answers)
