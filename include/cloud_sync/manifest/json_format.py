"""Write manifests as JSON, in one canonical form: the product document's, or the SDK's where that ends."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from cloud_sync.errors import ManifestError
from cloud_sync.json_values import is_finite
from cloud_sync.manifest.items import GROUPED_TYPES, MANIFEST_KEYS, Item, ItemType, VideoMetadata
from cloud_sync.safe_url import without_secrets

_ENCODER = msgspec.json.Encoder()
# Two dicts that are equal in another order are the same content. Encord's jsonb keeps no order either.
_METADATA_ENCODER = msgspec.json.Encoder(order="sorted")

TYPED_TYPES: Final[frozenset[ItemType]] = frozenset(("pdf", "nifti"))
"""Types without a known key in the product document's dialect."""

TYPED_KEYS: Final[Mapping[str, str]] = {"image_groups": "imageGroups", "dicom_series": "dicomSeries"}

TYPED_FIGURES: Final[Mapping[str, str]] = {"file_size": "fileSize", "mime_type": "mimeType"}


def encode_manifest(
    items: Iterable[Item], *, skip_duplicate_urls: bool | None, upsert_metadata: bool = False
) -> bytes:
    """Encode items as a canonical manifest: one form for one content, byte for byte.

    Keys stand in the order of `MANIFEST_KEYS`, items of one key in the order given, keys without items are
    left out. Groups and sequences always state `createVideo`, because its defaults differ between documents.
    What is sent always states `skip_duplicate_urls`; None leaves it out, for a file that must not say more
    than the one that it is made of. A manifest with a PDF or NIfTI is written in the dialect of the SDK's
    `DataUploadItems`, because the product document's has no key for them.

    Returns:
        UTF-8 JSON without insignificant white space.

    Raises:
        ManifestError: An item cannot be written, such as a group without a title or metadata with NaN.
    """
    by_key: dict[str, list[Item]] = {key: [] for key in MANIFEST_KEYS.values()}
    for item in items:
        by_key[MANIFEST_KEYS[item.item_type]].append(item)
    typed = any(by_key[MANIFEST_KEYS[item_type]] for item_type in TYPED_TYPES)
    manifest: dict[str, Any] = {
        (TYPED_KEYS.get(key, key) if typed else key): _entries(of_key, typed=typed)
        for key, of_key in by_key.items()
        if of_key
    }
    if skip_duplicate_urls is not None:
        manifest["skipDuplicateUrls" if typed else "skip_duplicate_urls"] = skip_duplicate_urls
    if upsert_metadata:
        manifest["upsertMetadata" if typed else "upsert_metadata"] = True
    try:
        return _ENCODER.encode(manifest)
    except UnicodeEncodeError as error:
        raise ManifestError(
            f"a text holds half a character: {error.object[error.start]!r}.", remedy="Correct the text."
        ) from None


def _entries(items: Sequence[Item], *, typed: bool) -> list[dict[str, Any]]:
    if items[0].item_type in GROUPED_TYPES:
        write = _typed_group if typed else _raw_group
        return [write(item) for item in items]
    return [
        # The usual item, written here because a call for each of a million costs as much as the writing.
        {"objectUrl": item.object_urls[0]}
        if item.title is None
        and item.client_metadata is None
        and item.video_metadata is None
        and len(item.object_urls) == 1
        else _file(item, typed=typed)
        for item in items
    ]


def _file(item: Item, *, typed: bool) -> dict[str, Any]:
    if len(item.object_urls) != 1:
        raise _unfit(item, f"has {len(item.object_urls)} files instead of one")
    entry: dict[str, Any] = {"objectUrl": item.object_urls[0]}
    if item.title is not None:
        entry["title"] = item.title
    if item.client_metadata is not None:
        entry["clientMetadata"] = _metadata(item)
    if item.video_metadata is not None:
        entry["videoMetadata"] = _video_metadata(item, item.video_metadata, typed=typed)
    return entry


def _raw_group(item: Item) -> dict[str, Any]:
    entry = _group(item)
    entry["createVideo"] = item.item_type == "image_sequence"
    for position, url in enumerate(item.object_urls):
        entry[f"objectUrl_{position}"] = url
    return _with_metadata(entry, item)


def _typed_group(item: Item) -> dict[str, Any]:
    entry = _group(item)
    if item.item_type == "dicom_series":
        # The SDK's model wants the title of each file, if only to be told that there is none.
        entry["dicomFiles"] = [{"url": url, "title": None} for url in item.object_urls]
    else:
        entry["createVideo"] = item.item_type == "image_sequence"
        entry["images"] = [{"url": url} for url in item.object_urls]
    return _with_metadata(entry, item)


def _group(item: Item) -> dict[str, Any]:
    if item.title is None:
        raise _unfit(item, "has no title, which a group or series needs")
    if not item.object_urls:
        raise _unfit(item, "has no files")
    if item.video_metadata is not None:
        raise _unfit(item, "has videoMetadata, which only a video can have")
    return {"title": item.title}


def _with_metadata(entry: dict[str, Any], item: Item) -> dict[str, Any]:
    if item.client_metadata is not None:
        entry["clientMetadata"] = _metadata(item)
    return entry


def _metadata(item: Item) -> msgspec.Raw:
    """Encode clientMetadata apart, because the encoder writes NaN as null without a word."""
    try:
        encoded = _METADATA_ENCODER.encode(item.client_metadata)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise _unfit(item, f"has clientMetadata that is no JSON: {error}") from None
    if b"null" in encoded and not is_finite(item.client_metadata):
        raise _unfit(item, "has NaN or Infinity in clientMetadata")
    return msgspec.Raw(encoded)


def _video_metadata(item: Item, metadata: VideoMetadata, *, typed: bool) -> object:
    if item.item_type != "video":
        raise _unfit(item, "has videoMetadata, which only a video can have")
    if not (math.isfinite(metadata.fps) and math.isfinite(metadata.duration)):
        raise _unfit(item, "has NaN or Infinity in videoMetadata")
    if not typed:
        return metadata
    fields = msgspec.structs.asdict(metadata)
    return {TYPED_FIGURES.get(name, name): value for name, value in fields.items()}


def _unfit(item: Item, fault: str) -> ManifestError:
    name = item.title if item.title is not None else without_secrets(next(iter(item.object_urls), ""))
    return ManifestError(
        f"an item {fault}.", where=f"{item.item_type} {name[:200]!r}", remedy="Correct the item."
    )
