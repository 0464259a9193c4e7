"""Who lists a bucket in the benchmarks: the hooks and clients that people start from, other tools, and ours.

Each is a function for `measure`: it lists the bucket `bench` at an address and returns how many keys it got.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cloud_sync.objects.model import ObjectStore

BUCKET: Final = "bench"
AWS_KEYS: Final[dict[str, Any]] = {
    "region": "us-east-1",
    "access_key_id": "bench",
    "secret_access_key": "bench",
}
AZURE_KEY: Final = "YmVuY2g="
BARE: Final = "bare obstore Arrow stream"
OURS: Final = "ours, to Parquet"
PAGES_IN_FLIGHT: Final = 32
CHUNK_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Client:
    """One way to list.

    Attributes:
        name: As tables show it.
        function: Of this module, for `measure`.
        is_cheap: It takes seconds for a million keys, so it can be measured several times.
    """

    name: str
    function: str
    is_cheap: bool = False

    @property
    def case(self) -> str:
        """The function as `measure` wants it."""
        return f"{__name__}:{self.function}"


CLIENTS: Final = {
    "s3": (
        Client("S3Hook.list_keys", "s3_hook"),
        Client("boto3 paginator", "s3_boto3"),
        Client("s5cmd ls", "s3_s5cmd"),
        Client("rclone lsf -R", "s3_rclone"),
        Client(BARE, "s3_obstore", is_cheap=True),
        Client(OURS, "s3_ours", is_cheap=True),
    ),
    "gcs": (
        Client("GCSHook.list", "gcs_hook"),
        Client("rclone lsf -R", "gcs_rclone"),
        Client(BARE, "gcs_obstore", is_cheap=True),
        Client(OURS, "gcs_ours", is_cheap=True),
    ),
    "azure": (
        Client("WasbHook.get_blobs_list_recursive", "azure_hook"),
        Client("rclone lsf -R", "azure_rclone"),
        Client(BARE, "azure_obstore", is_cheap=True),
        Client(OURS, "azure_ours", is_cheap=True),
    ),
}
"""By API, the provider's hook of Airflow first, ours last."""


def client_of(api: str, function: str) -> Client:
    """Return one client by its function."""
    return next(client for client in CLIENTS[api] if client.function == function)


def s3_hook(endpoint_url: str, prefix: str = "") -> int:
    """List with the hook that Airflow users start from."""
    extra = {"endpoint_url": endpoint_url, "region_name": AWS_KEYS["region"]}
    _set_connection({"conn_type": "aws", "login": "bench", "password": "bench", "extra": extra})
    from airflow.providers.amazon.aws.hooks.s3 import S3Hook

    return len(S3Hook("bench").list_keys(BUCKET, prefix=prefix))


def s3_boto3(endpoint_url: str, prefix: str = "") -> int:
    """List with boto3's paginator, keeping the keys."""
    import boto3

    client = boto3.client(
        "s3",
        endpoint_url=endpoint_url,
        region_name=AWS_KEYS["region"],
        aws_access_key_id=AWS_KEYS["access_key_id"],
        aws_secret_access_key=AWS_KEYS["secret_access_key"],
    )
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
    return len([entry["Key"] for page in pages for entry in page.get("Contents", ())])


def s3_s5cmd(endpoint_url: str, prefix: str = "") -> int:
    """Count the lines that s5cmd prints: time, size and key."""
    return _lines_of("s5cmd", "--endpoint-url", endpoint_url, "ls", f"s3://{BUCKET}/{prefix}*")


def s3_rclone(endpoint_url: str, *, in_flight: int | None = None) -> int:
    """Count the keys that rclone prints."""
    given = ("--s3-provider", "Other", "--s3-endpoint", endpoint_url)
    keys = (
        "--s3-access-key-id",
        AWS_KEYS["access_key_id"],
        "--s3-secret-access-key",
        AWS_KEYS["secret_access_key"],
    )
    return _rclone(f":s3:{BUCKET}", *given, *keys, in_flight=in_flight)


def s3_obstore(endpoint_url: str) -> int:
    """Count the rows of an Arrow stream and keep nothing."""
    from obstore.store import S3Store

    store = S3Store(BUCKET, endpoint=endpoint_url, client_options={"allow_http": True}, **AWS_KEYS)
    return _rows_of(store.list(chunk_size=1000, return_arrow=True))


def s3_ours(endpoint_url: str, prefix: str = "") -> int:
    """List to Parquet files."""
    from cloud_sync.objects.stores import open_s3

    return _listed(open_s3(BUCKET, endpoint_url=endpoint_url, **AWS_KEYS), prefix)


def gcs_hook(endpoint_url: str, prefix: str = "") -> int:
    """List with the hook that Airflow users start from."""
    os.environ["STORAGE_EMULATOR_HOST"] = endpoint_url
    extra = {"is_anonymous": True, "project": "bench"}
    _set_connection({"conn_type": "google_cloud_platform", "extra": extra})
    from airflow.providers.google.cloud.hooks.gcs import GCSHook

    return len(GCSHook("bench").list(BUCKET, prefix=prefix or None))


def gcs_rclone(endpoint_url: str, *, in_flight: int | None = None) -> int:
    """Count the keys that rclone prints."""
    given = ("--gcs-anonymous", "--gcs-endpoint", f"{endpoint_url}/storage/v1/")
    return _rclone(f":gcs:{BUCKET}", *given, in_flight=in_flight)


def gcs_obstore(endpoint_url: str) -> int:
    """Count the rows of an Arrow stream and keep nothing."""
    from obstore.store import GCSStore

    store = GCSStore(
        BUCKET,
        base_url=endpoint_url,
        credential_provider=lambda: {"token": "bench", "expires_at": None},
        client_options={"allow_http": True},
    )
    return _rows_of(store.list(chunk_size=1000, return_arrow=True))


def gcs_ours(endpoint_url: str, prefix: str = "") -> int:
    """List to Parquet files."""
    from google.oauth2.credentials import Credentials

    from cloud_sync.objects.gcs import open_gcs

    return _listed(open_gcs(BUCKET, credentials=Credentials("bench"), endpoint_url=endpoint_url), prefix)


def azure_hook(endpoint_url: str, prefix: str = "") -> int:
    """List with the hook that Airflow users start from."""
    text = (
        f"DefaultEndpointsProtocol=http;AccountName=bench;AccountKey={AZURE_KEY};"
        f"BlobEndpoint={endpoint_url}/bench"
    )
    _set_connection({"conn_type": "wasb", "extra": {"connection_string": text}})
    from airflow.providers.microsoft.azure.hooks.wasb import WasbHook

    return len(WasbHook("bench").get_blobs_list_recursive(BUCKET, prefix=prefix))


def azure_rclone(endpoint_url: str, *, in_flight: int | None = None) -> int:
    """Count the keys that rclone prints."""
    given = ("--azureblob-endpoint", f"{endpoint_url}/bench")
    keys = ("--azureblob-account", "bench", "--azureblob-key", AZURE_KEY)
    return _rclone(f":azureblob:{BUCKET}", *given, *keys, in_flight=in_flight)


def azure_obstore(endpoint_url: str) -> int:
    """Count the rows of an Arrow stream and keep nothing."""
    from obstore.store import AzureStore

    store = AzureStore(
        BUCKET,
        account_name="bench",
        account_key=AZURE_KEY,
        endpoint=f"{endpoint_url}/bench",
        client_options={"allow_http": True},
    )
    return _rows_of(store.list(chunk_size=1000, return_arrow=True))


def azure_ours(endpoint_url: str, prefix: str = "") -> int:
    """List to Parquet files."""
    from azure.core.credentials import AzureNamedKeyCredential

    from cloud_sync.objects.azure import open_azure

    credential = AzureNamedKeyCredential("bench", AZURE_KEY)
    return _listed(open_azure(BUCKET, account_url=f"{endpoint_url}/bench", credential=credential), prefix)


def _listed(store: ObjectStore, prefix: str) -> int:
    from cloud_sync.objects.listing import list_objects
    from cloud_sync.run_folder import RunFolder

    with tempfile.TemporaryDirectory() as root:
        return list_objects(store, prefix, RunFolder(root), pages_in_flight=PAGES_IN_FLIGHT).objects


def _rows_of(batches: Iterator[Any]) -> int:
    return sum(batch.num_rows for batch in batches)


def _set_connection(content: dict[str, Any]) -> None:
    os.environ["AIRFLOW_CONN_BENCH"] = json.dumps(content)


def _rclone(remote: str, *given: str, in_flight: int | None) -> int:
    """Count the keys that rclone prints; it prints no times, for which it would ask S3 of each object.

    It walks folders, so many at a time; without a number it lists all in one go, which costs it less CPU.
    """
    how = ("--fast-list",) if in_flight is None else ("--checkers", str(in_flight))
    return _lines_of("rclone", "lsf", "-R", "--files-only", *how, remote, *given)


def _lines_of(name: str, *arguments: str) -> int:
    """Run a program that is installed beside this Python, and count what it prints."""
    from demo.servers import program

    environment = os.environ | {
        "AWS_ACCESS_KEY_ID": AWS_KEYS["access_key_id"],
        "AWS_SECRET_ACCESS_KEY": AWS_KEYS["secret_access_key"],
        "AWS_REGION": AWS_KEYS["region"],
        "RCLONE_CONFIG": os.devnull,
    }
    command = [program(name), *arguments]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        lines = sum(chunk.count(b"\n") for chunk in iter(lambda: process.stdout.read(CHUNK_BYTES), b""))
    if process.returncode:
        raise RuntimeError(f"{name} ended with {process.returncode}")
    return lines
