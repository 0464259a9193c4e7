"""Read a JSON manifest in one sweep, if there is nothing wrong with it.

Decoding into typed structs is several times faster than going through the entries one by one. It does not
say what is wrong, or where: a manifest with any fault is left to the walk in `json_reader`.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from cloud_sync.encord_limits import MAX_URLS
from cloud_sync.manifest.findings import Findings
from cloud_sync.manifest.items import Item, ItemType, VideoMetadata
from cloud_sync.manifest.json_entries import KEYS_IN_ORDER, TYPE_OF_KEY, EntryReader

MAX_SWEPT = MAX_URLS - len(KEYS_IN_ORDER) - 2  # keys and flags are entries of the walk too
AT_ONCE = 4_000
"""Entries looked at together: as many as the processor's cache holds."""
ESCAPED_BACKSLASH = rb"\\"


class _FileEntry(msgspec.Struct, rename="camel", forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """An entry of one file in the raw dialect.

    A key whose value is null counts as a string too few, so such a manifest is left to the walk.
    """

    object_url: str
    title: str | None = None
    client_metadata: dict[str, Any] | None = None
    video_metadata: VideoMetadata | None = None
    create_video: bool | None = None


class _Manifest(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """The raw dialect. No struct has the keys of groups, because they are numbered."""

    videos: list[_FileEntry] | UnsetType = UNSET
    images: list[_FileEntry] | UnsetType = UNSET
    image_groups: list[dict[str, Any]] | UnsetType = UNSET
    dicom_series: list[dict[str, Any]] | UnsetType = UNSET
    audio: list[_FileEntry] | UnsetType = UNSET
    text: list[_FileEntry] | UnsetType = UNSET
    skip_duplicate_urls: bool | UnsetType = UNSET
    upsert_metadata: bool | UnsetType = UNSET


_DECODER = msgspec.json.Decoder(_Manifest)


@dataclass(frozen=True, slots=True)
class Swept:
    """A manifest of the raw dialect without faults.

    Attributes:
        items: In the order of the keys, those of one key in the order of the file.
        skip_duplicate_urls: As stated; None where it is not.
        upsert_metadata: As stated; None where it is not.
    """

    items: list[Item]
    skip_duplicate_urls: bool | None
    upsert_metadata: bool | None


def sweep(data: bytes) -> Swept | None:
    """Return the manifest if there is nothing to say about it, else None."""
    try:
        with _without_collector():
            return _swept(_DECODER.decode(data), data)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None


@contextmanager
def _without_collector() -> Iterator[None]:
    """Spare Python's collector of cycles the search through millions of new objects that can have none."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _swept(manifest: _Manifest, data: bytes) -> Swept | None:
    items: list[Item] = []
    findings = Findings()
    strings = 0
    for key in manifest.__struct_fields__:
        entries = getattr(manifest, key)
        if entries is UNSET:
            continue
        strings += 1
        if isinstance(entries, list) and entries:
            read = _groups if isinstance(entries[0], dict) else _files
            found, strings_in_them = read(TYPE_OF_KEY[key], entries, findings)
            items += found
            strings += strings_in_them
    # The decoder takes the last of two equal keys: then it has given fewer strings than there are.
    is_whole = strings == _strings(data) or msgspec.json.encode(_DECODER.decode(data)) == data
    if findings or len(items) > MAX_SWEPT or not is_whole:
        return None
    return Swept(items, _flag(manifest.skip_duplicate_urls), _flag(manifest.upsert_metadata))


def _strings(text: bytes) -> int:
    """Count the strings in JSON: each has two quotes that are not escaped.

    Where backslashes are escaped, a quote behind one is hard to judge, and -1 is the answer.
    """
    quotes = text.count(b'"')
    if b"\\" in text:  # one byte is looked for much faster than two, and few manifests have it
        if ESCAPED_BACKSLASH in text:
            return -1
        quotes -= text.count(b'\\"')
    return quotes // 2


def _strings_within(value: Any) -> int:
    return _strings(msgspec.json.encode(value))


def _files(item_type: ItemType, entries: list[_FileEntry], findings: Findings) -> tuple[list[Item], int]:
    """Return the items of entries of one file, and how many strings stand in these entries."""
    items: list[Item] = []
    strings = 0
    for some in _taken_out(entries):
        if all(
            e.client_metadata is None and e.video_metadata is None and e.create_video is None for e in some
        ):
            items += [Item(item_type, (entry.object_url,), entry.title) for entry in some]
            strings += 2 * (2 * len(some) - [entry.title for entry in some].count(None))
        else:
            items += [_file(item_type, entry, findings) for entry in some]
            strings += _strings_within(some)
    return items, strings


def _taken_out(entries: list[_FileEntry]) -> Iterator[list[_FileEntry]]:
    """Take some entries after others out of a list: what is made of them takes their place in memory."""
    entries.reverse()
    while entries:
        some = entries[-AT_ONCE:]
        del entries[-AT_ONCE:]
        some.reverse()
        yield some


def _file(item_type: ItemType, entry: _FileEntry, findings: Findings) -> Item:
    # Only that there is something to say counts: the walk says what.
    if entry.create_video:
        findings.add("create-video-on-file", "", "")
    if entry.video_metadata is not None and item_type != "video":
        findings.add("unknown-key", "", "")
    return Item(item_type, (entry.object_url,), entry.title, entry.client_metadata, entry.video_metadata)


def _groups(item_type: ItemType, entries: list[dict[str, Any]], findings: Findings) -> tuple[list[Item], int]:
    reader = EntryReader(item_type, "raw", findings)
    items = [item for entry in entries if (item := reader.read(entry, "")) is not None]
    return items, _strings_within(entries)


def _flag(stated: bool | UnsetType) -> bool | None:
    return None if stated is UNSET else stated
