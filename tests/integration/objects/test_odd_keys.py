"""Every kind of key, against boto3's own listing, with pages so small that odd keys fall on their borders."""

from __future__ import annotations

import random
from itertools import count
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest

from cloud_sync.objects.listing import list_objects
from cloud_sync.objects.model import ObjectStore
from cloud_sync.objects.stores import open_s3
from cloud_sync.run_folder import RunFolder

if TYPE_CHECKING:
    from pathlib import Path

    from tests.servers import S3Server

NUMBERS = count()
PLAIN = [f"raw/cam{camera}/{number:02d}.jpg" for camera in range(3) for number in range(7)]
ODD = [
    "/lead.jpg",
    "//",
    "raw//double.jpg",
    "raw/./dot.jpg",
    "raw/../dots.jpg",
    "raw/cam1/return\r.jpg",
    "raw/cam1/tab\t.jpg",
    "raw/cam1/del\x7f.jpg",
    "raw/cam1//x",
    "raw/ lead and trail .jpg ",
    "raw/100%25+~*'().jpg",
    "raw/a#b?c&d=e.jpg",
    "raw/a\\b.jpg",
    'raw/<&amp;>".jpg',
    "raw/é.jpg",
    "raw/e\u0301.jpg",
    "raw/😀.jpg",
    "raw/\u0085.jpg",
    "!first",
    "~last",
]
EMPTY = ["raw/", "raw/cam0/", "raw/cam2", "raw/cam2/", "raw/marker/", "raw/empty.jpg", "raw/cam1/03.jpg/"]


def store_of(server: S3Server, bucket: str, **settings: Any) -> ObjectStore:
    return open_s3(
        bucket,
        endpoint_url=server.endpoint_url,
        region="us-east-1",
        access_key_id=server.access_key_id,
        secret_access_key=server.secret_access_key,
        **settings,
    )


def fill(server: S3Server, bucket: str, contents: dict[str, bytes]) -> None:
    client = server.client()
    client.create_bucket(Bucket=bucket)
    for key, body in contents.items():
        client.put_object(Bucket=bucket, Key=key, Body=body)


def as_boto3_lists(server: S3Server, bucket: str, prefix: str) -> list[tuple[Any, ...]]:
    pages = server.client().get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    entries = [entry for page in pages for entry in page.get("Contents", ())]
    return sorted(
        (entry["Key"], entry["Size"], entry["LastModified"], entry["ETag"].strip('"'))
        for entry in entries
        if entry["Size"] or not entry["Key"].endswith("/")
    )


def as_we_list(store: ObjectStore, prefix: str, root: Path) -> list[tuple[Any, ...]]:
    list_objects(store, prefix, RunFolder(root), pages_in_flight=4, part_rows=17)
    return [
        tuple(row.values())
        for part in sorted((root / "listing").glob("part-*"))
        for row in pq.read_table(part).to_pylist()
    ]


@pytest.mark.parametrize("prefix", ["", "raw/", "raw", "raw/cam1", "raw/cam1/", "/", "raw//", "nothing/"])
def test_all_kinds_of_keys_at_once(moto: S3Server, tmp_path: Path, prefix: str):
    bucket = f"all-kinds-{next(NUMBERS)}"
    fill(moto, bucket, dict.fromkeys(PLAIN + ODD, b"content") | dict.fromkeys(EMPTY, b""))

    assert as_we_list(store_of(moto, bucket), prefix, tmp_path) == as_boto3_lists(moto, bucket, prefix)


@pytest.mark.parametrize("seed", range(12))
def test_random_neighbours(moto: S3Server, tmp_path: Path, seed: int):
    chosen = random.Random(seed)
    keys = chosen.sample(PLAIN + ODD + EMPTY, chosen.randint(1, 25))
    contents = {key: b"" if key in EMPTY else b"content" for key in keys}
    bucket = f"neighbours-{seed}"
    fill(moto, bucket, contents)

    assert as_we_list(store_of(moto, bucket), "", tmp_path) == as_boto3_lists(moto, bucket, "")


@pytest.mark.parametrize("key", ["a.jpg", *ODD])
def test_every_key_can_be_read(moto: S3Server, key: str):
    bucket = f"read-{next(NUMBERS)}"
    fill(moto, bucket, {key: b"0123456789"})
    store = store_of(moto, bucket)

    assert store.head(key).key == key
    assert store.head(key).size_bytes == 10
    assert store.read_range(key, 2, 3) == b"234"
    assert store.read_range(key, 8, 100) == b"89"
    assert store.read_range(key, 10, 5) == b""
    assert store.read_start(key, 4) == (10, b"0123")
    assert store.read_start(key, 100) == (10, b"0123456789")
    assert store.read_tail(key, 3) == b"789"
    assert store.read_tail(key, 100) == b"0123456789"


@pytest.mark.parametrize("key", ["empty.jpg", "raw//empty.jpg"])
def test_an_empty_object_is_read_as_nothing(moto: S3Server, key: str):
    bucket = f"empty-{next(NUMBERS)}"
    fill(moto, bucket, {key: b""})
    store = store_of(moto, bucket)

    assert store.head(key).size_bytes == 0
    assert store.read_range(key, 0, 10) == b""
    assert store.read_start(key, 10) == (0, b"")
    assert store.read_tail(key, 10) == b""
