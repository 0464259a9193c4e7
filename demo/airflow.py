"""Airflow as the demo runs it: its settings, its connections and its four processes."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from demo.places import AIRFLOW_USER, PROJECT, Places, Secrets, write_private
from demo.processes import Command
from demo.servers import (
    ENCORD_INTEGRATION,
    LOOPBACK,
    REGION,
    base_environment,
    database_url,
    dataset_service_url,
    s3_url,
)
from demo.settings import Settings

# Bounds the upload jobs of all integrations together; made once Airflow answers (`demo.stack`).
POOL = "encord_upload_jobs"
POOL_SLOTS = 8

PARTS = ("scheduler", "api-server", "dag-processor", "triggerer")


@dataclass(frozen=True, slots=True)
class Sources:
    """What Airflow loads. By default that of this project.

    Attributes:
        dags: Folder with DAG files.
        plugins: Folder with plugins.
        integrations: Folder with integration files.
    """

    dags: Path = PROJECT / "dags"
    plugins: Path = PROJECT / "plugins"
    integrations: Path = PROJECT / "include" / "integrations"


def airflow_url(settings: Settings) -> str:
    """Return the address of the UI and the REST API."""
    return f"http://{LOOPBACK}:{settings.airflow_port}"


def connections(settings: Settings, secrets: Secrets) -> dict[str, dict[str, object]]:
    """Return the Airflow connections that `include/integrations/demo.yaml` names."""
    return {
        "demo_s3": {
            "conn_type": "aws",
            "login": secrets.s3_access_key_id,
            "password": secrets.s3_secret_access_key,
            "extra": {"endpoint_url": s3_url(settings), "region_name": REGION},
        },
        "demo_encord": {
            "conn_type": "encord",
            "host": dataset_service_url(settings),
            "password": secrets.encord_ssh_key,
            "extra": {"encord_integration": ENCORD_INTEGRATION},
        },
    }


def airflow_environment(
    settings: Settings,
    places: Places,
    secrets: Secrets,
    sources: Sources,
    extra: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Return the whole environment of Airflow's processes, and write the file with the UI's password.

    Args:
        extra: Further variables; they win.
    """
    passwords = places.secrets / "airflow-passwords.json"
    write_private(passwords, json.dumps({AIRFLOW_USER: secrets.airflow_password}))
    folders = {
        "AIRFLOW_HOME": str(places.airflow_home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(sources.dags),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(sources.plugins),
        "AIRFLOW__CLOUD_SYNC__STATE_FOLDER": str(places.state),
        "AIRFLOW__CLOUD_SYNC__INTEGRATIONS_FOLDER": str(sources.integrations),
        "AIRFLOW__CLOUD_SYNC__POOL": POOL,
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords),
    }
    private = {
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database_url(settings, secrets),
        "AIRFLOW__API_AUTH__JWT_SECRET": secrets.airflow_jwt_secret,
        "AIRFLOW__API__SECRET_KEY": secrets.airflow_secret_key,
        "AIRFLOW__CORE__FERNET_KEY": secrets.airflow_fernet_key,
    }
    reached_by = {
        f"AIRFLOW_CONN_{name.upper()}": json.dumps(connection)
        for name, connection in connections(settings, secrets).items()
    }
    return (
        base_environment()
        | folders
        | _habits()
        | _addresses(settings)
        | private
        | reached_by
        | (dict(extra or {}))
    )


def write_environment(environment: Mapping[str, str], places: Places) -> None:
    """Write Airflow's environment as a file for shells: what makes `airflow` commands speak to this stack."""
    own = {
        name: shlex.quote(value)
        for name, value in sorted(environment.items())
        if name.startswith("AIRFLOW_") or name in {"PYTHONPATH", "NO_PROXY"}
    }
    own["PATH"] = f'{shlex.quote(str(Path(sys.executable).parent))}:"$PATH"'
    text = "".join(f"export {name}={value}\n" for name, value in own.items())
    write_private(places.airflow_environment, text)


def migrate_command(environment: Mapping[str, str], places: Places) -> Command:
    """Describe the creation of Airflow's tables; it ends by itself."""
    return _airflow("db-migrate", ("db", "migrate"), environment, places)


def part_commands(environment: Mapping[str, str], places: Places) -> list[Command]:
    """Describe Airflow's four lasting processes."""
    arguments = {
        # The logs are on this machine: nobody needs the servers that hand them out.
        "scheduler": ("scheduler", "--skip-serve-logs"),
        "triggerer": ("triggerer", "--skip-serve-logs"),
        "api-server": ("api-server",),
        "dag-processor": ("dag-processor",),
    }
    return [_airflow(part, arguments[part], environment, places) for part in PARTS]


def _airflow(
    name: str, arguments: tuple[str, ...], environment: Mapping[str, str], places: Places
) -> Command:
    return Command(
        name=name,
        argv=(sys.executable, "-m", "airflow", *arguments),
        env=environment,
        cwd=places.airflow_home,
        stop_first=2,
        grace_s=5,  # alone, the triggerer takes 10 s to leave; nothing it would still write is read again
    )


def _addresses(settings: Settings) -> dict[str, str]:
    url = airflow_url(settings)
    return {
        "AIRFLOW__API__HOST": LOOPBACK,
        "AIRFLOW__API__PORT": str(settings.airflow_port),
        "AIRFLOW__API__BASE_URL": url,
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
    }


def _habits() -> dict[str, str]:
    return {
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__PARALLELISM": "4",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "True",
        "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{AIRFLOW_USER}:admin",
        "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.1",
        # Without it, Airflow 3.3.2 fails deferrable tasks that resume within 5 s.
        "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
        # The API server's first answer to a task takes up to 19 s on a busy machine; the default is 5.
        "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "30",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
    }
