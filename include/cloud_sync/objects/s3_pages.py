"""Read the pages of S3's ListObjectsV2: every key as the store has it, at a thirtieth of botocore's cost.

botocore signs, sends, follows redirects and tries again; only the reading of the answer is ours. Its own
takes 100 ms for a page of 1,000 keys, because it makes Python objects of every element. Here the elements
are found by numpy, and Arrow cuts the columns out of the page: no work in Python depends on the number of
keys, except for keys that XML has to escape.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cloud_sync.objects.model import Page
from cloud_sync.objects.rows import LISTING_SCHEMA, TIMESTAMP, indices, no_rows, strings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Codes = NDArray[np.uint32]
    Numbers = NDArray[np.intp]
    Offsets = NDArray[np.int32]
    Bytes = NDArray[np.uint8]

PAGE = "CloudSyncPage"
"""Under this name the bytes of a page stand in botocore's answer."""
ROOT, END = b"<ListBucketResult", b"</ListBucketResult>"
ROOT_WITHIN = 300
EMPTY_ANSWER = ROOT + b"/>"

LESS_THAN, GREATER_THAN, SLASH, AMPERSAND, PERCENT, PLUS, SPACE = b"<>/&%+ "
QUOTE = b"&quot;"
CODE_BYTES = 4
FEWEST_ALIKE = 2
REFERENCE = re.compile(r"&(?:#x([0-9a-fA-F]+)|#([0-9]+)|(amp|lt|gt|quot|apos));")
NAMED = {"amp": "&", "lt": "<", "gt": ">", "quot": '"', "apos": "'"}
NOT_HEX = 255
HEX = np.full(256, NOT_HEX, np.uint8)
HEX[np.frombuffer(b"0123456789", np.uint8)] = np.arange(10)
HEX[np.frombuffer(b"abcdef", np.uint8)] = HEX[np.frombuffer(b"ABCDEF", np.uint8)] = np.arange(10, 16)


def keep_pages(client: Any) -> None:
    """Make a boto3 client hand out the pages of its listings as bytes, unread, under the name `PAGE`.

    The name with the wildcard comes before botocore's own handlers, one of which reads every answer only to
    see that it is not an error; the check in `_take_page` tells as much.
    """
    client.meta.events.register("before-parse.*.ListObjectsV2", _take_page, unique_id=PAGE)


def _take_page(response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: Any) -> None:
    body = response_dict["body"]
    if ROOT in body[:ROOT_WITHIN] and (body.rstrip().endswith((END, EMPTY_ANSWER))):
        customized_response_dict[PAGE] = body
        response_dict["body"] = EMPTY_ANSWER


def read_page(answer: Mapping[str, Any]) -> Page:
    """Read the page in an answer of a client that keeps pages.

    Raises:
        ValueError: It is not a page of a listing, or not one that can be read without doubt.
    """
    if PAGE not in answer:
        raise ValueError("the answer is not a listing")
    try:
        return _Reader(answer[PAGE]).page()
    except IndexError:
        raise ValueError("an element of the page has no end") from None


class _Reader:
    """Reads one page: where its tags stand is found once, for all of its elements."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._bytes: Bytes = np.frombuffer(body, np.uint8)
        self._tags = np.flatnonzero(self._bytes[: -CODE_BYTES - 1] == LESS_THAN)
        # The letters behind each "<", seen as one number: a view of the page from every byte on.
        self._letters: Codes = np.ndarray((len(body) - CODE_BYTES,), "<u4", body, strides=(1,))
        self._codes: Codes = self._letters[self._tags + 1]
        self._width = 0
        self._objects = self._elements("Contents")
        self._width = self._common_width()

    def _common_width(self) -> int:
        """Return how many tags each object has if all have the same ones in the same order, else 0."""
        count = len(self._objects)
        if count < FEWEST_ALIKE:
            return 0
        first, second = self._objects[:2]
        width = int(second - first)
        tags = self._codes[first : first + width * count]
        alike = len(tags) == width * count and (tags.reshape(count, width) == tags[:width]).all()
        return width if alike else 0

    def page(self) -> Page:
        """Return what the page holds."""
        is_encoded = self._text("EncodingType") == "url"
        more = self._text("IsTruncated") == "true"
        token = self._text("NextContinuationToken") if more else None
        if more and not token:
            raise ValueError("the page is not the last, and does not say how to go on")
        return Page(self._rows(is_encoded=is_encoded), self._prefixes(is_encoded=is_encoded), token)

    def _rows(self, *, is_encoded: bool) -> pa.RecordBatch:
        count = len(self._objects)
        if not count:
            return no_rows()
        keys, sizes, times = (self._elements(name) for name in ("Key", "Size", "LastModified"))
        if not len(keys) == len(sizes) == len(times) == count:
            raise ValueError("an object has no key, size or time")
        columns = [
            _decoded(self._column(keys, "Key"), is_encoded=is_encoded),
            self._column(sizes, "Size").cast(pa.int64()),
            _times(self._column(times, "LastModified")),
            self._etags(count),
        ]
        return pa.RecordBatch.from_arrays(columns, schema=LISTING_SCHEMA)

    def _prefixes(self, *, is_encoded: bool) -> tuple[str, ...]:
        folded = self._elements("CommonPrefixes")
        if not len(folded):
            return ()
        # The page's own prefix is an element of the same name, but not behind a <CommonPrefixes>.
        prefixes = self._elements("Prefix")
        inside = prefixes[np.isin(prefixes - 1, folded)]
        if len(inside) != len(folded):
            raise ValueError("a common prefix is empty")
        return tuple(_decoded(self._column(inside, "Prefix"), is_encoded=is_encoded).to_pylist())

    def _etags(self, count: int) -> pa.StringArray:
        tags = self._elements("ETag")
        starts, ends = self._bounds(tags, "ETag")
        if len(tags) != count:
            # Some stores give some objects no etag: each belongs to the object that began last before it.
            owners = np.searchsorted(self._objects, tags) - 1
            starts, ends = _spread(owners, starts, ends, count)
        elif self._are_quoted(starts, ends):
            return _unescaped(_cut(self._body, starts + len(QUOTE), ends - len(QUOTE)))
        return pc.ascii_trim(_unescaped(_cut(self._body, starts, ends)), '"')

    def _are_quoted(self, starts: Numbers, ends: Numbers) -> bool:
        if (ends - starts < 2 * len(QUOTE)).any():
            return False
        # Six letters are two overlapping fours.
        places = ((starts, QUOTE[:4]), (starts + 2, QUOTE[2:]), (ends - 6, QUOTE[:4]), (ends - 4, QUOTE[2:]))
        return all((self._letters[at] == int.from_bytes(four, "little")).all() for at, four in places)

    def _elements(self, name: str) -> Numbers:
        """Return which tags open an element; no two elements of a listing share four letters and length."""
        code = _code(name)
        inside = self._inside_first(code)
        found = self._objects + inside if inside else np.flatnonzero(self._codes == code)
        closing = np.minimum(self._tags[found] + (len(name) + 1), len(self._bytes) - 1)
        opening: Numbers = found[self._bytes[closing] == GREATER_THAN]
        return opening

    def _inside_first(self, code: np.uint32) -> int:
        """Return which tag of the first object it is, and so of all, where they are alike; else 0."""
        if not self._width:
            return 0
        first = self._objects[0]
        places = np.flatnonzero(self._codes[first : first + self._width] == code)
        return int(places[0]) if len(places) == 1 else 0

    def _bounds(self, tags: Numbers, name: str) -> tuple[Numbers, Numbers]:
        """Return where the text of elements begins and ends: it ends with the next tag, its own end."""
        return self._tags[tags] + (len(name) + 2), self._tags[tags + 1]

    def _column(self, tags: Numbers, name: str) -> pa.StringArray:
        return _cut(self._body, *self._bounds(tags, name))

    def _text(self, name: str) -> str | None:
        """Return the text of an element that a page has once; no key can hold its tag, `<` is escaped."""
        tag = f"<{name}>".encode()
        start = self._body.find(tag)
        if start < 0:
            return None
        start += len(tag)
        end = self._body.find(b"<", start)
        if end < 0:
            raise IndexError
        return _plain(self._body[start:end].decode())


def _code(name: str) -> np.uint32:
    return np.uint32(int.from_bytes(f"{name}>".encode()[:CODE_BYTES], "little"))


def _spread(owners: Numbers, starts: Numbers, ends: Numbers, count: int) -> tuple[Numbers, Numbers]:
    """Give each object its bounds, and those without any an empty text behind the one before."""
    all_starts, all_ends = np.zeros(count, np.intp), np.zeros(count, np.intp)
    all_ends[owners] = ends
    all_ends = np.maximum.accumulate(all_ends)
    all_starts[:] = all_ends
    all_starts[owners] = starts
    return all_starts, all_ends


def _cut(body: bytes, starts: Numbers, ends: Numbers) -> pa.StringArray:
    """Return pieces of a page as an array.

    Seen as an array of which every second value is a piece and the others are what lies between, the page
    need not be copied: Arrow takes the pieces out of it.
    """
    offsets = np.empty(2 * len(starts), np.int32)
    offsets[0::2], offsets[1::2] = starts, ends
    if not len(offsets):
        return strings([])
    pieces = pa.StringArray.from_buffers(len(offsets) - 1, pa.py_buffer(offsets), pa.py_buffer(body))
    return pieces.take(_every_second(len(starts)))


@lru_cache(maxsize=4)
def _every_second(count: int) -> pa.Int32Array:
    return indices(np.arange(0, 2 * count, 2, dtype=np.int32))


def _times(texts: pa.StringArray) -> pa.TimestampArray:
    try:
        return texts.cast(TIMESTAMP)
    except pa.ArrowInvalid:  # some stores are more exact than a microsecond
        return texts.cast(pa.timestamp("ns", "UTC")).cast(TIMESTAMP, safe=False)


def _decoded(texts: pa.StringArray, *, is_encoded: bool) -> pa.StringArray:
    """Undo what the store did to keys, so that XML can carry them."""
    decoded = _url_decoded(texts) if is_encoded else _unescaped(texts)
    decoded.validate(full=True)  # UTF-8
    return decoded


def _unescaped(texts: pa.StringArray) -> pa.StringArray:
    """Undo XML's escapes."""
    if not (_data(texts) == AMPERSAND).any():
        return texts
    return strings([_plain(text) for text in texts.to_pylist()])


def _plain(text: str) -> str:
    return REFERENCE.sub(_character, text)


def _character(reference: re.Match[str]) -> str:
    hexadecimal, decimal, name = reference.groups()
    return NAMED[name] if name else chr(int(hexadecimal, 16) if hexadecimal else int(decimal))


def _url_decoded(texts: pa.StringArray) -> pa.StringArray:
    """Undo percent-encoding, with `+` for a space, of all texts at once; what is no escape stays."""
    data = _data(texts)
    escapes = np.flatnonzero(data[:-2] == PERCENT)
    high, low = HEX[data[escapes + 1]], HEX[data[escapes + 2]]
    is_escape = (high != NOT_HEX) & (low != NOT_HEX)
    spaces = data == PLUS
    if not is_escape.any() and not spaces.any():
        return texts
    decoded, kept = np.where(spaces, np.uint8(SPACE), data), np.ones(len(data), bool)
    escapes, high, low = escapes[is_escape], high[is_escape], low[is_escape]
    decoded[escapes] = high * 16 + low
    kept[escapes + 1] = kept[escapes + 2] = False
    offsets = _offsets(texts)
    offsets = (offsets - 2 * np.searchsorted(escapes, offsets)).astype(np.int32)
    return pa.StringArray.from_buffers(len(texts), pa.py_buffer(offsets), pa.py_buffer(decoded[kept]))


def _offsets(texts: pa.StringArray) -> Offsets:
    """Return where each text begins in `_data`, and the end of the last. The array must not be a slice."""
    offsets: Offsets = np.frombuffer(texts.buffers()[1], np.int32)[: len(texts) + 1]
    return offsets


def _data(texts: pa.StringArray) -> Bytes:
    """Return the bytes of all texts, one behind the other. The array must not be a slice."""
    buffer = texts.buffers()[2]
    data: Bytes = np.frombuffer(buffer, np.uint8) if buffer else np.zeros(0, np.uint8)
    return data[: _offsets(texts)[-1]]
