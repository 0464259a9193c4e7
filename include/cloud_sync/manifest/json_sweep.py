"""Read a JSON manifest in one sweep, if there is nothing wrong with it.

Decoding into typed structs is several times faster than going through the entries one by one. It does not
say what is wrong, or where: a manifest with any fault is left to the walk in `json_reader`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from cloud_sync.encord_limits import MAX_URLS
from cloud_sync.manifest.findings import Findings
from cloud_sync.manifest.items import Item, ItemType, VideoMetadata
from cloud_sync.manifest.json_entries import KEYS_IN_ORDER, TYPE_OF_KEY, EntryReader

MAX_SWEPT = MAX_URLS - len(KEYS_IN_ORDER) - 2  # keys and flags are entries of the walk too
ESCAPED_BACKSLASH = rb"\\"


class _FileEntry(msgspec.Struct, rename="camel", forbid_unknown_fields=True, gc=False):
    """An entry of one file in the raw dialect. What is null is left to the walk."""

    object_url: str
    title: str | UnsetType = UNSET
    client_metadata: dict[str, Any] | UnsetType = UNSET
    video_metadata: VideoMetadata | UnsetType = UNSET
    create_video: bool | UnsetType = UNSET


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
    # The walk, which says so in bounded memory, does not go as far.
    if data.count(b'"objectUrl"') > MAX_SWEPT:
        return None
    try:
        return _swept(_DECODER.decode(data), data)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None


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
    is_whole = strings == _strings(data) or msgspec.json.encode(manifest) == data
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


def _files(item_type: ItemType, entries: Sequence[_FileEntry], findings: Findings) -> tuple[list[Item], int]:
    """Return the items of entries of one file, and how many strings stand in these entries."""
    is_bare = all(
        list(map(attrgetter(name), entries)).count(UNSET) == len(entries)
        for name in ("client_metadata", "video_metadata", "create_video")
    )
    if not is_bare:
        return [_file(item_type, entry, findings) for entry in entries], _strings_within(entries)
    items = [
        Item(item_type, (entry.object_url,), None if entry.title is UNSET else entry.title)
        for entry in entries
    ]
    titled = len(items) - list(map(attrgetter("title"), items)).count(None)
    return items, 2 * (len(items) + titled)


def _file(item_type: ItemType, entry: _FileEntry, findings: Findings) -> Item:
    # Only that there is something to say counts: the walk says what.
    if entry.create_video is True:
        findings.add("create-video-on-file", "", "")
    if entry.video_metadata is not UNSET and item_type != "video":
        findings.add("unknown-key", "", "")
    return Item(
        item_type,
        (entry.object_url,),
        None if entry.title is UNSET else entry.title,
        None if entry.client_metadata is UNSET else entry.client_metadata,
        None if entry.video_metadata is UNSET else entry.video_metadata,
    )


def _groups(
    item_type: ItemType, entries: Sequence[dict[str, Any]], findings: Findings
) -> tuple[list[Item], int]:
    reader = EntryReader(item_type, "raw", findings)
    items = [item for entry in entries if (item := reader.read(entry, "")) is not None]
    return items, _strings_within(entries)


def _flag(stated: bool | UnsetType) -> bool | None:
    return None if stated is UNSET else stated
