"""The command line: `python -m demo run | up | down | status`; `make demo` and its like call it."""

from __future__ import annotations

import functools
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated, NoReturn

import typer

from cloud_sync.errors import CloudSyncError
from cloud_sync.numbers import counted
from demo.airflow import airflow_url
from demo.narrator import Narrator
from demo.places import AIRFLOW_USER, PROJECT, Places, load_secrets
from demo.report import failure_lists
from demo.servers import dataset_service_url, s3_url
from demo.settings import Settings, environment_help
from demo.show import INTEGRATION, introduce, show
from demo.stack import (
    Stack,
    end_stack,
    ending,
    locked,
    running_settings,
    stack_processes,
    start_stack,
)

HELP = f"""The whole of Encord Cloud Sync on this machine: an S3 server with real media, PostgreSQL,
Airflow and the dataset service, all on 127.0.0.1, with everything they write in .demo/.

Each start begins with an empty dataset. Ports and patience come from the environment:

\b
{environment_help()}
"""

app = typer.Typer(help=HELP, add_completion=False, no_args_is_help=True, rich_markup_mode=None)
Root = Annotated[Path, typer.Option(help="Folder for everything that the demo writes.")]
DEFAULT_ROOT = PROJECT / ".demo"
INTERRUPTED = 130
LISTS_SHOWN = 3


def friendly(command: Callable[..., None]) -> Callable[..., None]:
    """Make a command end in good order: errors as one message, SIGTERM and a closed terminal like Ctrl-C."""

    @functools.wraps(command)
    def wrapped(*args: object, **kwargs: object) -> None:
        try:
            with _interrupted_once():
                command(*args, **kwargs)
        except CloudSyncError as error:
            _complain(error)
            raise typer.Exit(1) from None
        except KeyboardInterrupt:
            print("\nInterrupted. Everything that was started has been ended.", file=sys.stderr)
            raise typer.Exit(INTERRUPTED) from None

    return wrapped


@app.command()
@friendly
def run(root: Root = DEFAULT_ROOT) -> None:
    """Show two runs of the DAG sync__demo, then end everything."""
    settings, narrator = Settings.from_environment(), Narrator()
    with locked(Places(root)):
        _refuse_while_up(root)
        stack = _start(root, settings, narrator)
        with ending(stack):
            as_expected = show(stack, narrator)
            narrator.heading("Everything is as expected" if as_expected else "NOT as expected")
            narrator.say("To look around in Airflow's UI: make up (and make down)")
            narrator.step("ending everything that was started")
        narrator.step("all processes have ended")
    raise typer.Exit(0 if as_expected else 1)


@app.command()
@friendly
def up(root: Root = DEFAULT_ROOT) -> None:
    """Show the demo, leave it running, print the UI's login."""
    settings, narrator = Settings.from_environment(), Narrator()
    with locked(Places(root)):
        if running := running_settings(root):
            narrator.heading("The demo is up already")
            _say_how_to_open(running, root, narrator)
            return
        stack = _start(root, settings, narrator)
        as_expected = _show_or_end(stack, narrator)
        narrator.heading("Everything is running" if as_expected else "NOT as expected; everything is running")
        _say_how_to_open(settings, root, narrator)
    raise typer.Exit(0 if as_expected else 1)


@app.command()
@friendly
def down(root: Root = DEFAULT_ROOT) -> None:
    """End everything that `up` left running."""
    narrator = Narrator()
    if not root.is_dir():
        narrator.say("Nothing is running.")
        return
    with locked(Places(root)):
        ended = end_stack(root)
    narrator.say(f"Ended {counted(ended, 'process', 'processes')}." if ended else "Nothing is running.")


@app.command()
@friendly
def status(root: Root = DEFAULT_ROOT) -> None:
    """Say what is running. Exit code 0 if everything is, 1 if not."""
    narrator = Narrator()
    records = stack_processes(root)
    for record in records:
        state = f"running, process {record.pid}" if record.is_running() else f"ENDED, see {record.log}"
        narrator.say(f"{record.name:<16} {state}")
    if settings := running_settings(root):
        _say_how_to_open(settings, root, narrator)
        return
    narrator.say("Not everything is running." if records else "Nothing is running.")
    raise typer.Exit(1)


def _start(root: Path, settings: Settings, narrator: Narrator) -> Stack:
    introduce(narrator)
    with narrator.waiting_for("starting the S3 server, PostgreSQL, the dataset service and Airflow"):
        return start_stack(root, settings, progress=narrator.step)


def _show_or_end(stack: Stack, narrator: Narrator) -> bool:
    """Show the demo; on Ctrl-C end everything. A run that failed is left for a look at it."""
    try:
        return show(stack, narrator)
    except CloudSyncError as error:
        _complain(error)
        return False
    except BaseException:
        with ending(stack):
            raise


def _refuse_while_up(root: Path) -> None:
    if settings := running_settings(root):
        raise CloudSyncError(
            f"the demo is up already, at {airflow_url(settings)}.",
            where=str(root),
            remedy="End it first: make down",
        )


def _say_how_to_open(settings: Settings, root: Path, narrator: Narrator) -> None:
    places = Places(root)
    password = load_secrets(places.secrets).airflow_password
    narrator.say(f"  Airflow   {airflow_url(settings)}")
    narrator.say(f"  login     {AIRFLOW_USER}")
    narrator.say(f"  password  {password}")
    narrator.say(f"  S3        {s3_url(settings)}, Encord's API at {dataset_service_url(settings)}")
    narrator.say(f"  their keys and secrets are in {places.secrets}")
    narrator.say(
        "  the connections demo_s3 and demo_encord are in Airflow's environment, so the UI lists none"
    )
    narrator.say(f"  state     {places.state}: run folders, ledger, and manifests/ for upload_manifest")
    for failures in failure_lists(places.state, INTEGRATION)[-LISTS_SHOWN:]:
        narrator.say(f"  failed    {failures}: one row for each file")
    narrator.say(f"  commands  (. {places.airflow_environment} && airflow dags list)")
    narrator.say(f"  logs      {root / 'logs'}, of tasks {places.airflow_home / 'logs'}")
    narrator.say("  the end   make down")


@contextmanager
def _interrupted_once() -> Iterator[None]:
    """Raise KeyboardInterrupt at the first SIGINT, SIGTERM or SIGHUP; ignore the others while all ends.

    A shell starts background jobs with SIGINT ignored; the demo ends on it all the same.
    """
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def interrupt(number: int, frame: FrameType | None) -> NoReturn:
        for each in signals:
            signal.signal(each, signal.SIG_IGN)
        print("\nending everything that was started, a moment", file=sys.stderr)
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in signals}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _complain(error: CloudSyncError) -> None:
    print(f"\nerror: {error}", file=sys.stderr)


if __name__ == "__main__":
    app(prog_name="python -m demo")
