"""Read the pages of Azure's List Blobs: every key as the store has it, without the SDK's objects.

The SDK makes one Python object of every element: 300 CPU seconds for a million blobs. `xml_pages` says how it
is done here.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes
from xml.sax.saxutils import escape

import numpy as np
import pyarrow as pa

from cloud_sync.objects.model import Page
from cloud_sync.objects.rows import LISTING_SCHEMA, TIMESTAMP, indices, no_rows
from cloud_sync.objects.xml_pages import XmlPage, data_of, plain, unescaped, valid_utf8

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cloud_sync.objects.xml_pages import Numbers

ROOT, END = b"<EnumerationResults", b"</EnumerationResults>"
ROOT_WITHIN = 300
ENCODING = b' Encoded="true">'
ENCODED = re.compile(rb'<(Name|Prefix) Encoded="true">([^<]*)</')
"""Names with characters that XML cannot hold come percent-encoded."""
MARKER = re.compile(rb"<NextMarker(?: ?/>|>([^<]*)</NextMarker>)\s*</EnumerationResults>\s*")

FOLDER_MARK = b"<hdi_isfolder>true</"
"""Metadata of blobs that stand for a folder."""

DATE = np.frombuffer(b"Fri, 20 Nov 2026 08:00:00 GMT", np.uint8)
"""What a time looks like."""
FIXED_AT = [3, 4, 7, 11, 16, 19, 22, 25, 26, 27, 28]
DIGITS_AT = [5, 6, 12, 13, 14, 15, 17, 18, 20, 21, 23, 24]
MONTH_AT = slice(8, 11)
LETTER_VALUES = np.array([1 << 16, 1 << 8, 1])
MONTHS = np.frombuffer(b"JanFebMarAprMayJunJulAugSepOctNovDec", np.uint8).reshape(12, 3) @ LETTER_VALUES
BY_NAME = np.argsort(MONTHS)
ZERO = ord("0")
LARGEST = (31, 23, 59, 60)
"""Of day, hour, minute and second; a leap second counts as the one behind it."""


def is_torn(body: bytes) -> bool:
    """Tell whether a page begins as it should, and ends in the middle."""
    return not body or (ROOT in body[:ROOT_WITHIN] and not body.rstrip().endswith(END))


def read_page(body: bytes) -> Page:
    """Read one page. Blobs that stand for a folder are left out.

    Args:
        body: The page, asked for with the metadata of the blobs.

    Raises:
        ValueError: It is not a page of a listing, or not one that can be read without doubt.
    """
    if ROOT not in body[:ROOT_WITHIN] or not body.rstrip().endswith(END):
        raise ValueError("the answer is not a listing, or not a whole one")
    try:
        return _Reader(ENCODED.sub(_escaped, body) if ENCODING in body else body).page()
    except IndexError:
        raise ValueError("an element of the page has no end") from None


def _escaped(name: re.Match[bytes]) -> bytes:
    """Return an element with its text escaped as that of others."""
    text = unquote_to_bytes(plain(name[2].decode())).decode()
    return b"<%b>%b</" % (name[1], escape(text).encode())


class _Reader:
    """Reads one page."""

    def __init__(self, body: bytes) -> None:
        self._xml = XmlPage(body, "Blob", foreign="Metadata")
        self._folded = self._xml.elements("BlobPrefix")

    def page(self) -> Page:
        """Return what the page holds."""
        return Page(self._rows(), self._prefixes(), self._marker())

    def _marker(self) -> str | None:
        body = self._xml.body
        marker = MARKER.fullmatch(body, max(0, body.rfind(b"<NextMarker")))
        if marker is None:
            raise ValueError("the page does not say whether it is the last")
        return plain(marker[1].decode()) if marker[1] else None

    def _rows(self) -> pa.RecordBatch:
        xml = self._xml
        count = len(xml.entries)
        if not count:
            return no_rows()
        names, sizes, times = (self._of_blobs(name) for name in ("Name", "Content-Length", "Last-Modified"))
        if not len(names) == len(sizes) == len(times) == count:
            raise ValueError("a blob has no name, size or time")
        columns = [
            valid_utf8(unescaped(xml.column(names, "Name"))),
            xml.column(sizes, "Content-Length").cast(pa.int64()),
            http_times(xml.column(times, "Last-Modified")),
            xml.etags(self._of_blobs("Etag"), "Etag"),
        ]
        rows = pa.RecordBatch.from_arrays(columns, schema=LISTING_SCHEMA)
        folders = [*self._directories(), *self._folder_markers(rows)]
        if not folders:
            return rows
        is_object = np.ones(count, bool)
        is_object[folders] = False
        return rows.take(indices(np.flatnonzero(is_object).astype(np.int32)))

    def _directories(self) -> list[int]:
        """Return which rows are directories of an account with a hierarchical namespace."""
        types = self._of_blobs("ResourceType")
        if not len(types):
            return []
        kinds = self._xml.column(types, "ResourceType").to_pylist()
        owners = self._xml.owners(types).tolist()
        return [owner for owner, kind in zip(owners, kinds, strict=True) if kind == "directory"]

    def _folder_markers(self, rows: pa.RecordBatch) -> list[int]:
        """Return which rows are empty blobs by which Hadoop marks folders."""
        if FOLDER_MARK not in self._xml.body:
            return []
        return [row for row in self._xml.owners_of(FOLDER_MARK) if not rows["size_bytes"][row].as_py()]

    def _prefixes(self) -> tuple[str, ...]:
        if not len(self._folded):
            return ()
        # Properties of its own follow the name where the account has a hierarchical namespace.
        names = self._folded + 1
        if not self._xml.are(names, "Name").all():
            raise ValueError("a common prefix has no name")
        return tuple(valid_utf8(unescaped(self._xml.column(names, "Name"))).to_pylist())

    def _of_blobs(self, name: str) -> Numbers:
        """Return which tags open elements of blobs, those of common prefixes left out."""
        found = self._xml.elements(name)
        if not len(self._folded):
            return found
        return found[_last_before(found, self._xml.entries) > _last_before(found, self._folded)]


def _last_before(tags: Numbers, openings: Numbers) -> Numbers:
    """Return for each tag the last of some others before it; -1 if there is none."""
    last: Numbers = np.concatenate(([-1], openings))[np.searchsorted(openings, tags)]
    return last


def http_times(texts: pa.StringArray) -> pa.TimestampArray:
    """Read times like `Fri, 20 Nov 2026 08:00:00 GMT`, all at once.

    Raises:
        ValueError: One does not look like that.
    """
    letters = data_of(texts)
    if len(letters) != len(DATE) * len(texts):
        raise ValueError("a time cannot be read")
    letters = letters.reshape(len(texts), len(DATE))
    digits = letters[:, DIGITS_AT].astype(np.int64) - ZERO
    names = letters[:, MONTH_AT] @ LETTER_VALUES
    months = BY_NAME[np.searchsorted(MONTHS, names, sorter=BY_NAME) % len(MONTHS)]
    if not (
        (letters[:, FIXED_AT] == DATE[FIXED_AT]).all()
        and ((digits >= 0) & (digits <= 9)).all()  # noqa: PLR2004 (decimal digits)
        and (MONTHS[months] == names).all()
    ):
        raise ValueError("a time cannot be read")
    return _instants(digits, months)


def _instants(digits: NDArray[np.int64], months: NDArray[np.intp]) -> pa.TimestampArray:
    tens = digits[:, 0::2] * 10 + digits[:, 1::2]
    day, century, year, hour, minute, second = tens.T
    if (day < 1).any() or (np.stack((day, hour, minute, second)).max(axis=1) > LARGEST).any():
        raise ValueError("a time is none")
    first_days = ((century * 100 + year - 1970) * 12 + months).astype("datetime64[M]").astype("datetime64[D]")
    days = first_days.astype(np.int64) + day - 1
    seconds = ((days * 24 + hour) * 60 + minute) * 60 + second
    microseconds = pa.py_buffer(np.ascontiguousarray(seconds * 1_000_000))
    return pa.Array.from_buffers(TIMESTAMP, len(seconds), [None, microseconds])
