"""How a command ends: its exit code, and for an error one clear line on stderr."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import traceback
from collections.abc import Iterator
from enum import IntEnum
from typing import Any, NoReturn

import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException

from cloud_sync.cli.output import say
from cloud_sync.errors import CloudSyncError, StorageError


class ExitCode(IntEnum):
    """What the shell learns of a command; docs/cli.md has the same table."""

    FINE = 0
    FINDINGS = 1
    """Findings of the level error, manifests that differ, nothing to write."""
    USAGE = 2
    BAD_INPUT = 3
    """A file or setting is wrong."""
    STORAGE = 4
    """The object store or the disk refused or failed."""
    BUG = 70
    """What nobody has thought of; with a traceback. The EX_SOFTWARE of sysexits.h."""
    INTERRUPTED = 130
    """Ctrl-C, as shells count it."""
    READER_GONE = 141
    """Whoever read the output has gone (`| head`), as shells count it."""


class Commands(TyperGroup):
    """The root of the commands: ends the process as this module says."""

    def main(self, *args: Any, **extra: Any) -> Any:
        """Run a command and leave with its exit code."""
        is_process = extra.get("standalone_mode", True)
        extra["standalone_mode"] = False
        if not is_process:
            return super().main(*args, **extra)
        _write_any_text()
        with _error_lines():
            # What comes back is the code of a typer.Exit; a command that just ends returns None.
            code = super().main(*args, **extra)
            sys.exit(code if isinstance(code, int) else ExitCode.FINE)

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names for the help: groups of commands first."""
        return sorted(self.commands, key=lambda name: not isinstance(self.commands[name], TyperGroup))

    def invoke(self, ctx: Any) -> Any:
        """Run a command; what it printed is out before it counts as done."""
        try:
            try:
                return super().invoke(ctx)
            finally:
                sys.stdout.flush()
        except KeyboardInterrupt:
            raise typer.Abort from None  # typer would leave without a word
        except BrokenPipeError:
            _forget_stdout()
            raise typer.Exit(ExitCode.READER_GONE) from None


def _write_any_text() -> None:
    """Let no text fail for the encoding of the terminal, or for half a character in a file."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


@contextlib.contextmanager
def _error_lines() -> Iterator[None]:
    try:
        yield
    except CloudSyncError as error:
        _leave(str(error), ExitCode.STORAGE if isinstance(error, StorageError) else ExitCode.BAD_INPUT)
    except TyperException as error:
        _refuse_usage(error)
    except (typer.Abort, KeyboardInterrupt):
        _leave("interrupted.", ExitCode.INTERRUPTED)
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        _leave(f"{place}{error.strerror or error}.", ExitCode.STORAGE)
    except Exception:
        traceback.print_exc()
        _leave("this is a mistake in cloud-sync, not in your input. Please report it.", ExitCode.BUG)


def _refuse_usage(error: TyperException) -> NoReturn:
    """Say what is wrong with the command line; a group without a command has shown its help already."""
    context = getattr(error, "ctx", None)
    if type(error).__name__ == "NoArgsIsHelpError":
        sys.exit(ExitCode.USAGE)
    hint = f" Try: {context.command_path} --help" if context else ""
    message = error.format_message().replace("Value error, ", "")
    stop = "" if message.endswith((".", "?")) else "."
    _leave(f"{message}{stop}{hint}", ExitCode.USAGE)


def _leave(message: str, code: ExitCode) -> NoReturn:
    say(f"Error: {message}", style="red")
    sys.exit(code)


def _forget_stdout() -> None:
    """Let the flush at the end of the process go nowhere instead of failing once more."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
