"""`cloud-sync manifest lint | convert | diff`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import typer

from cloud_sync.cli.exits import ExitCode
from cloud_sync.cli.files import check_new, write_whole
from cloud_sync.cli.options import (
    AllowLossOption,
    ForceOption,
    FormatOption,
    LenientOption,
    OutputOption,
    option,
)
from cloud_sync.cli.output import Column, say, show_json, show_table
from cloud_sync.errors import ManifestError
from cloud_sync.numbers import counted

if TYPE_CHECKING:
    from cloud_sync.manifest.content import ManifestFormat, ReadManifest
    from cloud_sync.manifest.findings import Finding

app = typer.Typer(
    help="Manifests: the JSON and CSV files that say what Encord registers.", no_args_is_help=True
)

FINDING_COLUMNS = (Column("level / code"), Column("place / message / remedy"))
DIFFERENCE_COLUMNS = (Column("change / type"), Column("item / what / place before / place after"))
SHOWN_ERRORS: Final = 5
SUFFIXES: dict[str, Literal["json", "csv"]] = {".json": "json", ".csv": "csv"}


@app.command(
    epilog="Examples:\n\ncloud-sync manifest lint videos.json\n\n"
    "cloud-sync manifest lint --strict --output json one.json two.csv"
)
def lint(
    *,
    files: Annotated[list[Path], typer.Argument(help="Manifests, JSON or CSV.")],
    lenient: LenientOption = False,
    format: FormatOption = None,
    strict: Annotated[bool, option("Let warnings count as errors.", "--strict")] = False,
    output: OutputOption = "table",
) -> None:
    """Say what is wrong with manifests before anything is sent.

    Ends with 1 if there is an error, with --strict also for a warning.

    Ends with 3 if a file cannot be read. docs/lint.md explains the codes.
    """
    reports, code = [], ExitCode.FINE
    for file in files:
        try:
            manifest, findings = _linted(file, lenient, format)
        except ManifestError as error:
            say(f"Error: {error}", style="red")
            reports.append(_unreadable(file, error))
            code = ExitCode.BAD_INPUT
            continue
        reports.append(_report(manifest, findings))
        refused = {"error", "warning"} if strict else {"error"}
        if any(finding.level in refused for finding in findings):
            code = max(code, ExitCode.FINDINGS)
        if output == "table":
            _show_findings(manifest, findings)
    if output == "json":
        show_json(reports)
    raise typer.Exit(code)


def _linted(
    file: Path, lenient: bool, format: ManifestFormat | None
) -> tuple[ReadManifest, tuple[Finding, ...]]:
    from cloud_sync.manifest.lint import lint
    from cloud_sync.manifest.reader import read_manifest

    manifest = read_manifest(file, file=str(file), format=format, lenient=lenient)
    return manifest, lint(manifest)


def _show_findings(manifest: ReadManifest, findings: Sequence[Finding]) -> None:
    if findings:
        rows = [((each.level, each.code), (each.place, each.message, each.remedy)) for each in findings]
        show_table(FINDING_COLUMNS, rows, title=manifest.file)
    say(f"{manifest.file}: {counted(len(manifest.items), 'item')}, {_counts(findings)}.")


def _counts(findings: Sequence[Finding]) -> str:
    levels = Counter(finding.level for finding in findings)
    return ", ".join(counted(levels[level], level) for level in ("error", "warning", "note"))


def _report(manifest: ReadManifest, findings: Sequence[Finding]) -> dict[str, Any]:
    from dataclasses import asdict

    return {
        "file": manifest.file,
        "format": manifest.format,
        "items": len(manifest.items),
        "files": sum(len(item.object_urls) for item in manifest.items),
        "findings": [asdict(finding) for finding in findings],
        "error": None,
    }


def _unreadable(file: Path, error: ManifestError) -> dict[str, Any]:
    return {"file": str(file), "format": None, "items": 0, "files": 0, "findings": [], "error": str(error)}


@app.command(
    epilog="Examples:\n\ncloud-sync manifest convert videos.csv videos.json\n\n"
    "cloud-sync manifest convert --allow-loss videos.json videos.csv"
)
def convert(
    *,
    source: Annotated[Path, typer.Argument(metavar="IN", help="Manifest to read.", show_default=False)],
    target: Annotated[Path, typer.Argument(metavar="OUT", help="File to write.", show_default=False)],
    to: Annotated[
        Literal["json", "csv"] | None,
        option("What to write. Left out: by the end of OUT's name.", "--to"),
    ] = None,
    format: FormatOption = None,
    allow_loss: AllowLossOption = False,
    lenient: LenientOption = False,
    force: ForceOption = False,
) -> None:
    """Write a manifest in the other format, or in its own to bring it into canonical form.

    A CSV cannot state flags, metadata and some item types.

    What would be lost is said, and refused without --allow-loss.

    What IN leaves open, OUT leaves open too. What lint finds in IN is said.
    """
    from cloud_sync.manifest.convert import convert_manifest

    wanted = format_of(target, to, option="--to")
    check_new(target, force=force)
    manifest, findings = _linted(source, lenient, format)
    converted = convert_manifest(manifest, to=wanted, allow_loss=allow_loss)
    # Editors and diff want it; the manifests of a run have none, because their bytes are hashed and sent.
    write_whole(target, converted.data + (b"\n" if wanted == "json" else b""))
    lost = Counter(loss.message for loss in converted.losses)
    for message, count in lost.items():
        say(f"Lost {counted(count, 'time')}: {message}", style="yellow")
    say(f"Wrote {target}: {counted(len(manifest.items), 'item')} as {wanted.upper()}.")
    if wanted == "json" and manifest.skip_duplicate_urls is None:
        say(
            f"Note: as {source}, {target} does not state skip_duplicate_urls: sent twice, it registers "
            'everything twice. Add "skip_duplicate_urls": true to it.',
            style="yellow",
        )
    _say_findings(source, findings)


def _say_findings(source: Path, findings: Sequence[Finding]) -> None:
    """Say what must not go on unseen into the other file: the first errors, and how much there is."""
    errors = [finding for finding in findings if finding.level == "error"]
    for finding in errors[:SHOWN_ERRORS]:
        say(str(finding), style="yellow")
    if any(finding.level != "note" for finding in findings):
        say(f"Found in {source}: {_counts(findings)}. See: cloud-sync manifest lint {source}")


def format_of(target: Path, given: Literal["json", "csv"] | None, *, option: str) -> Literal["json", "csv"]:
    """Return in which format a file is written: as given, else as its name ends.

    Raises:
        BadParameter: Neither says.
    """
    wanted = given or SUFFIXES.get(target.suffix.lower())
    if wanted is None:
        raise typer.BadParameter(f"{target} ends neither with .json nor with .csv: add {option} json or csv")
    return wanted


@app.command(
    epilog="Examples:\n\ncloud-sync manifest diff yesterday.json today.json\n\n"
    "cloud-sync manifest diff videos.csv videos.json && echo same"
)
def diff(
    *,
    before: Annotated[Path, typer.Argument(metavar="A", help="First manifest.", show_default=False)],
    after: Annotated[Path, typer.Argument(metavar="B", help="Second manifest.", show_default=False)],
    lenient: LenientOption = False,
    output: OutputOption = "table",
) -> None:
    """Say which items were added, removed or changed between two manifests of whatever format.

    Items are the same if they have the same files; of the rest, groups with the same title.

    Ends with 0 if both register the same, with 1 if not.
    """
    from dataclasses import asdict

    from cloud_sync.manifest.compare import compare_manifests
    from cloud_sync.manifest.reader import read_manifest

    manifests = [read_manifest(file, file=str(file), lenient=lenient) for file in (before, after)]
    differences = compare_manifests(*manifests)
    if output == "json":
        show_json([asdict(each) for each in differences])
    elif differences:
        rows = [
            ((each.kind, each.item_type), (each.name, each.detail, each.place_before, each.place_after))
            for each in differences
        ]
        show_table(DIFFERENCE_COLUMNS, rows)
    kinds = Counter(each.kind for each in differences)
    say(f"{kinds['added']:,} added, {kinds['removed']:,} removed, {kinds['changed']:,} changed.")
    raise typer.Exit(ExitCode.FINDINGS if differences else ExitCode.FINE)
