"""Read a JSON manifest, in either dialect: in one sweep, or entry by entry where something is to be said."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from typing import Any, Final

from cloud_sync.encord_limits import MAX_URLS, MAX_VALUES
from cloud_sync.errors import ManifestError
from cloud_sync.manifest.content import Dialect, ReadManifest
from cloud_sync.manifest.findings import Findings
from cloud_sync.manifest.items import Item
from cloud_sync.manifest.json_entries import FORMS, KEYS_IN_ORDER, TYPE_OF_KEY, EntryReader, shown
from cloud_sync.manifest.json_sweep import MAX_SWEPT, sweep
from cloud_sync.manifest.json_walk import Entry, JsonText, without_trailing_commas
from cloud_sync.manifest.source import Lines, decode, too_many_entries

RAW_KEYS: Final = {
    "imageGroups": "image_groups",
    "dicomSeries": "dicom_series",
    "skipDuplicateUrls": "skip_duplicate_urls",
    "upsertMetadata": "upsert_metadata",
}
"""Keys of the typed dialect that are written otherwise in the raw one."""

RAW_ONLY: Final = frozenset(RAW_KEYS.values())
TYPED_ONLY: Final = frozenset((*RAW_KEYS, "pdf", "nifti"))
FLAGS: Final = ("skip_duplicate_urls", "upsert_metadata")
NOT_CARRIED: Final = frozenset(
    ("image_groups_from_items", "imageGroupsFromItems", "time_series", "timeSeries", "scenes")
)


def read_json(data: bytes, *, file: str, lenient: bool, findings: Findings) -> ReadManifest:
    """Read UTF-8 text.

    Args:
        data: The file's content.
        file: Its name, for errors.
        lenient: Read commas before closing brackets as if they were not there.
        findings: What was found before; more is added.

    Raises:
        ManifestError: It is not JSON, or not an object; names line and column. Or it holds too many values.
    """
    # Each value stands behind one of these, so there are no more values, whatever the strings hold.
    objects = data.count(b"{")
    if objects + data.count(b"[") + data.count(b",") > MAX_VALUES:
        raise ManifestError(
            f"holds more than {MAX_VALUES:,} opening brackets and commas.",
            where=file,
            remedy="Split it into several files, or keep clientMetadata smaller.",
        )
    # Too many entries are left to the walk, which ends at the first of them.
    may_sweep = objects <= MAX_SWEPT or data.count(b'"objectUrl"') <= MAX_SWEPT
    swept = sweep(data) if may_sweep else None
    if swept is None:
        walk = _walk(data, file, lenient=lenient, findings=findings)
        return ReadManifest(
            file,
            "json",
            walk.dialect(),
            walk.all_items(),
            walk.flags.get("skip_duplicate_urls"),
            walk.flags.get("upsert_metadata"),
            findings.all(),
            walk.place_of,
            walk.unread,
            frozenset(walk.unread_flags),
        )
    return ReadManifest(
        file,
        "json",
        "raw",
        swept.items,
        swept.skip_duplicate_urls,
        swept.upsert_metadata,
        findings.all(),
        _LazyPlaces(data, file),
    )


class _LazyPlaces:
    """The places of swept items, found out when the first is asked for: mostly none is."""

    def __init__(self, data: bytes, file: str) -> None:
        self._data = data
        self._file = file
        self._found: _Walk | None = None

    def __call__(self, item: int) -> str:
        """Return the place of an item."""
        if self._found is None:
            self._found = _walk(self._data, self._file, lenient=False, findings=Findings())
        return self._found.place_of(item)


def _arrays() -> dict[str, array[int]]:
    return {key: array("Q") for key in KEYS_IN_ORDER}


@dataclass(slots=True)
class _Walk:
    """What a walk through the entries has collected so far; items and their places by raw key."""

    findings: Findings
    lines: Lines
    keys: dict[str, str] = field(default_factory=dict)
    flags: dict[str, bool] = field(default_factory=dict)
    items: dict[str, list[Item]] = field(default_factory=lambda: {key: [] for key in KEYS_IN_ORDER})
    indexes: dict[str, array[int]] = field(default_factory=_arrays)
    offsets: dict[str, array[int]] = field(default_factory=_arrays)
    unread: int = 0
    unread_flags: set[str] = field(default_factory=set)

    def all_items(self) -> list[Item]:
        """Return the items in the order of the keys."""
        return [item for key in KEYS_IN_ORDER for item in self.items[key]]

    def place_of(self, item: int) -> str:
        """Return the place of one of `all_items`."""
        for key in KEYS_IN_ORDER:
            if item < len(self.offsets[key]):
                return self.place(self.keys[key], self.indexes[key][item], self.offsets[key][item])
            item -= len(self.offsets[key])
        raise IndexError(item)

    def place(self, key: str, index: int | None, offset: int) -> str:
        """Return `line 14, column 5, videos[3]`."""
        name = shown(key) if index is None else f"{shown(key)}[{index}]"
        return f"{self.lines.place(offset)}, {name}"

    def dialect(self) -> Dialect:
        """Return the dialect that the keys are of."""
        return "typed" if not TYPED_ONLY.isdisjoint(self.keys.values()) else "raw"


def _walk(data: bytes, file: str, *, lenient: bool, findings: Findings) -> _Walk:
    text = decode(data, file=file)
    walk = _Walk(findings, Lines(text))
    if lenient:
        text, commas = without_trailing_commas(text)
        for offset in commas:
            place = walk.lines.place(offset)
            findings.add("trailing-comma", place, "has a comma before a closing bracket.", "Remove it.")
    reader: EntryReader | None = None
    for number, entry in enumerate(JsonText(file, text).entries()):
        if number > MAX_URLS:
            raise too_many_entries(file)
        if entry.position is None:
            reader = _begin_key(walk, entry)
        elif reader is not None:
            _read_entry(walk, reader, entry, entry.position)
    _check_dialect(walk)
    return walk


def _begin_key(walk: _Walk, entry: Entry) -> EntryReader | None:
    """Note a top-level key; return what reads the entries of its list, if it has one."""
    place = walk.place(entry.key, None, entry.offset)
    raw_key = RAW_KEYS.get(entry.key, entry.key)
    if raw_key in FLAGS:
        _read_flag(walk, raw_key, entry.value, place)
    elif raw_key not in TYPE_OF_KEY:
        known = entry.key in NOT_CARRIED
        if known and entry.value == []:  # the SDK writes them all
            return None
        walk.findings.add(
            "unsupported-key" if known else "unknown-key",
            place,
            "is not carried by this project." if known else "is no key of a manifest.",
            "Remove it, or submit the file in Encord itself."
            if known
            else "Correct its spelling, or remove it.",
        )
        return None
    elif not isinstance(entry.value, list):
        walk.findings.add("unreadable-value", place, "is not a list.", FORMS)
        walk.unread += 1
    elif walk.keys.get(raw_key) == entry.key:
        walk.findings.add(
            "repeated-key",
            place,
            "stands in the file already; the entries of both were read.",
            "Put all entries into one list: most programs keep only the last.",
        )
    walk.keys.setdefault(raw_key, entry.key)
    if walk.keys[raw_key] != entry.key:
        walk.findings.add("mixed-dialects", place, "stands in the file in both dialects.", "Use one dialect.")
    if raw_key not in TYPE_OF_KEY:
        return None
    dialect: Dialect = "typed" if entry.key in TYPED_ONLY else "raw"
    return EntryReader(TYPE_OF_KEY[raw_key], dialect, walk.findings)


def _read_flag(walk: _Walk, name: str, value: Any, place: str) -> None:
    if not isinstance(value, bool) and value is not None:
        walk.findings.add("unreadable-value", place, "is neither true nor false.", "Write true or false.")
        walk.unread_flags.add(name)
    elif name in walk.keys:
        walk.findings.add("duplicate-key", place, "stands in the file already.", "Keep one of them.")
    elif value is not None:
        walk.flags[name] = value


def _read_entry(walk: _Walk, reader: EntryReader, entry: Entry, position: int) -> None:
    key = RAW_KEYS.get(entry.key, entry.key)
    item = reader.read(entry.value, walk.place(entry.key, position, entry.offset))
    if item is None:
        walk.unread += 1
    else:
        walk.items[key].append(item)
        walk.indexes[key].append(position)
        walk.offsets[key].append(entry.offset)


def _check_dialect(walk: _Walk) -> None:
    typed = sorted(TYPED_ONLY.intersection(walk.keys.values()))
    raw = sorted(RAW_ONLY.intersection(walk.keys.values()))
    if typed and raw:
        walk.findings.add(
            "mixed-dialects",
            "",
            f"has {', '.join(raw)} in snake case beside {', '.join(typed)}, which only the SDK has.",
            "Write all keys in camel case, as the SDK's DataUploadItems does.",
        )
