"""A state folder in each kind of store, on real servers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from cloud_sync.run_folder.address import parse_address
from cloud_sync.run_folder.stores import azure_store, bucket_folder, gcs_store, s3_store
from tests.integration.run_folder.gcs_xml import running_gcs_xml
from tests.servers import AzureServer, S3Server, running_azurite, running_s3

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cloud_sync.run_folder import RunFolder

BUCKET = "state"
KINDS = ["s3", "gs", "az"]


@pytest.fixture(scope="session")
def seaweedfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """An S3-compatible store."""
    with running_s3(tmp_path_factory.mktemp("s3"), buckets=[BUCKET]) as server:
        yield server


@pytest.fixture(scope="session")
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AzureServer]:
    """Azure Blob Storage."""
    with running_azurite(tmp_path_factory.mktemp("azure"), containers=[BUCKET]) as server:
        yield server


@pytest.fixture(scope="session")
def google() -> Iterator[str]:
    """Google Cloud Storage, by the API that obstore speaks."""
    with running_gcs_xml() as address:
        yield address


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest) -> dict[str, Any]:
    """How another process finds a store: as keywords of `open_folder`."""
    if request.param == "s3":
        server: S3Server = request.getfixturevalue("seaweedfs")
        keys = {"access_key_id": server.access_key_id, "secret_access_key": server.secret_access_key}
        return {"url": f"s3://{BUCKET}", "endpoint_url": server.endpoint_url, **keys}
    if request.param == "gs":
        address: str = request.getfixturevalue("google")
        return {
            "url": f"gs://{BUCKET}",
            "endpoint_url": address,
            "access_key_id": "",
            "secret_access_key": "token",
        }
    azure: AzureServer = request.getfixturevalue("azurite")
    return {
        "url": f"az://{BUCKET}",
        "endpoint_url": azure.account_url,
        "access_key_id": azure.account,
        "secret_access_key": azure.key,
    }


@pytest.fixture
def folder(place: dict[str, Any], tmp_path: Path) -> RunFolder:
    """An empty folder in the store."""
    return open_folder(**place).below(tmp_path.name)


def open_folder(*, url: str, endpoint_url: str, access_key_id: str, secret_access_key: str) -> RunFolder:
    """Open a store; in whatever process."""
    address = parse_address(url, "the test")
    if address.scheme == "az":
        from azure.storage.blob import BlobServiceClient

        credential = {"account_name": access_key_id, "account_key": secret_access_key}
        client = BlobServiceClient(endpoint_url, credential=credential)
        return bucket_folder(azure_store(address.bucket, client=client), address)
    if address.scheme == "gs":
        from google.oauth2.credentials import Credentials

        credentials = Credentials(secret_access_key)  # type: ignore[no-untyped-call]
        return bucket_folder(
            gcs_store(address.bucket, credentials=credentials, endpoint_url=endpoint_url), address
        )
    import boto3

    session = boto3.Session(aws_access_key_id=access_key_id, aws_secret_access_key=secret_access_key)
    return bucket_folder(s3_store(address.bucket, session=session, endpoint_url=endpoint_url), address)
