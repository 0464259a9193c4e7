"""The same few objects on each provider's storage, with an Airflow connection and an integration for each.

S3 and Open Telekom Cloud lie on the stack's own SeaweedFS; Google has fake-gcs-server, Azure has Azurite
where it is installed. One dataset service reads from all of them, with an Encord integration for each.
"""

from __future__ import annotations

import contextlib
import io
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from PIL import Image

from demo.content import BUCKET
from tests.servers import (
    AZURITE,
    AzureServer,
    DatasetService,
    GcsServer,
    S3Server,
    running_azurite,
    running_dataset_service,
    running_gcs,
)

PROVIDERS = ("s3", "gcs", "azure", "otc")
CONTAINER = "recordings"
PREFIX = "cameras/"
GOOD = {
    "plain.png": "plain.png",
    "with space+plus%.png": "with%20space%2Bplus%25.png",
    "grün/日本.png": "gr%C3%BCn/%E6%97%A5%E6%9C%AC.png",
}
"""Names of images, each with how it stands in a URL."""
BAD = "broken.png"


@dataclass(frozen=True)
class Storage:
    """One provider's storage.

    Attributes:
        section: The section `storage` of its integration.
        connection: Its Airflow connection.
        encord_integration: What the dataset service is told of it.
        put: Stores an object, by its key.
    """

    section: Mapping[str, Any]
    connection: Mapping[str, Any] = field(repr=False)
    encord_integration: Mapping[str, Any] = field(repr=False)
    put: Callable[[str, bytes], Any] = field(repr=False)

    @property
    def provider(self) -> str:
        """The provider."""
        return str(self.section["provider"])

    @property
    def prefix(self) -> str:
        """What the keys begin with."""
        return str(self.section["prefix"])

    def fill(self) -> None:
        """Store images and a file that is none."""
        for number, name in enumerate(GOOD):
            self.put(f"{self.prefix}{name}", png(number))
        self.put(f"{self.prefix}{BAD}", b"not an image at all")


@dataclass(frozen=True)
class Storages:
    """All storages, and the dataset service that reads from them."""

    by_provider: Mapping[str, Storage]
    service: DatasetService = field(repr=False)
    secrets: Mapping[str, str] = field(repr=False)
    environment: Mapping[str, str] = field(repr=False)

    def __getitem__(self, provider: str) -> Storage:
        return self.by_provider[provider]

    def fill(self) -> None:
        """Make a dataset for each storage and store the objects."""
        from encord.orm.dataset import StorageLocation

        for provider, storage in self.by_provider.items():
            title = dataset_of(provider)
            self.service.client().create_dataset(title, StorageLocation.AWS, create_backing_folder=True)
            storage.fill()


def dataset_of(provider: str) -> str:
    """Return the title of a provider's dataset."""
    return f"Storage {provider}"


def integration_of(provider: str) -> str:
    """Return the name of a provider's integration."""
    return f"storage-{provider}"


def png(number: int) -> bytes:
    """Return a small PNG; no two are the same."""
    buffer = io.BytesIO()
    Image.new("RGB", (2, 2), (number, 20, 30)).save(buffer, "PNG")
    return buffer.getvalue()


@contextlib.contextmanager
def running_storages(root: Path, integrations: Path, s3: S3Server) -> Iterator[Storages]:
    """Run the servers of all storages, and write an integration file for each.

    Args:
        root: Folder for what they write.
        integrations: Folder of the integration files.
        s3: The server of S3 and Open Telekom Cloud, which need not run yet.
    """
    with contextlib.ExitStack() as stack:
        gcs = stack.enter_context(running_gcs(root, [CONTAINER]))
        storages = [on_s3(s3), on_otc(s3), on_gcs(gcs)]
        secrets: dict[str, str] = {}
        # Without Azurite only the tests of Azure are skipped, or fail in CI: see `azurite_command`.
        if shutil.which("node") and AZURITE.exists():
            azure = stack.enter_context(running_azurite(root, [CONTAINER]))
            (root / "azure-key").write_text(azure.key)
            storages.append(on_azure(azure))
            secrets["Azure key"] = azure.key
        told = [dict(each.encord_integration, title=each.provider) for each in storages]
        service = stack.enter_context(running_dataset_service(root, s3, [BUCKET], encord_integrations=told))
        by_provider = {each.provider: each for each in storages}
        write_integrations(integrations, by_provider)
        environment = {**connections(by_provider, service), "STORAGE_EMULATOR_HOST": gcs.endpoint_url}
        yield Storages(by_provider, service, secrets, environment)


def connections(by_provider: Mapping[str, Storage], service: DatasetService) -> dict[str, str]:
    """Return the connections, as Airflow finds them in its environment."""
    found: dict[str, Mapping[str, Any]] = {
        f"E2E_STORAGE_{provider.upper()}": storage.connection for provider, storage in by_provider.items()
    }
    found["E2E_STORAGES_ENCORD"] = {
        "conn_type": "encord",
        "host": service.url,
        "password": service.private_key,
    }
    return {f"AIRFLOW_CONN_{name}": json.dumps(content) for name, content in found.items()}


def write_integrations(folder: Path, by_provider: Mapping[str, Storage]) -> None:
    """Write one integration file for each storage."""
    for provider, storage in by_provider.items():
        content = {
            "name": integration_of(provider),
            "storage": {"connection_id": f"e2e_storage_{provider}", **storage.section},
            "target": {
                "connection_id": "e2e_storages_encord",
                "dataset": dataset_of(provider),
                "encord_integration": provider,
            },
        }
        (folder / f"{integration_of(provider)}.yaml").write_text(yaml.safe_dump(content))


def on_s3(server: S3Server) -> Storage:
    """Return the storage of provider s3."""
    return _with_access_key(server, "s3", "us-east-1")


def on_otc(server: S3Server) -> Storage:
    """Return the storage of provider otc: an endpoint of one's own stands for Telekom's."""
    return _with_access_key(server, "otc", "eu-de")


def _with_access_key(server: S3Server, provider: str, region: str) -> Storage:
    section = {"provider": provider, "bucket": BUCKET, "prefix": f"{provider}/{PREFIX}", "url_style": "path"}
    return Storage(
        section,
        {
            "conn_type": "aws",
            "login": server.access_key_id,
            "password": server.secret_access_key,
            "extra": {"endpoint_url": server.endpoint_url, "region_name": region},
        },
        {
            "provider": provider,
            "endpoint_url": server.endpoint_url,
            "region": region,
            "buckets": [BUCKET],
            "access_key_id_env": "TEST_S3_ACCESS_KEY_ID",
            "secret_access_key_env": "TEST_S3_SECRET_ACCESS_KEY",
        },
        lambda key, body: server.client().put_object(Bucket=BUCKET, Key=key, Body=body),
    )


def on_gcs(server: GcsServer) -> Storage:
    """Return the storage of provider gcs."""
    return Storage(
        {"provider": "gcs", "bucket": CONTAINER, "prefix": PREFIX},
        {"conn_type": "google_cloud_platform", "extra": {"is_anonymous": True}},
        {
            "provider": "gcs",
            "endpoint_url": server.endpoint_url,
            "buckets": [CONTAINER],
            "anonymous": True,
        },
        lambda key, body: server.client().bucket(CONTAINER).blob(key).upload_from_string(body),
    )


def on_azure(server: AzureServer) -> Storage:
    """Return the storage of provider azure."""
    return Storage(
        {"provider": "azure", "bucket": CONTAINER, "prefix": PREFIX, "account": server.account},
        {
            "conn_type": "wasb",
            "host": server.account_url,
            "login": server.account,
            "password": server.key,
        },
        {
            "provider": "azure",
            "account": server.account,
            "account_url": server.account_url,
            "account_key_file": "azure-key",
            "buckets": [CONTAINER],
        },
        lambda key, body: server.container(CONTAINER).upload_blob(key, body),
    )
