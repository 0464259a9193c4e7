"""Convert manifests: from one format to the other, and one that is too large into several."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from cloud_sync.encord_limits import ITEMS_AT_ONE_TIME, MAX_FILE_BYTES, MAX_URLS
from cloud_sync.errors import ManifestError
from cloud_sync.manifest.content import ManifestFormat, ReadManifest, refuse_errors
from cloud_sync.manifest.csv_format import Loss, encode_csv
from cloud_sync.manifest.items import Item
from cloud_sync.manifest.json_format import encode_manifest


@dataclass(frozen=True, slots=True)
class Converted:
    """A manifest in another format.

    Attributes:
        data: The file's content, in canonical form.
        losses: What the format cannot say; of CSV only.
    """

    data: bytes
    losses: tuple[Loss, ...] = ()


def convert_manifest(manifest: ReadManifest, *, to: ManifestFormat, allow_loss: bool = False) -> Converted:
    """Write a manifest that was read in a format, also in its own to make it canonical.

    JSON states `skip_duplicate_urls` where the manifest did: what one leaves open, the other does too.

    Raises:
        ManifestError: The manifest has errors, or something would be lost and `allow_loss` is false.
    """
    refuse_errors(manifest.file, manifest.findings)
    if to == "csv":
        data, losses = encode_csv(
            manifest.items,
            skip_duplicate_urls=manifest.skip_duplicate_urls,
            upsert_metadata=manifest.upsert_metadata,
            allow_loss=allow_loss,
        )
        return Converted(data, losses)
    return Converted(
        encode_manifest(
            manifest.items,
            skip_duplicate_urls=manifest.skip_duplicate_urls,
            upsert_metadata=bool(manifest.upsert_metadata),
        )
    )


def split_manifest(
    items: Sequence[Item],
    *,
    skip_duplicate_urls: bool,
    upsert_metadata: bool = False,
    items_per_manifest: int = ITEMS_AT_ONE_TIME,
) -> Iterator[bytes]:
    """Yield JSON manifests that hold the items in order, each within Encord's limits.

    Args:
        items: What to register.
        skip_duplicate_urls: Stated in every manifest.
        upsert_metadata: Stated in every manifest, if true.
        items_per_manifest: Most items in one.

    Raises:
        ManifestError: One item alone is over a limit.
    """
    for chunk in _chunks(items, items_per_manifest):
        yield from _encode_within_limits(chunk, skip_duplicate_urls, upsert_metadata)


def _chunks(items: Sequence[Item], size: int) -> Iterator[list[Item]]:
    rest = iter(items)
    while chunk := list(islice(rest, size)):
        yield chunk


def _encode_within_limits(
    items: list[Item], skip_duplicate_urls: bool, upsert_metadata: bool
) -> Iterator[bytes]:
    if sum(len(item.object_urls) for item in items) <= MAX_URLS:
        data = encode_manifest(
            items, skip_duplicate_urls=skip_duplicate_urls, upsert_metadata=upsert_metadata
        )
        if len(data) <= MAX_FILE_BYTES:
            yield data
            return
    if len(items) == 1:
        raise ManifestError(
            f"one item alone is over Encord's limits of {MAX_URLS:,} URLs and {MAX_FILE_BYTES // 10**6} MB.",
            where=f"{items[0].item_type} {(items[0].title or '')[:200]!r}",
            remedy="Split the group, or keep its clientMetadata elsewhere.",
        )
    middle = len(items) // 2
    for half in (items[:middle], items[middle:]):
        yield from _encode_within_limits(half, skip_duplicate_urls, upsert_metadata)
