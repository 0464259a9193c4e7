"""The bucket's content: its objects, the items that they are for, and what has to become of each."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

BUCKET = "demo-media"
PREFIX = "incoming/"
LATE_KEY = f"{PREFIX}camera-4/readable-at-the-second-try.jpg"
"""The dataset service cannot read it at first, so a retry round registers it."""
UPLOADS_AT_A_TIME = 8


@dataclass(frozen=True, slots=True)
class Medium:
    """One object of the bucket: its key, its bytes."""

    key: str
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Item:
    """An item that objects of the bucket are for.

    Attributes:
        item_type: As the plan names it.
        media: Its files, in the order in which they must stand in the dataset.
        title: What it must be called.
        client_metadata: What must go with it: the constants, the `collection` of its key, its sidecar.
    """

    item_type: str
    media: tuple[Medium, ...]
    title: str
    client_metadata: Mapping[str, str]

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys of its files, in order."""
        return tuple(medium.key for medium in self.media)


@dataclass(frozen=True, slots=True)
class BucketContent:
    """What is in the bucket, sorted by what has to become of it in a first run.

    Attributes:
        good: Become items of the dataset.
        bad: Are submitted and refused; by the key of the file at fault, the only one in the failure CSV.
        held: Groups of which files are missing: wait for a later run.
        skipped: Are no item and no part of one, or not listed at all.
    """

    good: tuple[Item, ...]
    bad: Mapping[str, Item]
    held: tuple[Item, ...]
    skipped: tuple[Medium, ...]

    def everything(self) -> list[Medium]:
        """Return every object."""
        items = (*self.good, *self.bad.values(), *self.held)
        return [*(medium for item in items for medium in item.media), *self.skipped]

    @property
    def listed(self) -> frozenset[str]:
        """Every key under the prefix that the integration lists."""
        return frozenset(one.key for one in self.everything() if one.key.startswith(PREFIX))


def fill_bucket(client: Any, content: BucketContent, bucket: str = BUCKET) -> None:
    """Put every object into the bucket, several at a time.

    Args:
        client: A boto3 S3 client (they are thread-safe).
    """

    def put(medium: Medium) -> None:
        client.put_object(Bucket=bucket, Key=medium.key, Body=medium.body)

    with ThreadPoolExecutor(UPLOADS_AT_A_TIME) as pool:
        list(pool.map(put, content.everything()))
