"""What Airflow's provider manager reads: the connection type `encord`."""

from __future__ import annotations

from typing import Any


def get_provider_info() -> dict[str, Any]:
    """Describe this distribution to Airflow (entry point group `apache_airflow_provider`).

    `package-name` must equal the distribution's name, or Airflow refuses the provider.
    """
    return {
        "package-name": "encord-cloud-sync",
        "name": "Encord Cloud Sync",
        "description": "Keeps Encord datasets in step with private cloud storage.",
        "versions": ["0.1.0"],
    }
