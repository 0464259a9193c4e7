"""What Airflow's provider manager reads: the connection type `encord` and the config section `cloud_sync`."""

from __future__ import annotations

from typing import Any

from cloud_sync.version import DISTRIBUTION, own_version


def get_provider_info() -> dict[str, Any]:
    """Describe this distribution to Airflow (entry point group `apache_airflow_provider`).

    `package-name` must equal the distribution's name, or Airflow refuses the provider.
    """
    return {
        "package-name": DISTRIBUTION,
        "name": "Encord Cloud Sync",
        "description": "Keeps Encord datasets in step with private cloud storage.",
        "versions": [own_version()],
        "connection-types": [_encord_connection()],
        "config": {"cloud_sync": _settings()},
    }


def _encord_connection() -> dict[str, Any]:
    return {
        "connection-type": "encord",
        "hook-class-name": "cloud_sync_airflow.hooks.encord.EncordHook",
        "hook-name": "Encord",
        "ui-field-behaviour": {
            "hidden-fields": ["schema", "login", "port", "extra"],
            "relabeling": {"host": "API domain", "password": "SSH private key"},
            "placeholders": {
                "host": "https://api.encord.com (US: https://api.us.encord.com)",
                "password": "Ed25519, the whole file from BEGIN to END",
            },
        },
        "conn-fields": {
            "encord_integration": {
                "label": "Encord integration",
                "description": "Title or UUID of the cloud credential in Encord (Settings, Integrations) "
                "with which Encord reads the objects. An integration file may name another.",
                "schema": {"type": ["string", "null"]},
            },
        },
    }


def _settings() -> dict[str, Any]:
    return {
        "description": "Encord Cloud Sync.",
        "options": {
            "state_folder": {
                "description": "Folder of run folders and ledgers: on a disk that all workers share, or in a "
                "bucket (s3://bucket/prefix, gs://bucket/prefix, az://container/prefix). Left empty: "
                "`cloud_sync` in AIRFLOW_HOME.",
                "version_added": "0.1.0",
                "type": "string",
                "example": "/opt/airflow/state",
                "default": "",
            },
            "state_connection_id": {
                "description": "Airflow connection for the bucket of the state folder, of type aws, "
                "google_cloud_platform or wasb; also for folders of tables and manifests that are URLs. "
                "Not needed for folders on a disk.",
                "version_added": "0.1.0",
                "type": "string",
                "example": "state",
                "default": "",
            },
            "integrations_folder": {
                "description": "Folder of integration files. Left empty: `include/integrations` beside "
                "the dags folder.",
                "version_added": "0.1.0",
                "type": "string",
                "example": "/opt/airflow/include/integrations",
                "default": "",
            },
            "manifests_folder": {
                "description": "Folder of manifests that the form of upload_manifest may name, on a disk "
                "that all workers share, or the URL of one. Nothing outside of it is read. Left empty: "
                "`manifests` in the state folder.",
                "version_added": "0.1.0",
                "type": "string",
                "example": "/opt/airflow/state/manifests",
                "default": "",
            },
            "tables_folder": {
                "description": "Folder of the tables that metadata.table of integration files may name, on a "
                "disk that all workers share, or the URL of one. Left empty: `tables` in the state folder.",
                "version_added": "0.1.0",
                "type": "string",
                "example": "/opt/airflow/state/tables",
                "default": "",
            },
            "pool": {
                "description": "Airflow pool of the tasks that have upload jobs, of all integrations "
                "together: its slots bound the jobs that Encord works on at one time. Make it with "
                "--include-deferred. Left empty: default_pool.",
                "version_added": "0.1.0",
                "type": "string",
                "example": "encord_upload_jobs",
                "default": "",
            },
        },
    }
