"""`cloud-sync dataset-service`: the embedded service, as a process of its own."""

from __future__ import annotations

import os
import sys

import typer

EPILOG = (
    "Examples:\n\ncloud-sync dataset-service --help\n\n"
    "cloud-sync dataset-service create-key demo.key --email you@example.com\n\n"
    "cloud-sync dataset-service serve --config dataset-service.yaml"
)
PASS_EVERYTHING_ON = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}


def dataset_service(context: typer.Context) -> None:
    """Run the service that speaks Encord's public API: for demos, rehearsals and tests.

    All arguments go to the service's own commands, --help too.
    """
    # It is spoken to over HTTP and never imported. -P: no folder of the same name here takes its place.
    command = [sys.executable, "-P", "-m", "cloud_sync.dataset_service", *context.args]
    os.execv(command[0], command)  # noqa: S606 (this very Python)
