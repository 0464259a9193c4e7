"""The command line: `cloud-sync integration check FILE...`, `cloud-sync integration schema FILE`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cloud_sync.errors import ConfigError
from cloud_sync.integration import load_integration, write_json_schema

app = typer.Typer(help="Keeps Encord datasets in step with private cloud storage.", no_args_is_help=True)
integration = typer.Typer(help="Integration files: what is synced, from where, to which dataset.")
app.add_typer(integration, name="integration", no_args_is_help=True)


@integration.command()
def check(files: Annotated[list[Path], typer.Argument(help="Integration files.")]) -> None:
    """Check integration files: exit code 0 if all are good, 1 if not, with file, line and remedy."""
    good = True
    for path in files:
        try:
            name = load_integration(path).name
        except ConfigError as error:
            good = False
            typer.echo(str(error), err=True)
        else:
            typer.echo(f"{path}: good, integration {name}")
    raise typer.Exit(0 if good else 1)


@integration.command()
def schema(file: Annotated[Path, typer.Argument(help="Where to write it.")]) -> None:
    """Write the JSON schema with which editors complete and check integration files."""
    write_json_schema(file)


if __name__ == "__main__":
    app(prog_name="cloud-sync")
