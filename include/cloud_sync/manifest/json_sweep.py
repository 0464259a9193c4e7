"""Read a JSON manifest in one sweep, if there is nothing wrong with it.

Decoding into typed structs is several times faster than going through the entries one by one. It does not
say what is wrong, or where: a manifest with any fault is left to the walk in `json_reader`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
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
    if data.count(b"{") > MAX_SWEPT and data.count(b'"objectUrl"') > MAX_SWEPT:
        return None
    try:
        manifest = _DECODER.decode(data)
        if not _is_whole(manifest, data):
            return None
        items: list[Item] = []
        findings = Findings()
        for key in KEYS_IN_ORDER:
            entries = getattr(manifest, key, UNSET)
            if entries is not UNSET and entries:
                read = _groups if isinstance(entries[0], dict) else _files
                items += read(TYPE_OF_KEY[key], entries, findings)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    if findings or len(items) > MAX_SWEPT:
        return None
    return Swept(items, _flag(manifest.skip_duplicate_urls), _flag(manifest.upsert_metadata))


def _is_whole(manifest: _Manifest, data: bytes) -> bool:
    """Tell whether the decoder, which takes the last of two equal keys, has left nothing out.

    Written again, what was decoded has as many strings as the text, or there was a key twice. A string has
    two quotes that are not escaped; with a backslash in front of a quote that is hard to tell only where
    backslashes are escaped themselves.
    """
    again = msgspec.json.encode(manifest)
    if again == data:  # so it is for what this project wrote
        return True
    if ESCAPED_BACKSLASH in data or ESCAPED_BACKSLASH in again:
        return False
    return _quotes(data) == _quotes(again)


def _quotes(text: bytes) -> int:
    return text.count(b'"') - text.count(b'\\"')


def _files(item_type: ItemType, entries: Sequence[_FileEntry], findings: Findings) -> list[Item]:
    return [
        Item(item_type, (entry.object_url,), None if entry.title is UNSET else entry.title)
        if entry.client_metadata is UNSET and entry.video_metadata is UNSET and entry.create_video is UNSET
        else _file(item_type, entry, findings)
        for entry in entries
    ]


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


def _groups(item_type: ItemType, entries: Sequence[dict[str, Any]], findings: Findings) -> list[Item]:
    reader = EntryReader(item_type, "raw", findings)
    return [item for entry in entries if (item := reader.read(entry, "")) is not None]


def _flag(stated: bool | UnsetType) -> bool | None:
    return None if stated is UNSET else stated
