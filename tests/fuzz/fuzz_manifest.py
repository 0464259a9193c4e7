"""Fuzz the manifest readers: any bytes end in items with findings, or in a `ManifestError`.

    make fuzz FUZZ_SECONDS=600

Arguments are libFuzzer's: folders with inputs to begin with (new ones are written to the first), `-runs=`,
`-max_total_time=`. What is read without an error is written and read again, and has to come out the same.
"""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["cloud_sync", "json"]):
    from cloud_sync.errors import ManifestError
    from cloud_sync.manifest.content import ReadManifest
    from cloud_sync.manifest.convert import convert_manifest
    from cloud_sync.manifest.lint import lint
    from cloud_sync.manifest.reader import read_manifest

OPTIONS = (
    {"format": "json", "lenient": False},
    {"format": "json", "lenient": True},
    {"format": "csv", "lenient": False},
)


def test_one_input(data: bytes) -> None:
    """Read the same bytes in every way."""
    for options in OPTIONS:
        try:
            manifest = read_manifest(data, file="fuzz", **options)
        except ManifestError:
            continue
        lint(manifest)
        for item in range(len(manifest.items)):
            manifest.place_of(item)
        _write_and_read_again(manifest)


def _write_and_read_again(manifest: ReadManifest) -> None:
    try:
        written = convert_manifest(manifest, to="json").data
    except ManifestError:
        return
    again = read_manifest(written, file="written")
    if list(again.items) != list(manifest.items):
        raise AssertionError("reading what was written gives other items")


if __name__ == "__main__":
    atheris.Setup(sys.argv, test_one_input)
    atheris.Fuzz()
