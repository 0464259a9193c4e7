"""A manifest that a person gives for upload: read, linted, and written down as what the build stage reads.

It takes the place of a plan. Nothing but its items goes on from here: what is sent is written anew.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, Final

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from cloud_sync.encord_limits import MAX_TITLE_CHARACTERS
from cloud_sync.manifest.build import ITEMS_SCHEMA
from cloud_sync.manifest.chunks import FILE_COLUMNS
from cloud_sync.manifest.content import ManifestFormat, ReadManifest
from cloud_sync.manifest.findings import Finding, Findings, in_file_order
from cloud_sync.manifest.items import GROUPED_TYPES, Item, ItemType
from cloud_sync.manifest.json_format import encode_manifest
from cloud_sync.manifest.lint import lint
from cloud_sync.manifest.lint_storage import StorageUrls, lint_storage
from cloud_sync.manifest.lint_urls import file_name
from cloud_sync.manifest.model import FINDINGS_NAME
from cloud_sync.manifest.reader import read_manifest
from cloud_sync.planning.model import (
    GIVEN,
    METADATA_COLUMNS,
    METADATA_NAME,
    REGISTER_NAME,
    PlanRow,
    write_plan,
)
from cloud_sync.run_folder import FileRef, RunFolder
from cloud_sync.safe_url import without_secrets
from cloud_sync.titles import short_title

GIVEN_NAME = "given.json"

LEVELS: Final = ("error", "warning", "note")
ITEMS_AT_ONCE: Final = 10_000
EXAMPLES: Final = 5

SETTLED_BY_BUILD: Final = frozenset(("many-items",))
"""Codes of findings about the file as a whole that do not hold of the manifests into which it is split."""

# As the plan stage writes them.
REGISTER_SCHEMA: Final = pa.schema([ITEMS_SCHEMA.field(name) for name in FILE_COLUMNS])
METADATA_SCHEMA: Final = pa.schema([(name, pa.string()) for name in METADATA_COLUMNS])


@dataclass(frozen=True, slots=True)
class GivenManifest:
    """What is known of a given manifest: `given.json`.

    Attributes:
        file: Its name, as messages give it.
        format: What it was read as.
        items: How many items it has.
        files: How many object URLs.
        skip_duplicate_urls: As it will be sent.
        upsert_metadata: As it will be sent.
        findings: How many there are of each level.
    """

    file: str
    format: str
    items: int
    files: int
    skip_duplicate_urls: bool
    upsert_metadata: bool
    findings: dict[str, int]


def examine(
    source: Path | bytes,
    *,
    file: str,
    format: ManifestFormat | None,
    lenient: bool,
    skip_duplicate_urls: bool,
    urls: StorageUrls,
) -> tuple[ReadManifest, tuple[Finding, ...]]:
    """Read a given manifest and return it with all that is to be said of it.

    Args:
        source: The file, or its content.
        file: What to call it in errors.
        format: What it is; None tells by its first character.
        lenient: Read JSON with commas before closing brackets.
        skip_duplicate_urls: What the upload says; where it is false, the manifest's own word counts.
        urls: Those of the integration.

    Raises:
        ManifestError: It cannot be read.
    """
    manifest = read_manifest(source, file=file, format=format, lenient=lenient)
    stated = manifest.skip_duplicate_urls
    manifest = replace(manifest, skip_duplicate_urls=True if skip_duplicate_urls else stated)
    found = [finding for finding in lint(manifest) if finding.code not in SETTLED_BY_BUILD]
    if stated is False and skip_duplicate_urls:
        found += _overruled()
    if not any(finding.level == "error" for finding in found):
        found += lint_storage(manifest, urls)
    return manifest, in_file_order(found)


def by_level(findings: Sequence[Finding]) -> dict[str, list[Finding]]:
    """Return the findings of each level, the worst level first; levels without any too."""
    return {level: [finding for finding in findings if finding.level == level] for level in LEVELS}


def count_by_level(findings: Sequence[Finding]) -> dict[str, int]:
    """Return how many findings there are of each level."""
    return {level: len(found) for level, found in by_level(findings).items()}


def write_findings(folder: RunFolder, file: str, findings: Sequence[Finding]) -> None:
    """Write `findings.json`."""
    content = {
        "file": file,
        "counts": count_by_level(findings),
        "findings": [asdict(finding) for found in by_level(findings).values() for finding in found],
    }
    folder.write_json(FINDINGS_NAME, content)


def write_given(folder: RunFolder, manifest: ReadManifest, findings: Sequence[Finding]) -> FileRef:
    """Write what the build stage reads, as the plan stage does, and `given.json`.

    A key stands for the object's URL, because nothing was listed; sizes and etags are not known. A file's
    title that is empty is left out, as it is of CSV.

    Args:
        folder: The run folder.
        manifest: A manifest without errors.
        findings: What was said of it.

    Returns:
        A reference to the summary.

    Raises:
        ManifestError: An item cannot be written.
    """
    with (
        writing_table(folder, REGISTER_NAME, REGISTER_SCHEMA) as files,
        writing_table(folder, METADATA_NAME, METADATA_SCHEMA) as described,
    ):
        for start, items in _batches(manifest.items):
            # Shows that they can be written, and that no text in them is half a character.
            encode_manifest(items, skip_duplicate_urls=True)
            files.write_table(_files_table(items, start))
            described.write_table(_metadata_table(items, start))
    rows = plan_rows(manifest.items, GIVEN)
    count = sum(row.objects for row in rows)
    folder.write_json(GIVEN_NAME, asdict(_given(manifest, findings, count)))
    return write_plan(folder, rows, objects=count, to_register=count, items=len(manifest.items))


def read_given(folder: RunFolder) -> GivenManifest:
    """Read `given.json`."""
    return GivenManifest(**folder.read_json(GIVEN_NAME))


def _overruled() -> tuple[Finding, ...]:
    findings = Findings()
    findings.add(
        "skip-duplicates-overruled",
        "",
        "states skip_duplicate_urls: false, and is sent with true.",
        "Say true; only an integration with upload.skip_duplicate_urls: false registers URLs twice.",
    )
    return findings.all()


@contextmanager
def writing_table(folder: RunFolder, name: str, schema: pa.Schema) -> Iterator[pq.ParquetWriter]:
    """Give a writer of a Parquet file that appears whole or not at all."""
    with folder.writing(name) as path, pq.ParquetWriter(path, schema, compression="snappy") as writer:
        yield writer


def _batches(items: Sequence[Item]) -> Iterator[tuple[int, list[Item]]]:
    rest, start = iter(items), 0
    while batch := list(islice(rest, ITEMS_AT_ONCE)):
        yield start, batch
        start += len(batch)


def _item_key(number: int) -> str:
    """Return the key of an item, by which its files are known to be one: no two items may share it."""
    return f"{number:07}"


def _files_table(items: Sequence[Item], start: int) -> pa.Table:
    rows = [
        (url, item.item_type, _item_key(number), position)
        for number, item in enumerate(items, start)
        for position, url in enumerate(item.object_urls)
    ]
    names = ("key", "item_type", "item_key", "position")
    known = dict(zip(names, zip(*rows, strict=True), strict=True))
    columns = [
        pa.array(known[field.name], field.type) if field.name in known else pa.nulls(len(rows), field.type)
        for field in REGISTER_SCHEMA
    ]
    return pa.table(columns, schema=REGISTER_SCHEMA)


def _metadata_table(items: Sequence[Item], start: int) -> pa.Table:
    columns = [
        [_item_key(number) for number in range(start, start + len(items))],
        [_title(item) for item in items],
        [as_json(item.client_metadata) for item in items],
        [as_json(item.video_metadata) for item in items],
    ]
    return pa.table([pa.array(column, pa.string()) for column in columns], schema=METADATA_SCHEMA)


def _title(item: Item) -> str | None:
    """Return the title that is sent; of a long file name one that Encord accepts."""
    url = item.object_urls[0]
    if item.title or item.item_type in GROUPED_TYPES or len(url) <= MAX_TITLE_CHARACTERS:
        return item.title or None
    name = file_name(url)
    # Not left to the build stage, which takes the URL for a key: of that the name is not decoded.
    return short_title(name) or (name if short_title(url) else None)


def as_json(value: Any) -> str | None:
    """Return metadata as text, as the build stage reads it; None of none."""
    return None if value is None else msgspec.json.encode(value).decode()


def plan_rows(items: Sequence[Item], reason: str) -> list[PlanRow]:
    """Return the summary of a plan that sends all these items for one reason."""
    counts: Counter[ItemType] = Counter()
    files: Counter[ItemType] = Counter()
    examples: defaultdict[ItemType, list[str]] = defaultdict(list)
    for item in items:
        counts[item.item_type] += 1
        files[item.item_type] += len(item.object_urls)
        if counts[item.item_type] <= EXAMPLES:
            examples[item.item_type].append(without_secrets(item.object_urls[0]))
    return [
        PlanRow("register", kind, reason, files[kind], 0, tuple(examples[kind]), count)
        for kind, count in sorted(counts.items())
    ]


def _given(manifest: ReadManifest, findings: Sequence[Finding], files: int) -> GivenManifest:
    return GivenManifest(
        file=manifest.file,
        format=manifest.format,
        items=len(manifest.items),
        files=files,
        skip_duplicate_urls=bool(manifest.skip_duplicate_urls),
        upsert_metadata=bool(manifest.upsert_metadata),
        findings=count_by_level(findings),
    )
