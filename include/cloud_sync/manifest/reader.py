"""Read a manifest, JSON or CSV: any bytes end in items with findings, or in a `ManifestError`."""

from __future__ import annotations

from pathlib import Path

from cloud_sync.manifest.content import ManifestFormat, ReadManifest
from cloud_sync.manifest.csv_reader import read_csv
from cloud_sync.manifest.findings import Findings
from cloud_sync.manifest.json_reader import read_json
from cloud_sync.manifest.source import load


def read_manifest(
    source: Path | bytes, *, file: str, format: ManifestFormat | None = None, lenient: bool = False
) -> ReadManifest:
    """Read a manifest.

    Args:
        source: The file, or its content.
        file: What to call it in errors.
        format: What it is; None tells by its first character, which is `{` in JSON alone.
        lenient: Read JSON with commas before closing brackets.

    Raises:
        ManifestError: It is too large or cannot be read; names file, place and remedy.
    """
    findings = Findings()
    data = load(source, file=file, findings=findings)
    if format is None:
        format = "json" if data[:1000].lstrip()[:1] in {b"{", b"["} else "csv"
    if format == "csv":
        return read_csv(data, file=file, findings=findings)
    return read_json(data, file=file, lenient=lenient, findings=findings)
