"""What the dataset service holds, read from its database and not from what it says."""

from __future__ import annotations

import sqlite3
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cloud_sync.run_folder import RunFolder
    from tests.servers import DatasetService


@dataclass(frozen=True)
class Registered:
    """What the dataset service holds of the folder and the dataset of a run.

    Attributes:
        items: How often each item is there, by the URLs of its files in order.
        rows: How many rows of the dataset there are.
        jobs: How many upload jobs there were.
    """

    items: Counter[tuple[str, ...]]
    rows: int
    jobs: int

    @classmethod
    def of(cls, run: RunFolder, service: DatasetService) -> Registered:
        """Read what there is now."""
        target = run.read_json("target.json")
        folder = target["folder_uuid"].replace("-", "")
        dataset = target["dataset_uuid"].replace("-", "")
        path = service.config.parent / "dataset-service.sqlite"
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as database:
            found = database.execute(
                "SELECT coalesce(parent_item_uuid, uuid), url FROM items "
                "WHERE folder_uuid = ? AND url IS NOT NULL ORDER BY position",
                [folder],
            )
            files: dict[str, list[str]] = {}
            for uuid, url in found:
                files.setdefault(uuid, []).append(url)
            counted = [
                database.execute(f"SELECT count(*) FROM {table} WHERE {column} = ?", [key]).fetchone()[0]
                for table, column, key in (
                    ("data_rows", "dataset_uuid", dataset),
                    ("jobs", "folder_uuid", folder),
                )
            ]
        return cls(Counter(map(tuple, files.values())), *counted)
