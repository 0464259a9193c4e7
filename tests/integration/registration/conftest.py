"""A store and a dataset service, and for each test a run folder and datasets of its own."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import pytest
from PIL import Image

from cloud_sync.manifest.model import ManifestEntry
from cloud_sync.registration.client import EncordClient
from cloud_sync.registration.connection import Timeouts
from cloud_sync.registration.model import Target
from cloud_sync.registration.register import Registrar
from cloud_sync.registration.target import ensure_target_folder, folder_name, resolve_target
from cloud_sync.run_folder import RunFolder
from tests.servers import DatasetService, S3Server, running_dataset_service, running_s3
from tests.unit.registration.fakes import write_manifest

BUCKET = "streets"
PICTURES = 6


@pytest.fixture(scope="session")
def s3(tmp_path_factory):
    buffer = io.BytesIO()
    Image.effect_noise((160, 120), 60).save(buffer, "JPEG")
    with running_s3(tmp_path_factory.mktemp("store"), [BUCKET]) as server:
        for number in range(PICTURES):
            server.client().put_object(Bucket=BUCKET, Key=f"{number}.jpg", Body=buffer.getvalue())
        server.client().put_object(Bucket=BUCKET, Key="bad.jpg", Body=b"I am no picture.")
        yield server


@pytest.fixture(scope="session")
def service(tmp_path_factory, s3):
    with running_dataset_service(tmp_path_factory.mktemp("service"), s3, [BUCKET]) as service:
        yield service


@dataclass
class Desk:
    """An integration at work: its dataset, its client, its run folder."""

    service: DatasetService
    s3: S3Server
    folder: RunFolder
    dataset: str
    backing_folder: bool
    name: str

    def __post_init__(self) -> None:
        self.user = self.service.client()
        self.user.create_dataset(self.dataset, 4, create_backing_folder=self.backing_folder)
        self.client = connect(self.service)

    def target(self) -> Target:
        target = resolve_target(
            self.client,
            dataset=self.dataset,
            encord_integration=self.service.encord_integration,
            folder=None,
            integration_name=self.name,
        )
        return ensure_target_folder(self.client, target, folder_name(self.name))

    def registrar(self, **changes: Any) -> Registrar:
        return Registrar(**{"client": self.client, "folder": self.folder, "target": self.target(), **changes})

    def manifest(self, *keys: str | tuple[str, ...], number: int = 0) -> ManifestEntry:
        """Write a manifest of images, and of an image group for each tuple of keys."""
        urls = [self.url(key) if isinstance(key, str) else tuple(map(self.url, key)) for key in keys]
        return write_manifest(self.folder, number, *urls)

    def url(self, key: str) -> str:
        return self.s3.url(BUCKET, key)

    def rows(self) -> list[str]:
        dataset = self.client.find_dataset(self.dataset)
        return sorted(row.title for row in self.user.get_dataset(dataset.uuid).list_data_rows())


def connect(service: DatasetService) -> EncordClient:
    return EncordClient(
        domain=service.url, ssh_private_key=service.private_key, timeouts=Timeouts(connect_s=5, poll_s=10)
    )


@pytest.fixture
def open_desk(service, s3, tmp_path, request):
    def open_desk(*, backing_folder: bool = True, service: DatasetService = service) -> Desk:
        name = request.node.name
        return Desk(service, s3, RunFolder(tmp_path / "run"), name, backing_folder, name)

    return open_desk
