"""`cloud-sync ledger rebuild | verify | prune`: a ledger and what its dataset holds."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from cloud_sync.cli import encord
from cloud_sync.cli.encord import DomainOption, EncordAccess, KeyFileOption
from cloud_sync.cli.exits import ExitCode
from cloud_sync.cli.ledger import DatasetHashOption, ledgers_folder, named_ledger
from cloud_sync.cli.options import Access, EndpointOption, OutputOption, ProfileOption, RegionOption, option
from cloud_sync.cli.output import counting, printable, say, show_json
from cloud_sync.cli.quarantine import FileArgument, StateFolderOption
from cloud_sync.cli.run import list_bucket
from cloud_sync.cli.state import named_state_folder, state_remedies
from cloud_sync.cli.store import local_remedies, open_storage
from cloud_sync.errors import ConfigError
from cloud_sync.numbers import counted

if TYPE_CHECKING:
    from cloud_sync.integration import Integration
    from cloud_sync.ledger import Ledger
    from cloud_sync.ledger_upkeep import Compared
    from cloud_sync.registration.contents import Contents
    from cloud_sync.run_folder.files import Tag

app = typer.Typer(
    help="The ledger, which knows what is registered: writing it anew, comparing it, removing old versions.",
    no_args_is_help=True,
)

CONTENTS_NAME: Final = "contents.parquet"
MARKS: Final = {
    "=": "the same",
    "-": "only in the ledger",
    "+": "only in the dataset",
    "*": "not the same",
    "!": "not to be compared",
}


@dataclass(frozen=True, slots=True)
class Sides:
    """What a command looks at.

    Attributes:
        ledger: The ledger, which may be new or damaged.
        seen: What its pointer was known by before the dataset was read.
        contents_path: What the dataset holds.
        contents: Its counts.
        listing_parts: What the bucket lists; None if it was not asked.
        url_base: How object URLs begin.
        scratch: A folder that is gone when the command ends.
    """

    ledger: Ledger
    seen: Tag | None
    contents_path: Path
    contents: Contents
    listing_parts: list[Path] | None
    url_base: str
    scratch: Path


@app.command(epilog="Example:\n\ncloud-sync ledger rebuild cameras.yaml --ssh-key-file ~/.ssh/encord")
def rebuild(
    *,
    file: FileArgument,
    state_folder: StateFolderOption = None,
    ssh_key_file: KeyFileOption = None,
    domain: DomainOption = None,
    profile: ProfileOption = None,
    endpoint_url: EndpointOption = None,
    region: RegionOption = None,
) -> None:
    """Write the ledger anew from what the dataset holds, for one that is lost or damaged.

    What it knew of quarantined objects is kept if it can be read. No run of the integration may be at work.
    """
    from cloud_sync.integration import load_integration
    from cloud_sync.ledger_upkeep import rebuild as rebuild_ledger

    integration = load_integration(file)
    access, encord_access = Access(profile, endpoint_url, region), EncordAccess(ssh_key_file, domain)
    with _sides(integration, state_folder, encord_access, access, with_listing=True) as sides:
        version = rebuild_ledger(
            sides.ledger,
            sides.contents_path,
            sides.listing_parts or [],
            url_base=sides.url_base,
            prefix=integration.storage.prefix,
            seen=sides.seen,
            now=datetime.now(UTC).replace(microsecond=0),
        )
    states = ", ".join(f"{count:,} {state}" for state, count in sorted(version.counts.items()))
    say(f"Version {version.number} of the ledger is in force. Objects: {states or 'none'}.")


@app.command(
    epilog="Examples:\n\ncloud-sync ledger verify cameras.yaml\n\n"
    "cloud-sync ledger verify cameras.yaml --listing --all > report.txt"
)
def verify(
    *,
    file: FileArgument,
    listing: Annotated[bool, option("Also compare with what the bucket lists.", "--listing")] = False,
    everything: Annotated[bool, option("Show also what is the same.", "--all")] = False,
    state_folder: StateFolderOption = None,
    ssh_key_file: KeyFileOption = None,
    domain: DomainOption = None,
    profile: ProfileOption = None,
    endpoint_url: EndpointOption = None,
    region: RegionOption = None,
    output: OutputOption = "table",
) -> None:
    """Compare the ledger with what the dataset holds; nothing is changed.

    A line for each key: = the same, - only in the ledger, + only in the dataset, * not the same,
    ! not to be compared.

    Ends with 1 if anything differs.
    """
    from cloud_sync.integration import load_integration
    from cloud_sync.ledger_upkeep import compare

    integration = load_integration(file)
    access, encord_access = Access(profile, endpoint_url, region), EncordAccess(ssh_key_file, domain)
    counts: Counter[str] = Counter()
    with _sides(integration, state_folder, encord_access, access, with_listing=listing) as sides:
        found = compare(
            sides.ledger.current(),
            sides.contents_path,
            sides.listing_parts,
            sides.scratch,
            prefix=integration.storage.prefix,
        )
        shown = _shown(found, counts, everything=everything)
        if output == "json":
            show_json([asdict(one) for one in shown])
        else:
            for one in shown:
                typer.echo(_line(one))
    said = ", ".join(f"{counts[mark]:,} {words}" for mark, words in MARKS.items() if counts[mark])
    say(f"Ledger and dataset of {integration.name}: {said or 'both are empty'}.")
    if counts.total() > counts["="]:
        raise typer.Exit(ExitCode.FINDINGS)


@app.command(epilog="Example:\n\ncloud-sync ledger prune cameras.yaml --keep 5 --older-than 30d")
@state_remedies()
def prune(
    *,
    file: FileArgument,
    keep: Annotated[int, typer.Option(min=0, help="How many of the newest versions stay.")] = 5,
    older_than: Annotated[
        str | None, option("Remove only versions older than this, such as 30d.", metavar="AGE")
    ] = None,
    dry_run: Annotated[bool, option("Only show what would be removed.", "--dry-run")] = False,
    state_folder: StateFolderOption = None,
    dataset_hash: DatasetHashOption = None,
) -> None:
    """Remove old versions of the ledger, of which runs keep the last 30.

    The version in force and the one that its run began from stay. Ends with 1 if nothing was removed.
    """
    from cloud_sync.integration import load_integration
    from cloud_sync.ledger_upkeep import prune as prune_versions

    age = _age(older_than)
    integration = load_integration(file)
    ledger = named_ledger(integration, state_folder, dataset_hash)
    names = prune_versions(ledger, keep=keep, older_than=age, dry_run=dry_run)
    for name in names:
        typer.echo(name)
    say(f"{'Would remove' if dry_run else 'Removed'} {counted(len(names), 'version')}.")
    if not names:
        raise typer.Exit(ExitCode.FINDINGS)


@contextmanager
def _sides(
    integration: Integration,
    state_folder: str | None,
    encord_access: EncordAccess,
    access: Access,
    *,
    with_listing: bool,
) -> Iterator[Sides]:
    """Read the dataset and, if asked, the bucket into a folder that is gone at the end."""
    from cloud_sync.ledger import Ledger
    from cloud_sync.registration.contents import write_contents
    from cloud_sync.registration.target import folder_of_dataset
    from cloud_sync.run_folder import RunFolder

    state = named_state_folder(state_folder)
    client = encord.open_encord(encord_access)
    dataset = client.find_dataset(integration.target.dataset)
    folder_uuid = folder_of_dataset(
        client, dataset, folder=integration.target.folder, integration_name=integration.name
    )
    if folder_uuid is None:
        raise ConfigError(
            "there is no storage folder for this dataset yet, so nothing is registered.",
            where=f"dataset {dataset.title!r}",
            remedy="Run the sync first, or correct target.folder.",
        )
    with (
        tempfile.TemporaryDirectory(prefix="cloud-sync-") as root,
        local_remedies(integration.storage.provider),
    ):
        storage = open_storage(integration.storage, access)
        path = Path(root) / CONTENTS_NAME
        ledger = Ledger(ledgers_folder(integration, state).below(dataset.uuid).files)
        seen = ledger.tag()
        with counting(f"Reading the dataset {dataset.title}") as count:
            contents = write_contents(
                client,
                folder_uuid,
                storage.urls.key_of,
                path,
                dataset_uuid=None if folder_uuid == dataset.backing_folder_uuid else dataset.uuid,
                on_items=count,
            )
        say(f"The dataset {dataset.title} holds {counted(contents.items, 'item')}.")
        if contents.foreign:
            files = counted(contents.foreign, "file")
            say(f"{files} of it have URLs of no object of {integration.storage.bucket}.", style="yellow")
        listed = list_bucket(RunFolder(root), integration, storage) if with_listing else None
        yield Sides(
            ledger=ledger,
            seen=seen,
            contents_path=path,
            contents=contents,
            listing_parts=list(listed.parts) if listed else None,
            url_base=storage.urls.base,
            scratch=Path(root),
        )


def _shown(found: Iterator[Compared], counts: Counter[str], *, everything: bool) -> Iterator[Compared]:
    """Count all, and let through what is shown."""
    for one in found:
        counts[one.mark] += 1
        if everything or one.mark != "=":
            yield one


def _line(one: Compared) -> str:
    detail = f"\t{printable(one.detail)}" if one.detail else ""
    return f"{one.mark} {printable(one.key)}{detail}"


def _age(text: str | None) -> timedelta:
    from pydantic import TypeAdapter, ValidationError

    from cloud_sync.integration.fields import Duration

    if text is None:
        return timedelta(0)
    try:
        age: timedelta = TypeAdapter(Duration).validate_python(text)
    except ValidationError as error:
        said = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise typer.BadParameter(f"--older-than: {said}.") from None
    return age
