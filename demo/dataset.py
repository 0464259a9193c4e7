"""What a dataset holds, read through the Encord SDK as any of its users would read it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.table import Table

from cloud_sync.manifest.items import GROUPED_TYPES
from demo.report import key_of

# The SDK's words that are not those of the plan.
PLAN_WORDS = {"plain_text": "text"}
FILES_SHOWN = 3


@dataclass(frozen=True, slots=True)
class DatasetItem:
    """An item of a dataset.

    Attributes:
        uuid: Of the storage item behind it.
        item_type: As the plan names it.
        title: As annotators see it.
        urls: The object URLs of its files, in order.
        client_metadata: What came with it.
    """

    uuid: str
    item_type: str
    title: str
    urls: tuple[str, ...]
    client_metadata: Mapping[str, Any]

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys that the URLs name."""
        return tuple(map(key_of, self.urls))


def read_items(client: Any, dataset_uuid: str) -> list[DatasetItem]:
    """Return the items of a dataset, ordered by their files; one that is in it twice stands here twice.

    Args:
        client: The SDK's user client.
    """
    rows = client.get_dataset(dataset_uuid).list_data_rows()
    uuids = list(dict.fromkeys(row.backing_item_uuid for row in rows))
    items = {item.uuid: item for item in client.get_storage_items(uuids)} if uuids else {}
    found = [_dataset_item(row.title, items[row.backing_item_uuid]) for row in rows]
    return sorted(found, key=lambda one: (one.urls, one.uuid))


def _dataset_item(title: str, item: Any) -> DatasetItem:
    name = item.item_type.name.lower()
    files = item.get_child_items() if name in GROUPED_TYPES else [item]
    return DatasetItem(
        uuid=str(item.uuid),
        item_type=PLAN_WORDS.get(name, name),
        title=title,
        urls=tuple(file.url for file in files),
        client_metadata=item.client_metadata or {},
    )


def dataset_table(title: str, items: Sequence[DatasetItem]) -> Table:
    """Return a table of the types in a dataset, with an item of each: the one with the most to show."""
    table = Table(title=title, title_justify="left")
    for column in ("type", "items", "files", "for example", "its first files", "its client metadata"):
        table.add_column(column, overflow="fold", justify="right" if column in ("items", "files") else "left")
    counts = Counter(item.item_type for item in items)
    for item_type, count in sorted(counts.items()):
        of_type = [item for item in items if item.item_type == item_type]
        files = sum(len(item.urls) for item in of_type)
        example = max(of_type, key=lambda item: (len(item.client_metadata), len(item.urls)))
        names = [key.rpartition("/")[2] for key in example.keys[:FILES_SHOWN]]
        more = "" if len(example.keys) <= FILES_SHOWN else " ..."
        metadata = ", ".join(f"{name}: {value}" for name, value in sorted(example.client_metadata.items()))
        table.add_row(item_type, str(count), str(files), example.title, ", ".join(names) + more, metadata)
    return table
