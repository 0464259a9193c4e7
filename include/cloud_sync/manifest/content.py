"""What a reader makes of a manifest file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from cloud_sync.errors import ManifestError
from cloud_sync.manifest.findings import Finding
from cloud_sync.manifest.items import Item
from cloud_sync.numbers import counted

ManifestFormat = Literal["json", "csv"]
Dialect = Literal["raw", "typed"]
"""raw: the product document's JSON. typed: the SDK's `DataUploadItems`."""


@dataclass(frozen=True, slots=True)
class ReadManifest:
    """A manifest that was read.

    Attributes:
        file: Its name, as messages give it.
        format: What it was read as.
        dialect: Which JSON it is; None for CSV.
        items: In the order of `MANIFEST_KEYS`, those of one key in the order of the file. An entry with an
            error may be absent, so nothing may be submitted while there is one: see `refuse_errors`.
        skip_duplicate_urls: As stated; None where the file does not say.
        upsert_metadata: As stated; None where the file does not say.
        findings: What was found while reading; `lint` finds more.
        place_of: Gives the place of an item by its position in `items`.
        unread: How many entries are absent from `items`, because they cannot be read.
        unread_flags: Names of flags that are stated, but not so that they can be read.
    """

    file: str
    format: ManifestFormat
    dialect: Dialect | None
    items: Sequence[Item]
    skip_duplicate_urls: bool | None
    upsert_metadata: bool | None
    findings: tuple[Finding, ...]
    place_of: Callable[[int], str]
    unread: int = 0
    unread_flags: frozenset[str] = frozenset()


def refuse_errors(file: str, findings: Sequence[Finding]) -> None:
    """Let only those manifests pass that say what would be done.

    Raises:
        ManifestError: There is a finding of the level error; names the first.
    """
    errors = [finding for finding in findings if finding.level == "error"]
    if errors:
        first = errors[0]
        more = f" {counted(len(errors) - 1, 'more error')}." if len(errors) > 1 else ""
        raise ManifestError(
            f"{first.message} [{first.code}]{more}",
            where=f"{file}, {first.place}" if first.place else file,
            remedy=first.remedy or None,
        )
