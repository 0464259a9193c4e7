"""One Airflow DAG, `sync__<name>`, for each file in include/integrations/.

A file that is wrong has no DAG; dags/integration_errors.py shows why as an import error of its own.
"""

from __future__ import annotations

from pathlib import Path

from cloud_sync_airflow.factory import integrations_folder, load_integrations, sync_dags

FOLDER = integrations_folder(default=Path(__file__).parents[1] / "include" / "integrations")

for dag in sync_dags(load_integrations(FOLDER)):
    globals()[dag.dag_id] = dag
