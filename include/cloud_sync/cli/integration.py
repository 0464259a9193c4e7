"""`cloud-sync integration check | schema | new`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from cloud_sync.cli import options as shared
from cloud_sync.cli.exits import ExitCode
from cloud_sync.cli.files import check_new, write_whole
from cloud_sync.cli.interview import QUESTIONS, Interview
from cloud_sync.cli.output import say
from cloud_sync.errors import ConfigError

app = typer.Typer(
    help="Integration files: what is synced, from where, to which dataset.", no_args_is_help=True
)
INTEGRATIONS_FOLDER: Final = Path("include/integrations")


@app.command(epilog="Example:\n\ncloud-sync integration check include/integrations/street-cameras.yaml")
def check(files: Annotated[list[Path], typer.Argument(help="Integration files.")]) -> None:
    """Check integration files. Two of one folder must not have the same name.

    Ends with 0 if all are good, else with 1, and says file, line and remedy. What may be meant and is
    probably a mistake is a warning.
    """
    from cloud_sync.integration import doubts_about, load_files

    loaded = load_files(files)
    for error in loaded.errors:
        say(str(error))
    for path, integration in loaded.integrations:
        typer.echo(f"{path}: good, integration {integration.name}")
        for doubt in doubts_about(path, integration):
            say(f"Warning: {doubt}", style="yellow")
    raise typer.Exit(ExitCode.FINDINGS if loaded.errors else ExitCode.FINE)


@app.command(epilog="Example:\n\ncloud-sync integration schema include/integrations/integration.schema.json")
def schema(file: Annotated[Path, typer.Argument(help="Where to write it.", show_default=False)]) -> None:
    """Write the JSON schema with which editors complete and check integration files."""
    from cloud_sync.integration import write_json_schema

    write_json_schema(file)


@app.command(
    epilog="Examples:\n\ncloud-sync integration new\n\ncloud-sync integration new --yes --name cameras "
    "--bucket my-bucket --dataset 'Street cameras'"
)
def new(
    *,
    context: typer.Context,
    output: Annotated[
        Path | None,
        shared.option(
            "File to write. Left out: NAME.yaml in include/integrations, else here.", "--output", "-o"
        ),
    ] = None,
    name: Annotated[str | None, shared.option("Names the DAG: sync__NAME.")] = None,
    provider: Annotated[str | None, shared.option("s3, gcs, azure or otc. Left out: s3.")] = None,
    bucket: Annotated[str | None, shared.option("Bucket; of Azure the container.")] = None,
    prefix: Annotated[str | None, shared.option("Only keys that begin with this.")] = None,
    region: Annotated[str | None, shared.option("Region of the bucket, for s3 and otc.")] = None,
    storage_connection: Annotated[str | None, shared.option("Airflow connection of the bucket.")] = None,
    dataset: Annotated[str | None, shared.option("Encord dataset, title or hash.")] = None,
    encord_connection: Annotated[str | None, shared.option("Airflow connection of Encord.")] = None,
    only: shared.OnlyOption = None,
    group_type: shared.GroupTypeOption = None,
    group_by: shared.GroupByOption = None,
    group_pattern: shared.GroupPatternOption = None,
    schedule: Annotated[str | None, shared.option("Cron expression, UTC.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Ask nothing: options and defaults say all.")] = False,
) -> None:
    """Write an integration file with a comment above each field; asks for what the options do not say.

    Each answer is checked at once.

    A file that exists is never replaced.
    """
    given = {question.option: context.params[question.option] for question in QUESTIONS}
    settings = Interview(given, ask=not yes).settings()
    path = output or _usual_place(settings["name"])
    check_new(path, force=None)
    _check_name(settings["name"], path)
    from cloud_sync.cli.integration_file import integration_text

    write_whole(path, integration_text(settings, folder=path.parent).encode())
    say(f"Wrote {path}. Check it with: cloud-sync integration check {path}")
    say(f"See what it would do: cloud-sync plan {path}")


def _usual_place(name: str) -> Path:
    return (INTEGRATIONS_FOLDER if INTEGRATIONS_FOLDER.is_dir() else Path()) / f"{name}.yaml"


def _check_name(name: str, path: Path) -> None:
    """Refuse a name that another file in the folder has: both would count as wrong."""
    from cloud_sync.integration import load_integrations

    if not path.parent.is_dir():
        return
    for other, integration in load_integrations(path.parent).integrations:
        if integration.name == name:
            raise ConfigError(f"has the name {name!r} already.", where=str(other), remedy="Choose another.")
