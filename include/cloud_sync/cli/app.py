"""All commands, put together."""

from __future__ import annotations

from typing import Annotated

import typer

from cloud_sync.cli import build, dataset_service, integration, manifest, plan, quarantine, upkeep
from cloud_sync.cli.exits import Commands

app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Keeps Encord datasets in step with private cloud storage.",
    epilog="Each command shows an example with --help. Exit codes: 0 fine, 1 findings or differences, "
    "2 wrong usage, 3 bad input, 4 storage.",
)


def _show_version(wanted: bool) -> None:
    if wanted:
        from cloud_sync.version import own_version

        typer.echo(f"cloud-sync {own_version()}")
        raise typer.Exit


@app.callback()
def root(
    *,
    version: Annotated[
        bool,
        typer.Option("--version", help="Show the version and exit.", callback=_show_version, is_eager=True),
    ] = False,
) -> None:
    """Hold the options that stand before a command; the help is that of `app`."""


app.add_typer(manifest.app, name="manifest")
manifest.app.command(name="build", epilog=build.EPILOG)(build.build)
app.add_typer(integration.app, name="integration")
app.add_typer(quarantine.app, name="quarantine")
app.add_typer(upkeep.app, name="ledger")
app.command(name="plan", epilog=plan.EPILOG)(plan.plan)
app.command(
    name="dataset-service",
    context_settings=dataset_service.PASS_EVERYTHING_ON,
    epilog=dataset_service.EPILOG,
)(dataset_service.dataset_service)
