"""Manifests as JSON, exactly in the product document's form."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from cloud_sync.manifest.items import MANIFEST_KEYS, Item, ItemType

_ENCODER = msgspec.json.Encoder()
_SINGLE_FILES: tuple[ItemType, ...] = ("video", "image")


def encode_manifest(items: Iterable[Item], *, skip_duplicate_urls: bool) -> bytes:
    """Encode items as a canonical manifest: one form for one content, byte for byte.

    Types stand in the order of `MANIFEST_KEYS`, items in the order given, types without items are left
    out, and `skip_duplicate_urls` is always stated, because its default differs between documents.

    Returns:
        UTF-8 JSON without insignificant white space.
    """
    items = list(items)
    manifest: dict[str, Any] = {}
    for item_type in _SINGLE_FILES:
        key = MANIFEST_KEYS[item_type]
        entries = [
            {"objectUrl": item.object_urls[0]}
            if item.title is None
            else {"objectUrl": item.object_urls[0], "title": item.title}
            for item in items
            if item.item_type == item_type
        ]
        if entries:
            manifest[key] = entries
    manifest["skip_duplicate_urls"] = skip_duplicate_urls
    return _ENCODER.encode(manifest)
