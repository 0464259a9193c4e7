"""The bytes of a manifest: read with a bound, brought to UTF-8, with lines and columns."""

from __future__ import annotations

import codecs
import json
from array import array
from bisect import bisect_right
from pathlib import Path
from typing import Final

from cloud_sync.encord_limits import MAX_FILE_BYTES, MAX_URLS
from cloud_sync.errors import ManifestError
from cloud_sync.manifest.findings import Findings

UTF_8: Final = ("utf-8", "utf-8-sig")


def load(source: Path | bytes, *, file: str, findings: Findings) -> bytes:
    """Return the manifest as UTF-8 without a byte order mark.

    UTF-16 and UTF-32 are recognised by their first bytes, as RFC 8259's predecessors describe.

    Raises:
        ManifestError: It cannot be read, is larger than Encord takes, or is not text.
    """
    data = source if isinstance(source, bytes) else _read_bounded(source, file)
    if len(data) > MAX_FILE_BYTES:
        raise ManifestError(
            f"is larger than {MAX_FILE_BYTES // 10**6} MB, which Encord takes at most.",
            where=file,
            remedy="Split it into several files.",
        )
    encoding = json.detect_encoding(data)
    if encoding == "utf-8":
        return data
    findings.add(
        "encoding",
        "",
        f"is {encoding.upper()}, not plain UTF-8.",
        "Save it as UTF-8 without a byte order mark.",
    )
    if encoding == "utf-8-sig":
        return data.removeprefix(codecs.BOM_UTF8)
    return decode(data, file=file, encoding=encoding).encode()


def too_many_entries(file: str) -> ManifestError:
    """Return the error about a file that is not read on, because Encord would refuse it in any case."""
    return ManifestError(
        f"holds more than {MAX_URLS:,} entries, and Encord takes as many object URLs at most.",
        where=file,
        remedy="Split it into several files.",
    )


def decode(data: bytes, *, file: str, encoding: str = "utf-8") -> str:
    """Decode text.

    Raises:
        ManifestError: It is none; names the line.
    """
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ManifestError(
            f"is not {encoding.upper()} text.", where=f"{file}, line {line}", remedy="Save it as UTF-8."
        ) from None


def _read_bounded(path: Path, file: str) -> bytes:
    try:
        with path.open("rb") as stream:
            return stream.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ManifestError.unreadable(error, file) from error


class Lines:
    """Turns offsets in a text into lines and columns, both from 1."""

    def __init__(self, text: str) -> None:
        self._starts = array("Q", [0])
        start = text.find("\n")
        while start >= 0:
            self._starts.append(start + 1)
            start = text.find("\n", start + 1)

    def place(self, offset: int) -> str:
        """Return `line 3, column 14`."""
        line = bisect_right(self._starts, offset)
        return f"line {line}, column {offset - self._starts[line - 1] + 1}"
