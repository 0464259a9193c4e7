"""Small Parquet files as the stages write them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from cloud_sync.integration import Integration
from cloud_sync.manifest.build import ITEMS_SCHEMA

LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)
URL_BASE = "https://recordings.s3.eu-central-1.amazonaws.com/"
LISTING_SCHEMA = pa.schema(
    [
        ("key", pa.string()),
        ("size_bytes", pa.int64()),
        ("last_modified", pa.timestamp("us", "UTC")),
        ("etag", pa.string()),
    ]
)


def an_integration(**sections: Any) -> Integration:
    """Make an integration of the least fields; `select={...}` and so on replace sections."""
    return Integration.model_validate(
        {
            "name": "cameras",
            "storage": {"provider": "s3", "connection_id": "aws", "bucket": "recordings"},
            "target": {"connection_id": "encord", "dataset": "Cameras"},
            **sections,
        }
    )


def an_object(key: str, **changes: Any) -> dict[str, Any]:
    """Make a row of a listing."""
    return {"key": key, "size_bytes": 10, "last_modified": LONG_AGO, "etag": f"etag of {key}", **changes}


def write_listing(path: Path, objects: Iterable[dict[str, Any] | str]) -> Path:
    """Write a part of a listing; a text stands for an object with this key."""
    rows = [an_object(one) if isinstance(one, str) else one for one in objects]
    pq.write_table(pa.Table.from_pylist(rows, LISTING_SCHEMA), path)
    return path


@dataclass(frozen=True)
class Group:
    """An item of several files, for `write_items`: its key, its title and its objects in order."""

    key: str
    objects: Sequence[dict[str, Any] | str]
    item_type: str = "image_group"
    title: str | None = None

    def rows(self) -> Iterator[dict[str, Any]]:
        item = {
            "item_type": self.item_type,
            "item_key": self.key,
            "title": self.title or f"Title of {self.key}",
        }
        for position, one in enumerate(self.objects):
            yield {**(an_object(one) if isinstance(one, str) else one), **item, "position": position}


def _single(one: dict[str, Any] | str) -> dict[str, Any]:
    row = an_object(one) if isinstance(one, str) else one
    kind = "video" if row["key"].endswith("mp4") else "image"
    return {"item_type": kind, "item_key": row["key"], "position": 0, "title": None, **row}


def write_items(path: Path, manifests: Sequence[Sequence[dict[str, Any] | str | Group]]) -> Path:
    """Write `items.parquet`: the items of each manifest; objects are videos if mp4, else images."""
    rows = []
    for number, items in enumerate(manifests):
        for one in items:
            for row in one.rows() if isinstance(one, Group) else [_single(one)]:
                rows.append({**row, "url": URL_BASE + row["key"], "manifest": number})
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, ITEMS_SCHEMA), path)
    return path
