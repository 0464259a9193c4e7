"""Listings in shards, and listings that are broken off, on servers: each order of keys, each way to go on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest

from cloud_sync.objects import azure, gcs, stores
from cloud_sync.objects.azure import open_azure
from cloud_sync.objects.listing import list_objects
from cloud_sync.objects.model import read_listing
from cloud_sync.objects.shards import list_shard, survey
from cloud_sync.objects.stores import open_s3
from cloud_sync.run_folder import RunFolder

from .backends import GcsBackend, S3Backend, bucket_with
from .conftest import KEYS_PER_PAGE

if TYPE_CHECKING:
    from pathlib import Path

    from cloud_sync.objects.model import ObjectStore, Page
    from cloud_sync.run_folder import FileRef

FOLDERS = ("cam", "cam-1", "cam.2", "cam0", "cam é", "cam+5", "😀", "\uff5e")
KEYS = [f"raw/{folder}/{number:02d}.jpg" for folder in FOLDERS for number in range(14)]
KEYS += [f"raw/{number:02d}/x.jpg" for number in range(40)] + ["raw/cam.jpg", "raw/cam-", "z.jpg"]
CONTENTS = dict.fromkeys(KEYS, b"content")


class Died(BaseException):
    """What ends a process in the middle of a listing."""


class Dying:
    """A store that ends the process that lists it after so many pages."""

    def __init__(self, store: ObjectStore, pages: int) -> None:
        self._store = store
        self._pages = pages

    def page(self, prefix: str, **options: Any) -> Page:
        self._pages -= 1
        if self._pages < 0:
            raise Died
        return self._store.page(prefix, **options)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


@pytest.fixture(params=["moto", "seaweedfs", "gcs", "azure"])
def store(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> ObjectStore:
    """The same keys in each store, with small pages."""
    for module in (stores, gcs, azure):
        monkeypatch.setattr(module, "KEYS_PER_PAGE", KEYS_PER_PAGE)
    if request.param == "gcs":
        backend = GcsBackend(request.getfixturevalue("fake_gcs"))
        return backend.opened(bucket_with(backend, CONTENTS))
    if request.param == "azure":
        server = request.getfixturevalue("azurite")
        container = server.container("shards")
        if not container.exists():
            container.create_container()
            for key, body in CONTENTS.items():
                container.upload_blob(key, body)
        return open_azure("shards", account_url=server.account_url, credential=server.credential())
    server = request.getfixturevalue(request.param)
    bucket = bucket_with(S3Backend(server), CONTENTS)
    return open_s3(
        bucket,
        endpoint_url=server.endpoint_url,
        region="us-east-1",
        access_key_id=server.access_key_id,
        secret_access_key=server.secret_access_key,
    )


def keys_of(root: Path, *indexes: FileRef) -> list[str]:
    parts = read_listing(RunFolder(root), *indexes).parts
    return [key for part in parts for key in pq.read_table(part)["key"].to_pylist()]


@pytest.mark.parametrize("shards", [2, 5])
def test_shards_hold_every_key_once(store: ObjectStore, shards: int, tmp_path: Path):
    folder = RunFolder(tmp_path)
    found = survey(store, "", folder, shards=shards, pages_in_flight=4)
    indexes = [
        list_shard(store, folder, shard.number, pages_in_flight=4, part_rows=17).index for shard in found
    ]

    assert len(found) == shards
    assert sorted(keys_of(tmp_path, *indexes)) == sorted(KEYS)


@pytest.mark.parametrize("pages", [9, 16, 23, 30])
def test_a_listing_that_was_broken_off_goes_on(store: ObjectStore, pages: int, tmp_path: Path):
    options: dict[str, Any] = {"attempt": "first", "pages_in_flight": 1, "part_rows": 17}
    with pytest.raises(Died):
        list_objects(Dying(store, pages), "", RunFolder(tmp_path), **options)

    listing = list_objects(store, "", RunFolder(tmp_path), **options)

    assert sorted(keys_of(tmp_path, listing.index)) == sorted(KEYS)
