"""Shows wrong integration files in the Airflow UI as an import error; makes no DAG.

It stands apart from dags/sync_integrations.py because Airflow takes all DAGs of a file with an import
error out of service, and one wrong integration must not stop the others.
"""

from __future__ import annotations

from pathlib import Path

from cloud_sync_airflow.factory import integrations_folder, load_integrations, raise_errors

FOLDER = integrations_folder(default=Path(__file__).parents[1] / "include" / "integrations")

raise_errors(load_integrations(FOLDER))
