"""`cloud-sync quarantine list | release`: what is not sent until it changes or a person lets it go."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Collection
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from cloud_sync.cli.exits import ExitCode
from cloud_sync.cli.ledger import DatasetHashOption, named_ledger
from cloud_sync.cli.options import OutputOption, option
from cloud_sync.cli.output import Cell, Column, say, show_json, show_table
from cloud_sync.cli.state import state_remedies
from cloud_sync.errors import ConfigError
from cloud_sync.numbers import counted

if TYPE_CHECKING:
    from datetime import datetime

    from cloud_sync.integration import Integration, Storage
    from cloud_sync.ledger import Ledger
    from cloud_sync.releases import QuarantinedObject

app = typer.Typer(
    help="Files that failed for a lasting reason: what they are, and letting them be tried again.",
    no_args_is_help=True,
)

COLUMNS: Final = (
    Column("class"),
    Column("key", "key"),
    Column("attempts", "count"),
    Column("first failed", "time"),
    Column("last failed", "time"),
)
REASON_COLUMNS: Final = (Column("reason"), Column("remedy"))
"""Only in a pipe: on a terminal they would leave no room for the keys, so there each cause stands once."""
CAUSES_SHOWN: Final = 20
UNKNOWN_CAUSE: Final = "The ledger has not kept the reason: docs/failures.md says what the class means."

FileArgument = Annotated[
    Path, typer.Argument(metavar="INTEGRATION", help="Integration file.", show_default=False)
]
StateFolderOption = Annotated[
    str | None,
    option(
        "Airflow's state folder: a path or s3://bucket/prefix. Left out: AIRFLOW__CLOUD_SYNC__STATE_FOLDER, "
        "else `cloud_sync` in AIRFLOW_HOME.",
        metavar="PATH",
    ),
]
ClassOption = Annotated[
    list[str] | None,
    option(
        "Only this failure class, such as corrupt; may be given several times.", "--class", metavar="CLASS"
    ),
]


@app.command(
    name="list",
    epilog="Example:\n\ncloud-sync quarantine list include/integrations/cameras.yaml --class corrupt",
)
@state_remedies()
def list_(
    *,
    file: FileArgument,
    failure_class: ClassOption = None,
    state_folder: StateFolderOption = None,
    dataset_hash: DatasetHashOption = None,
    output: OutputOption = "table",
) -> None:
    """Show what is quarantined: why, what to do about it, how often it failed, since when.

    On a terminal reasons and remedies stand below the table, with how many objects each is of; in a pipe and
    in JSON each object has its own. Neither the bucket nor Encord is asked.
    """
    classes = _checked(failure_class)
    integration = _integration(file)
    ledger = named_ledger(integration, state_folder, dataset_hash)
    everything = list(ledger.quarantined())
    found = [one for one in everything if _is_of(one, classes)]
    if output == "json":
        show_json([_as_json(one) for one in found])
    elif sys.stdout.isatty():
        show_table(COLUMNS, [_as_row(one) for one in found])
        _say_causes(found)
    else:
        show_table(COLUMNS + REASON_COLUMNS, [[*_as_row(one), one.reason, one.remedy] for one in found])
    whole = f"{counted(len(everything), 'object')} of {integration.name} quarantined"
    these = "this class" if len(set(classes)) == 1 else "these classes"
    say(f"{whole}, {len(found):,} of {these}." if classes else f"{whole}.")


@app.command(
    epilog="Examples:\n\ncloud-sync quarantine release cameras.yaml --class rejected\n\n"
    "cloud-sync quarantine release cameras.yaml --url s3://my-bucket/raw/a.mp4 --yes"
)
@state_remedies()
def release(
    *,
    file: FileArgument,
    failure_class: ClassOption = None,
    url: Annotated[
        list[str] | None,
        option("Only this object: its key, or its URL in any form; may be repeated.", metavar="URL"),
    ] = None,
    everything: Annotated[bool, option("All that is quarantined.", "--all")] = False,
    state_folder: StateFolderOption = None,
    dataset_hash: DatasetHashOption = None,
    yes: Annotated[bool, option("Do not ask.", "--yes")] = False,
) -> None:
    """Let quarantined objects be tried again by the next run; their history is kept.

    Of a group all files are released with any of them.

    Ends with 1 if nothing was released.
    """
    classes, urls = _checked(failure_class), set(url or ())
    if bool(classes) + bool(urls) + everything != 1:
        raise typer.BadParameter("Say what to release: --class, --url or --all, and only one of them.")
    integration = _integration(file)
    ledger = named_ledger(integration, state_folder, dataset_hash)
    quarantined = list(ledger.quarantined())
    named = [one for one in quarantined if _is_of(one, classes)]
    if urls:
        named = _named_by(urls, quarantined, integration, ledger)
    if not named:
        say("There is nothing to release.")
        raise typer.Exit(ExitCode.FINDINGS)
    if not (yes or _is_confirmed(named)):
        say("Nothing was released.")
        raise typer.Exit(ExitCode.FINDINGS)
    count = ledger.release(
        urls=[one.url for one in named] if urls else (), classes=classes, everything=everything
    )
    released, dag_id = counted(count, "object"), integration.dag_id
    say(f"Released {released}: the next run of {dag_id} sends what is still there.")


def _say_causes(found: Collection[QuarantinedObject]) -> None:
    causes = Counter((one.failure_class, f"{one.reason} {one.remedy}".strip()) for one in found)
    for (failure_class, cause), count in causes.most_common(CAUSES_SHOWN):
        say(f"{count:,} x {failure_class}: {cause or UNKNOWN_CAUSE}")
    if (more := len(causes) - CAUSES_SHOWN) > 0:
        say(f"and {counted(more, 'more cause')}: --output json shows the reason of each object.")


def _checked(classes: Collection[str] | None) -> list[str]:
    from cloud_sync.failures.model import FailureClass

    known = [one.value for one in FailureClass]
    if unknown := [one for one in classes or () if one not in known]:
        raise typer.BadParameter(f"{unknown[0]!r} is no failure class. Classes: {', '.join(known)}.")
    return list(classes or ())


def _integration(file: Path) -> Integration:
    from cloud_sync.integration import load_integration

    return load_integration(file)


def _is_of(one: QuarantinedObject, classes: Collection[str]) -> bool:
    return not classes or one.failure_class in classes


def _named_by(
    urls: Collection[str],
    quarantined: Collection[QuarantinedObject],
    integration: Integration,
    ledger: Ledger,
) -> list[QuarantinedObject]:
    """Return the objects that are named by key or URL; say which are not quarantined.

    Raises:
        ConfigError: A URL is not one of the integration's bucket.
    """
    version = ledger.current()
    url_base = version.url_base if version else ""
    by_key = {one.key: one for one in quarantined}
    by_url = {one.url: one for one in quarantined}
    named: dict[str, QuarantinedObject] = {}
    for url in sorted(urls):
        one = by_key.get(url) or by_url.get(url) or by_key.get(_key_in(url, integration.storage, url_base))
        if one is None:
            say(f"Not quarantined: {url}", style="yellow")
        else:
            named[one.key] = one
    return list(named.values())


def _key_in(url: str, storage: Storage, url_base: str) -> str:
    """Return the key that a person named, by itself or in any form of its URL.

    Only the connection knows the endpoint of an S3-compatible store and an Azure account, but the ledger's
    URLs begin with it.
    """
    from cloud_sync.objects.addresses import endpoint_behind, key_in_bucket

    if "://" not in url and not url.startswith("arn:"):
        return url
    endpoint_url = endpoint_behind(url_base, storage.provider, storage.bucket)
    try:
        return key_in_bucket(url, storage.provider, storage.bucket, endpoint_url, storage.mrap_arn)
    except ConfigError as error:
        error.where = "--url"
        error.remedy = "Give the object's key, as `quarantine list` shows it."
        raise


def _is_confirmed(named: Collection[QuarantinedObject]) -> bool:
    by_class = Counter(one.failure_class for one in named)
    what = ", ".join(f"{count:,} {name}" for name, count in sorted(by_class.items()))
    try:
        return typer.confirm(f"Release {counted(len(named), 'object')} ({what})?", err=True)
    except typer.Abort as abort:
        # typer ends alike for Ctrl-C and for a stdin at its end, from which no answer can come.
        if not isinstance(abort.__context__, EOFError):
            raise
        say("\nError: nobody is there to answer, so nothing was released. Add --yes.", style="red")
        raise typer.Exit(ExitCode.USAGE) from None


def _time(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds")


def _as_row(one: QuarantinedObject) -> list[Cell]:
    times = (_time(one.first_failed_at), _time(one.last_failed_at))
    return [one.failure_class, one.key, one.attempts, *times]


def _as_json(one: QuarantinedObject) -> dict[str, Any]:
    times = {name: _time(getattr(one, name)) for name in ("first_failed_at", "last_failed_at")}
    return {**asdict(one), **times}
