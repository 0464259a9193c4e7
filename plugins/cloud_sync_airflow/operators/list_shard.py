"""The list stage as many tasks, one for each shard."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cloud_sync_airflow.operators.list import attempt_of, in_words
from cloud_sync_airflow.operators.stage import StageOperator, open_store

if TYPE_CHECKING:
    from airflow.sdk import Context


class ListShardOperator(StageOperator):
    """Lists one shard into the run folder; mapped over `shard`.

    Args:
        shard: Which of the shards that the survey made.
    """

    def __init__(self, *, shard: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.shard = shard
        self._folders = ""

    @property
    def label(self) -> str:
        """What the UI shows for this map index, with `map_index_template="{{ task.label }}"`."""
        return f"{self.shard}: {self._folders}" if self._folders else f"shard {self.shard}"

    def execute(self, context: Context) -> dict[str, Any]:
        """Return a reference to the index of the shard's listing."""
        from cloud_sync.objects.shards import list_shard, read_shard

        folder = self.run_folder(context)
        self._folders = read_shard(folder, self.shard)[1].label
        store = open_store(self.frozen_integration(folder))
        listing = list_shard(store, folder, self.shard, attempt=attempt_of(context, folder))
        self.log.info("Listed %s, in shard %s: %s", in_words(listing), self.shard, self._folders)
        return listing.index.to_json()
