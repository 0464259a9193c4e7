"""Read the pages of a listing in XML: every key as the store has it, without a Python object for each.

The elements are found by numpy, and Arrow cuts the columns out of the page: no work in Python depends on the
number of keys, except for keys that XML has to escape.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cloud_sync.objects.rows import TIMESTAMP, indices, strings

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Codes = NDArray[np.uint32]
    Numbers = NDArray[np.intp]
    Offsets = NDArray[np.int32]
    Bytes = NDArray[np.uint8]

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


class XmlPage:
    """The elements of one page: where its tags stand is found once, for all of them.

    An element is known by the length of its name, the first four letters and the last three, so no two
    elements that a listing has may share all of these.

    Args:
        body: The page.
        entry: Name of the element that holds an object.
        foreign: Name of the element in which others have named the elements, so that it is not looked into.

    Attributes:
        body: The page.
        entries: Which tags open an object.
    """

    def __init__(self, body: bytes, entry: str, foreign: str | None = None) -> None:
        self.body = body
        self._bytes: Bytes = np.frombuffer(body, np.uint8)
        self._tags = np.flatnonzero(self._bytes[: -CODE_BYTES - 1] == LESS_THAN)
        # The letters behind each "<", seen as one number: a view of the page from every byte on.
        self._letters: Codes = np.ndarray((len(body) - CODE_BYTES,), "<u4", body, strides=(1,))
        self._codes: Codes = self._letters[self._tags + 1]
        if foreign:
            self._leave_out(foreign)
        self._width = 0
        self.entries = self.elements(entry)
        self._width = self._common_width()

    def _leave_out(self, name: str) -> None:
        """Forget the tags from behind one that opens an element to before the one that closes it."""
        openings = self._named(name)
        behind = self._tags[openings] + (len(name) + 1)
        is_open = self._bytes[behind] == GREATER_THAN
        has_more = (self._bytes[behind] == SPACE) & (self._bytes[behind + 1] != SLASH)
        is_open[has_more] = [self._goes_on(start) for start in behind[has_more].tolist()]
        if not is_open.any():
            return
        depth = np.zeros(len(self._tags), np.int32)
        depth[openings[is_open]] = 1
        depth[self._named(f"/{name}")] = -1
        outside = np.cumsum(depth) <= 0
        self._tags, self._codes = self._tags[outside], self._codes[outside]

    def _named(self, name: str) -> Numbers:
        """Return which tags begin with a name, whatever follows it."""
        found = np.flatnonzero(self._codes == _number(name[:CODE_BYTES]))
        ending = np.minimum(self._tags[found] + (len(name) + 1 - CODE_BYTES), len(self._letters) - 1)
        named: Numbers = found[self._letters[ending] == _number(name[-CODE_BYTES:])]
        return named

    def _goes_on(self, start: int) -> bool:
        """Tell whether the element of a tag has an end of its own: `<a b="c">`, and not `<a b="c"/>`."""
        end = self.body.find(b">", start)
        return self.body[end - 1] != SLASH

    def owners(self, tags: Numbers) -> Numbers:
        """Return of which object each tag is: of the one that began last before it."""
        owners: Numbers = np.searchsorted(self.entries, tags) - 1
        return owners

    def owners_of(self, text: bytes) -> list[int]:
        """Return which objects hold a text, wherever in them."""
        found, start = [], self.body.find(text)
        while start >= 0:
            found.append(int(np.searchsorted(self._tags[self.entries], start)) - 1)
            start = self.body.find(text, start + 1)
        return found

    def _common_width(self) -> int:
        """Return how many tags each object has if all have the same ones in the same order, else 0."""
        count = len(self.entries)
        if count < FEWEST_ALIKE:
            return 0
        first, second = self.entries[:2]
        width = int(second - first)
        tags = self._codes[first : first + width * count]
        alike = len(tags) == width * count and (tags.reshape(count, width) == tags[:width]).all()
        return width if alike else 0

    def elements(self, name: str) -> Numbers:
        """Return which tags open elements of a name: only those of objects if all objects have it alike."""
        code = _number(f"{name}>"[:CODE_BYTES])
        inside = self._inside_first(code)
        found = self.entries + inside if inside else np.flatnonzero(self._codes == code)
        opening: Numbers = found[self.are(found, name)]
        return opening

    def are(self, tags: Numbers, name: str) -> NDArray[np.bool_]:
        """Return which of some tags open an element of a name."""
        begins = self._codes[tags] == _number(f"{name}>"[:CODE_BYTES])
        # The name's last three letters and the ">" behind it, seen as one number, too.
        ending = np.minimum(self._tags[tags] + (len(name) + 2 - CODE_BYTES), len(self._letters) - 1)
        matching: NDArray[np.bool_] = begins & (self._letters[ending] == _number(f"{name}>"[-CODE_BYTES:]))
        return matching

    def _inside_first(self, code: np.uint32) -> int:
        """Return which tag of the first object it is, and so of all, where they are alike; else 0."""
        if not self._width:
            return 0
        first = self.entries[0]
        places = np.flatnonzero(self._codes[first : first + self._width] == code)
        return int(places[0]) if len(places) == 1 else 0

    def bounds(self, tags: Numbers, name: str) -> tuple[Numbers, Numbers]:
        """Return where the text of elements begins and ends: it ends with the next tag, its own end."""
        return self._tags[tags] + (len(name) + 2), self._tags[tags + 1]

    def column(self, tags: Numbers, name: str) -> pa.StringArray:
        """Return the texts of elements."""
        return _cut(self.body, *self.bounds(tags, name))

    def etags(self, tags: Numbers, name: str) -> pa.StringArray:
        """Return the etag of each object, without quotes; an empty one for those that have none."""
        starts, ends = self.bounds(tags, name)
        if len(tags) != len(self.entries):
            # Some stores give some objects no etag: each belongs to the object that began last before it.
            starts, ends = _spread(self.owners(tags), starts, ends, len(self.entries))
        elif self._are_quoted(starts, ends):
            return unescaped(_cut(self.body, starts + len(QUOTE), ends - len(QUOTE)))
        return pc.ascii_trim(unescaped(_cut(self.body, starts, ends)), '"')

    def _are_quoted(self, starts: Numbers, ends: Numbers) -> bool:
        if (ends - starts < 2 * len(QUOTE)).any():
            return False
        # Six letters are two overlapping fours.
        places = ((starts, QUOTE[:4]), (starts + 2, QUOTE[2:]), (ends - 6, QUOTE[:4]), (ends - 4, QUOTE[2:]))
        return all((self._letters[at] == int.from_bytes(four, "little")).all() for at, four in places)

    def text(self, name: str) -> str | None:
        """Return the text of an element that a page has once; no key can hold its tag, `<` is escaped."""
        tag = f"<{name}>".encode()
        start = self.body.find(tag)
        if start < 0:
            return None
        start += len(tag)
        end = self.body.find(b"<", start)
        if end < 0:
            raise IndexError
        return plain(self.body[start:end].decode())


def _number(letters: str) -> np.uint32:
    return np.uint32(int.from_bytes(letters.encode(), "little"))


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


def iso_times(texts: pa.StringArray) -> pa.TimestampArray:
    """Read times like `2026-11-20T08:00:00.000Z`."""
    try:
        return texts.cast(TIMESTAMP)
    except pa.ArrowInvalid:  # some stores are more exact than a microsecond
        return texts.cast(pa.timestamp("ns", "UTC")).cast(TIMESTAMP, safe=False)


def valid_utf8(texts: pa.StringArray) -> pa.StringArray:
    """Return the same texts if they are UTF-8.

    Raises:
        ValueError: One is not.
    """
    texts.validate(full=True)
    return texts


def unescaped(texts: pa.StringArray) -> pa.StringArray:
    """Undo XML's escapes."""
    if not (data_of(texts) == AMPERSAND).any():
        return texts
    return strings([plain(text) for text in texts.to_pylist()])


def plain(text: str) -> str:
    """Undo XML's escapes in one text."""
    return REFERENCE.sub(_character, text)


def _character(reference: re.Match[str]) -> str:
    hexadecimal, decimal, name = reference.groups()
    return NAMED[name] if name else chr(int(hexadecimal, 16) if hexadecimal else int(decimal))


def url_decoded(texts: pa.StringArray) -> pa.StringArray:
    """Undo percent-encoding, with `+` for a space, of all texts at once; what is no escape stays."""
    data = data_of(texts)
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
    """Return where each text begins in its data, and the end of the last. The array must not be a slice."""
    offsets: Offsets = np.frombuffer(texts.buffers()[1], np.int32)[: len(texts) + 1]
    return offsets


def data_of(texts: pa.StringArray) -> Bytes:
    """Return the bytes of all texts, one behind the other. The array must not be a slice."""
    buffer = texts.buffers()[2]
    data: Bytes = np.frombuffer(buffer, np.uint8) if buffer else np.zeros(0, np.uint8)
    return data[: _offsets(texts)[-1]]
