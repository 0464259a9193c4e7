"""The assets that stand for datasets, so that other DAGs can follow them."""

from __future__ import annotations

from urllib.parse import quote

from airflow.sdk import Asset

from cloud_sync.integration import Integration


def dataset_asset(integration: Integration) -> Asset:
    """Return the asset that stands for the dataset, so that other DAGs can follow a sync.

    Airflow takes a name with two URIs out of service, so both hold the connection and the dataset.
    """
    connection, dataset = integration.target.connection_id, integration.target.dataset
    return Asset(
        name=f"encord dataset {connection}/{dataset}",
        uri=f"x-encord://{quote(connection, safe='')}/datasets/{quote(dataset, safe='')}",
    )
