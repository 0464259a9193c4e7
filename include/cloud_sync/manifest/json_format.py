"""Manifests as JSON, exactly in the product document's form."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from cloud_sync.manifest.items import MANIFEST_KEYS, Item, ItemType

_ENCODER = msgspec.json.Encoder()


def encode_manifest(items: Iterable[Item], *, skip_duplicate_urls: bool) -> bytes:
    """Encode items as a canonical manifest: one form for one content, byte for byte.

    Types stand in the order of `MANIFEST_KEYS`, items in the order given, types without items are left
    out, and `skip_duplicate_urls` is always stated, because its default differs between documents.

    Returns:
        UTF-8 JSON without insignificant white space.
    """
    by_type: dict[ItemType, list[dict[str, Any]]] = {item_type: [] for item_type in MANIFEST_KEYS}
    for item in items:
        entry = {"objectUrl": item.object_urls[0]}
        if item.title is not None:
            entry["title"] = item.title
        by_type[item.item_type].append(entry)
    manifest: dict[str, Any] = {key: by_type[kind] for kind, key in MANIFEST_KEYS.items() if by_type[kind]}
    manifest["skip_duplicate_urls"] = skip_duplicate_urls
    return _ENCODER.encode(manifest)
