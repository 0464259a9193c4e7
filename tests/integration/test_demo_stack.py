"""The profile `demo` of docker-compose.yaml, run as its containers run it, but without containers."""

from __future__ import annotations

import json
import os
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from demo.content import BUCKET
from demo.media import bucket_content
from deploy.demo_stack import (
    DATASET,
    SecretFiles,
    airflow_connections,
    create_dataset,
    fill_demo_bucket,
    make_secrets,
    object_store_command,
)
from tests.servers import S3Server, end, free_ports, running_dataset_service, wait_until_answers

ROOT = Path(__file__).parents[2]
INNER_PORTS = (
    *("s3.port.grpc", "master.port", "master.port.grpc", "volume.port", "volume.port.grpc"),
    *("filer.port", "filer.port.grpc", "admin.port", "admin.port.grpc"),
)


@pytest.fixture(scope="module")
def volume(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the containers of the profile share."""
    return tmp_path_factory.mktemp("demo-store")


@pytest.fixture(scope="module")
def files(volume: Path) -> SecretFiles:
    make_secrets(volume / "secrets")
    return SecretFiles(volume / "secrets")


@pytest.fixture(scope="module")
def store(volume: Path, files: SecretFiles) -> Iterator[S3Server]:
    """The object store of the profile, on other ports."""
    command, credentials = object_store_command(volume)
    port, *inner = free_ports(1 + len(INNER_PORTS))
    # The last of two equal flags counts.
    command += [f"-s3.port={port}", "-ip.bind=127.0.0.1"]
    command += [f"-{name}={number}" for name, number in zip(INNER_PORTS, inner, strict=True)]
    (volume / "objects").mkdir()
    log = volume / "objects.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=volume / "objects",
            env={**os.environ, **credentials},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_until_answers(f"http://127.0.0.1:{port}/status", process, log)
        yield S3Server(f"http://127.0.0.1:{port}", *credentials.values())
    finally:
        end(process)


def test_secrets_are_private_and_made_once(files: SecretFiles) -> None:
    private = [files.encord_key, files.s3_access_key_id, files.s3_secret_access_key]
    before = [path.read_bytes() for path in private]

    make_secrets(files.folder)

    assert [path.read_bytes() for path in private] == before
    assert [stat.S_IMODE(path.stat().st_mode) for path in private] == [0o600] * 3
    assert files.encord_key.with_suffix(".pub").read_text().startswith("ssh-ed25519 ")


def test_airflow_reads_the_connections_that_the_demo_integration_names(
    files: SecretFiles, tmp_path: Path
) -> None:
    from airflow.secrets.local_filesystem import load_connections_dict

    path = tmp_path / "connections.json"
    path.write_text(json.dumps(airflow_connections(files)))

    found = load_connections_dict(str(path))

    demo = yaml.safe_load((ROOT / "include/integrations/demo.yaml").read_text())
    assert set(found) == {demo["storage"]["connection_id"], demo["target"]["connection_id"]}
    assert found["demo_encord"].password == files.encord_key.read_text()
    assert found["demo_encord"].host == "http://demo-dataset-service:8081"
    assert found["demo_s3"].extra_dejson["endpoint_url"] == "http://demo-object-store:8333"


def test_the_bucket_is_filled_and_filled_again(store: S3Server, files: SecretFiles) -> None:
    for _ in range(2):
        fill_demo_bucket(files, store.endpoint_url)

    listed = store.client().list_objects_v2(Bucket=BUCKET)["Contents"]
    assert {item["Key"] for item in listed} == {medium.key for medium in bucket_content().everything()}


def test_the_dataset_is_created_once(store: S3Server, files: SecretFiles, tmp_path: Path) -> None:
    settings = yaml.safe_load((ROOT / "deploy/dataset-service.yaml").read_text())
    (integration,) = settings["encord_integrations"]
    integration |= {
        "endpoint_url": store.endpoint_url,
        "access_key_id_file": str(files.s3_access_key_id),
        "secret_access_key_file": str(files.s3_secret_access_key),
    }
    settings["database_url"] = f"sqlite:///{tmp_path / 'dataset-service.sqlite'}"
    settings["public_key_files"] = [str(files.encord_key.with_suffix(".pub"))]

    with running_dataset_service(tmp_path / "service", store, [BUCKET], **settings) as service:
        for _ in range(2):
            create_dataset(files, service.url)

        assert [found["dataset"].title for found in service.client().get_datasets()] == [DATASET]
