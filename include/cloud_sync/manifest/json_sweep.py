"""Read a JSON manifest in one sweep, if there is nothing wrong with it.

Decoding into typed structs is several times faster than going through the entries one by one. It does not
say what is wrong, or where: a manifest with any fault is left to the walk in `json_reader`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from cloud_sync.errors import ManifestError
from cloud_sync.manifest.findings import Findings
from cloud_sync.manifest.items import Item, ItemType, VideoMetadata
from cloud_sync.manifest.json_entries import KEYS_IN_ORDER, TYPE_OF_KEY, EntryReader
from cloud_sync.manifest.json_walk import SCAN, JsonText, repeats_key

NO_RAW: Final = msgspec.Raw()


class _FileEntry(msgspec.Struct, rename="camel", forbid_unknown_fields=True, gc=False):
    """An entry of one file in the raw dialect."""

    object_url: str
    title: str | None = None
    client_metadata: msgspec.Raw = NO_RAW
    video_metadata: VideoMetadata | None = None
    create_video: bool | None = None


class _Manifest(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """The raw dialect. Groups are left as text: their keys are numbered, so no struct has them."""

    videos: list[_FileEntry] = []
    images: list[_FileEntry] = []
    image_groups: msgspec.Raw = NO_RAW
    dicom_series: msgspec.Raw = NO_RAW
    audio: list[_FileEntry] = []
    text: list[_FileEntry] = []
    skip_duplicate_urls: bool | None = None
    upsert_metadata: bool | None = None


_DECODER = msgspec.json.Decoder(_Manifest)


class _FaultError(Exception):
    """Something is to be said about the manifest, so the walk has to say it."""


@dataclass(frozen=True, slots=True)
class Swept:
    """A manifest of the raw dialect without faults.

    Attributes:
        items: In the order of the keys, those of one key in the order of the file.
        skip_duplicate_urls: As stated.
        upsert_metadata: As stated.
    """

    items: list[Item]
    skip_duplicate_urls: bool | None
    upsert_metadata: bool | None


def sweep(data: bytes) -> Swept | None:
    """Return the manifest if there is nothing to say about it, else None."""
    try:
        manifest = _DECODER.decode(data)
        if b"\\u" in data or not _every_key_stands_once(data, manifest):
            return None
        items: list[Item] = []
        for key in KEYS_IN_ORDER:
            entries = getattr(manifest, key, None)
            if isinstance(entries, msgspec.Raw):
                items += _groups(key, entries)
            elif entries:
                items += _files(TYPE_OF_KEY[key], entries)
    except (_FaultError, ManifestError, msgspec.MsgspecError, ValueError, RecursionError):
        return None
    return Swept(items, manifest.skip_duplicate_urls, manifest.upsert_metadata)


def _every_key_stands_once(data: bytes, manifest: _Manifest) -> bool:
    """Tell whether the decoder, which takes the last of two equal keys, has left nothing out.

    No key of this text is written with escapes, so each stands there literally, at least as often as it is
    a key. Where it stands no more often than it was decoded, no object has it twice.
    """
    entries = [*manifest.videos, *manifest.images, *manifest.audio, *manifest.text]
    metadata = [entry.client_metadata for entry in entries if entry.client_metadata is not NO_RAW]
    videos = sum(entry.video_metadata is not None for entry in entries)
    apart = b"".join(map(bytes, (*metadata, manifest.image_groups, manifest.dicom_series)))
    decoded = {
        **dict.fromkeys(_Manifest.__struct_fields__, 1),
        **dict.fromkeys(VideoMetadata.__struct_fields__, videos),
        "objectUrl": len(entries),
        "title": sum(entry.title is not None for entry in entries),
        "clientMetadata": len(metadata),
        "videoMetadata": videos,
        "createVideo": sum(entry.create_video is not None for entry in entries),
    }
    keys = {f'"{key}"'.encode(): count for key, count in decoded.items()}
    return all(data.count(key) - apart.count(key) <= count for key, count in keys.items())


def _files(item_type: ItemType, entries: Sequence[_FileEntry]) -> list[Item]:
    return [
        Item(item_type, (entry.object_url,), entry.title)
        if entry.client_metadata is NO_RAW and entry.video_metadata is None and not entry.create_video
        else _file(item_type, entry)
        for entry in entries
    ]


def _file(item_type: ItemType, entry: _FileEntry) -> Item:
    if entry.create_video or (entry.video_metadata is not None and item_type != "video"):
        raise _FaultError
    metadata = None
    if entry.client_metadata is not NO_RAW:
        metadata, _ = SCAN(bytes(entry.client_metadata).decode(), 0)
        if not isinstance(metadata, dict) or repeats_key(metadata):
            raise _FaultError
    return Item(item_type, (entry.object_url,), entry.title, metadata, entry.video_metadata)


def _groups(key: str, raw: msgspec.Raw) -> list[Item]:
    if raw is NO_RAW:
        return []
    text = bytes(raw).decode()
    if not text.startswith("["):
        raise _FaultError
    findings = Findings()
    reader = EntryReader(TYPE_OF_KEY[key], "raw", findings)
    items = [reader.read(entry.value, "") for entry in JsonText("", text).list_entries(key)]
    if findings:
        raise _FaultError
    return [item for item in items if item is not None]
