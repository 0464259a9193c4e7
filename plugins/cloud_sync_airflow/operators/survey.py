"""What comes before the list stage where it is many tasks: the division into shards."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloud_sync_airflow.operators.list import BeginOperator

if TYPE_CHECKING:
    from airflow.sdk import Context


class SurveyOperator(BeginOperator):
    """Divides the keys of the integration's storage into ranges, the shards of its listing."""

    def execute(self, context: Context) -> list[int]:
        """Return the numbers of the shards, over which the list stage is mapped."""
        from cloud_sync.objects.shards import survey

        folder = self.run_folder(context)
        integration, prefix, store = self.begin(context, folder)
        shards = survey(store, prefix, folder, shards=integration.storage.listing_shards)
        for shard in shards:
            self.log.info("Shard %s: %s", shard.number, shard.label)
        return [shard.number for shard in shards]
