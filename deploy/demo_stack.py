"""The jobs of the profile `demo` in docker-compose.yaml: make its secrets, run its object store, fill it.

Usage: python -m deploy.demo_stack secrets FOLDER | object-store FOLDER | seed FOLDER

Every job can run again: what is there stays. Secrets are made in the containers and never leave their
volume, except into Airflow's encrypted connections.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cloud_sync.errors import StorageError
from demo.content import BUCKET, fill_bucket
from demo.media import bucket_content
from demo.servers import s3_is_ready

USER_EMAIL = "engineer@example.com"
DATASET = "Cloud Sync Demo"
ENCORD_INTEGRATION = "Demo bucket"
REGION = "us-east-1"
STORE_TIMEOUT_S = 60
OBJECT_STORE_URL = "http://demo-object-store:8333"
DATASET_SERVICE_URL = "http://demo-dataset-service:8081"


@dataclass(frozen=True, slots=True)
class SecretFiles:
    """The secrets of the profile: files that only the containers' user may read."""

    folder: Path

    @property
    def encord_key(self) -> Path:
        """The SSH key that Airflow signs with; the public half stands beside it (`.pub`)."""
        return self.folder / "encord-key"

    @property
    def s3_access_key_id(self) -> Path:
        """Access key id of the object store."""
        return self.folder / "s3-access-key-id"

    @property
    def s3_secret_access_key(self) -> Path:
        """Secret access key of the object store."""
        return self.folder / "s3-secret-access-key"


def make_secrets(folder: Path) -> None:
    """Make the secrets that are not there yet."""
    files = SecretFiles(folder)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _write_once(files.s3_access_key_id, secrets.token_hex(10).upper)
    _write_once(files.s3_secret_access_key, lambda: secrets.token_urlsafe(30))
    if not files.encord_key.exists():
        command = [sys.executable, "-m", "cloud_sync.dataset_service", "create-key", str(files.encord_key)]
        done = subprocess.run(  # noqa: S603 (arguments of our own)
            [*command, "--email", USER_EMAIL], check=True, stdout=subprocess.PIPE, text=True
        )
        files.encord_key.with_suffix(".pub").write_text(done.stdout)


def run_object_store(folder: Path) -> None:
    """Become SeaweedFS, with its objects under `folder`; returns only by raising."""
    command, environment = object_store_command(folder)
    (folder / "objects").mkdir(exist_ok=True)
    os.chdir(folder / "objects")
    os.execve(command[0], command, {**os.environ, **environment})  # noqa: S606 (no shell meant)


def object_store_command(folder: Path) -> tuple[list[str], dict[str, str]]:
    """Return the command line of SeaweedFS and the variables with its credentials.

    Its parts find each other on loopback; S3 answers on every interface.
    """
    files = SecretFiles(folder / "secrets")
    command = [str(Path(sys.executable).with_name("weed")), "mini", f"-dir={folder / 'objects'}"]
    command += ["-ip=127.0.0.1", "-ip.bind=0.0.0.0", "-s3.port=8333", f"-bucket={BUCKET}"]
    command += ["-s3.port.iceberg=0", "-s3.port.lance=0", "-webdav=false", "-admin.ui=false"]
    environment = {
        "AWS_ACCESS_KEY_ID": files.s3_access_key_id.read_text(),
        "AWS_SECRET_ACCESS_KEY": files.s3_secret_access_key.read_text(),
    }
    return [*command, "-master.telemetry=false"], environment


def seed(folder: Path) -> None:
    """Fill the bucket, create the dataset, and give Airflow the connections of integrations/demo.yaml."""
    files = SecretFiles(folder)
    fill_demo_bucket(files, OBJECT_STORE_URL)
    create_dataset(files, DATASET_SERVICE_URL)
    connections = folder / "connections.json"
    _write_private(connections, json.dumps(airflow_connections(files)))
    command = [sys.executable, "-m", "airflow", "connections", "import", "--overwrite", str(connections)]
    subprocess.run(command, check=True)  # noqa: S603 (arguments of our own)


def fill_demo_bucket(files: SecretFiles, endpoint_url: str) -> None:
    """Put the sample media into the bucket, as soon as it is there: the server answers before it is.

    Raises:
        StorageError: The store does not take objects in time.
    """
    import boto3
    from botocore.config import Config

    session = boto3.Session(
        files.s3_access_key_id.read_text(), files.s3_secret_access_key.read_text(), region_name=REGION
    )
    config = Config(s3={"addressing_style": "path"}, max_pool_connections=16)
    client = session.client("s3", endpoint_url=endpoint_url, config=config)
    deadline = time.monotonic() + STORE_TIMEOUT_S
    while not s3_is_ready(client, (BUCKET,)):
        if time.monotonic() > deadline:
            raise StorageError(
                f"takes no objects after {STORE_TIMEOUT_S} s.", where=endpoint_url, remedy="Read its log."
            )
        time.sleep(0.2)
    fill_bucket(client, bucket_content())


def create_dataset(files: SecretFiles, url: str) -> None:
    """Create the dataset that integrations/demo.yaml names, unless it is there."""
    from encord import EncordUserClient
    from encord.orm.dataset import StorageLocation

    client = EncordUserClient.create_with_ssh_private_key(files.encord_key.read_text(), domain=url)
    if not client.get_datasets(title_eq=DATASET):
        client.create_dataset(DATASET, StorageLocation.AWS)


def airflow_connections(files: SecretFiles) -> dict[str, dict[str, str]]:
    """Return the connections that integrations/demo.yaml names, for `airflow connections import`."""
    return {
        "demo_s3": {
            "conn_type": "aws",
            "login": files.s3_access_key_id.read_text(),
            "password": files.s3_secret_access_key.read_text(),
            "extra": json.dumps({"endpoint_url": OBJECT_STORE_URL, "region_name": REGION}),
        },
        "demo_encord": {
            "conn_type": "encord",
            "host": DATASET_SERVICE_URL,
            "password": files.encord_key.read_text(),
            "extra": json.dumps({"encord_integration": ENCORD_INTEGRATION}),
        },
    }


def _write_once(path: Path, make: Callable[[], str]) -> None:
    if not path.exists():
        _write_private(path, make())


def _write_private(path: Path, text: str) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)


JOBS: dict[str, Callable[[Path], None]] = {
    "secrets": make_secrets,
    "object-store": run_object_store,
    "seed": seed,
}


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] not in JOBS:  # noqa: PLR2004 (the program, the job, its folder)
        sys.exit(__doc__)
    JOBS[sys.argv[1]](Path(sys.argv[2]))
