"""Containers of Azure Blob Storage: every kind of key, page, credential and refusal, against the SDK."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest
from azure.core.credentials import AzureNamedKeyCredential, AzureSasCredential
from azure.storage.blob import ContainerSasPermissions, generate_container_sas

from cloud_sync.objects.azure import open_azure
from cloud_sync.objects.errors import ObjectStoreError
from cloud_sync.objects.listing import list_objects
from cloud_sync.run_folder import RunFolder
from tests.servers import LOOPBACK, free_ports

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from cloud_sync.objects.model import ObjectStore
    from tests.servers import AzureServer

NUMBERS = count()
SECRET = "Y2FuYXJ5LXNlY3JldC0xZjJl"
MARK = {"hdi_isfolder": "true"}

PLAIN = [f"raw/cam{camera}/{number:02d}.jpg" for camera in range(3) for number in range(7)]
# Azurite, as Azure, takes a backslash for a slash; its listings fail at characters that XML cannot hold.
ODD = [
    "/lead.jpg",
    "//",
    "raw//double.jpg",
    "raw/./dot.jpg",
    "raw/../dots.jpg",
    "raw/cam1/return\r.jpg",
    "raw/cam1/new\nline.jpg",
    "raw/cam1/tab\t.jpg",
    "raw/cam1/del\x7f.jpg",
    "raw/cam1//x",
    "raw/ lead and trail .jpg ",
    "raw/100%25+~*'().jpg",
    "raw/a#b?c&d=e.jpg",
    'raw/<&amp;>".jpg',
    "raw/é.jpg",
    "raw/e\u0301.jpg",
    "raw/😀.jpg",
    "raw/\u0085.jpg",
    "!first",
    "~last",
    "k" * 1024,
]
EMPTY = ["raw/", "raw/cam0/", "raw/cam2", "raw/cam2/", "raw/marker/", "raw/empty.jpg", "raw/cam1/03.jpg/"]


def store_of(server: AzureServer, container: str, credential: Any = None) -> ObjectStore:
    return open_azure(container, account_url=server.account_url, credential=credential or server.credential())


def fill(server: AzureServer, container: str, contents: Mapping[str, bytes]) -> ObjectStore:
    """Make a container. The SDK would change some keys on their way, so they are sent as the store signs."""
    server.container(container).create_container()
    store = open_azure(container, account_url=server.account_url, credential=server.credential())
    put(store, contents.items())
    return store


def put(store: Any, contents: Iterable[tuple[str, bytes]]) -> None:
    def one(content: tuple[str, bytes]) -> None:
        key, body = content
        given = {"x-ms-blob-type": "BlockBlob", "Content-Length": str(len(body) or "")}
        url, headers = store._sign("PUT", key, given)
        headers["Content-Length"] = str(len(body))
        path = url.removeprefix(url[: url.index("/", len("http://"))])
        answer = store._wire._pool.urlopen("PUT", path, body=body, headers=headers, retries=False)
        assert answer.status == 201, answer.data

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(one, contents))


def as_the_sdk_lists(server: AzureServer, container: str, prefix: str) -> list[tuple[Any, ...]]:
    blobs = server.container(container).list_blobs(name_starts_with=prefix)
    return sorted(
        (blob.name, blob.size, blob.last_modified, blob.etag.strip('"'))
        for blob in blobs
        if blob.size or not blob.name.endswith("/")
    )


def as_we_list(store: ObjectStore, prefix: str, root: Path) -> list[tuple[Any, ...]]:
    list_objects(store, prefix, RunFolder(root), pages_in_flight=4, part_rows=17)
    return [
        tuple(row.values())
        for part in sorted((root / "listing").glob("part-*"))
        for row in pq.read_table(part).to_pylist()
    ]


@pytest.fixture(scope="module")
def all_kinds(azurite: AzureServer) -> str:
    fill(azurite, "all-kinds", dict.fromkeys(PLAIN + ODD, b"content") | dict.fromkeys(EMPTY, b""))
    return "all-kinds"


@pytest.mark.parametrize("prefix", ["", "raw/", "raw", "raw/cam1", "raw/cam1/", "/", "raw//", "nothing/"])
def test_all_kinds_of_keys_at_once(azurite: AzureServer, all_kinds: str, tmp_path: Path, prefix: str):
    listed = as_we_list(store_of(azurite, all_kinds), prefix, tmp_path)

    assert listed == as_the_sdk_lists(azurite, all_kinds, prefix)
    assert all(key in {row[0] for row in listed} for key in PLAIN + ODD if key.startswith(prefix))


@pytest.mark.parametrize("seed", range(6))
def test_random_neighbours_in_small_pages(
    azurite: AzureServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
):
    monkeypatch.setattr("cloud_sync.objects.azure.KEYS_PER_PAGE", 3)
    chosen = random.Random(seed)
    keys = chosen.sample(PLAIN + ODD + EMPTY, chosen.randint(1, 25))
    container = f"neighbours-{seed}"
    store = fill(azurite, container, {key: b"" if key in EMPTY else b"content" for key in keys})

    assert as_we_list(store, "", tmp_path) == as_the_sdk_lists(azurite, container, "")


@pytest.mark.parametrize("key", ["a.jpg", *ODD])
def test_every_key_can_be_read(azurite: AzureServer, key: str):
    store = fill(azurite, f"read-{next(NUMBERS)}", {key: b"0123456789"})

    assert store.head(key).key == key
    assert store.head(key).size_bytes == 10
    assert store.read_range(key, 2, 3) == b"234"
    assert store.read_range(key, 8, 100) == b"89"
    assert store.read_range(key, 10, 5) == b""
    assert store.read_start(key, 4) == (10, b"0123")
    assert store.read_start(key, 100) == (10, b"0123456789")
    assert store.read_tail(key, 3) == b"789"
    assert store.read_tail(key, 100) == b"0123456789"


def test_an_empty_object_is_read_as_nothing(azurite: AzureServer):
    store = fill(azurite, "empty", {"empty.jpg": b""})

    assert store.head("empty.jpg").size_bytes == 0
    assert store.read_range("empty.jpg", 0, 10) == b""
    assert store.read_start("empty.jpg", 10) == (0, b"")
    assert store.read_tail("empty.jpg", 10) == b""


def test_an_object_that_is_stored_compressed_is_read_as_it_is_stored(azurite: AzureServer):
    from azure.storage.blob import ContentSettings

    store = fill(azurite, "compressed", {})
    settings = ContentSettings(content_encoding="gzip")
    azurite.container("compressed").upload_blob("a.nii", b"\x1f\x8bno gzip", content_settings=settings)

    assert store.read_start("a.nii", 5) == (9, b"\x1f\x8bno ")


def test_more_blobs_than_a_page_holds(azurite: AzureServer, tmp_path: Path):
    keys = [f"{number % 7}/{number:05d}.jpg" for number in range(5_500)]
    store = fill(azurite, "many", dict.fromkeys(keys, b"x"))

    first = store.page("")
    second = store.page("", token=first.next_token)

    assert (first.rows.num_rows, second.rows.num_rows, second.next_token) == (5_000, 500, None)
    assert [row[0] for row in as_we_list(store, "", tmp_path)] == sorted(keys)


def test_folders_objects_and_what_is_behind_a_key(azurite: AzureServer, all_kinds: str):
    store = store_of(azurite, all_kinds)

    page = store.page("raw/cam", delimiter="/")
    behind = store.page("raw/cam1", after="raw/cam1/04.jpg")

    assert page.prefixes == ("raw/cam0/", "raw/cam1/", "raw/cam2/")
    assert page.rows["key"].to_pylist() == ["raw/cam2"]
    keys = behind.rows["key"].to_pylist()
    assert [key for key in keys if key in PLAIN] == ["raw/cam1/05.jpg", "raw/cam1/06.jpg"]
    assert all(key > "raw/cam1/04.jpg" for key in keys)


def test_snapshots_and_what_stands_for_a_folder_are_not_listed(azurite: AzureServer):
    store = fill(azurite, "folders", {"a.jpg": b"content"})
    container = azurite.container("folders")
    container.get_blob_client("a.jpg").create_snapshot()
    container.upload_blob("dir", b"", metadata=MARK)
    container.upload_blob("dir/b.jpg", b"content", metadata={"Name": "x", "Etag": "<y>"})

    assert store.page("").rows["key"].to_pylist() == ["a.jpg", "dir/b.jpg"]
    with pytest.raises(ObjectStoreError, match="does not exist"):
        store.head("dir")


def test_the_etag_changes_with_the_content_and_with_what_is_said_of_it(azurite: AzureServer):
    store = fill(azurite, "etags", {"a.jpg": b"content"})
    blob = azurite.container("etags").get_blob_client("a.jpg")

    seen = [store.head("a.jpg").etag]
    blob.upload_blob(b"CONTENT", overwrite=True)
    seen.append(store.head("a.jpg").etag)
    blob.set_blob_metadata({"label": "cat"})
    seen.append(store.head("a.jpg").etag)

    assert len(set(seen)) == 3
    assert store.page("").rows["etag"].to_pylist() == seen[-1:]


def sas(server: AzureServer, container: str, *, hours: float = 1, **allowed: bool) -> AzureSasCredential:
    token = generate_container_sas(
        server.account,
        container,
        account_key=server.key,
        permission=ContainerSasPermissions(**allowed),
        expiry=datetime.now(UTC) + timedelta(hours=hours),
    )
    return AzureSasCredential(token)


def test_a_sas_token_lists_and_reads(azurite: AzureServer, all_kinds: str):
    store = store_of(azurite, all_kinds, sas(azurite, all_kinds, read=True, list=True))

    assert store.page("raw/cam0/").rows.num_rows == 8
    assert store.read_start("raw/a#b?c&d=e.jpg", 3) == (7, b"con")


CALLS: list[Callable[[ObjectStore], Any]] = [
    lambda store: store.check_access(),
    lambda store: store.head("a.jpg"),
    lambda store: store.read_range("a.jpg", 0, 10),
    lambda store: store.read_range("a//b.jpg", 0, 10),
    lambda store: store.read_start("a.jpg", 10),
    lambda store: store.read_tail("a.jpg", 10),
]


def refusal(call: Callable[[ObjectStore], Any], store: ObjectStore) -> ObjectStoreError:
    with pytest.raises(ObjectStoreError) as caught:
        call(store)
    for unwanted in (SECRET, "sig=", "\n"):
        assert unwanted not in str(caught.value)
    return caught.value


@pytest.mark.parametrize("call", CALLS)
def test_a_missing_container(azurite: AzureServer, call: Callable[[ObjectStore], Any]):
    error = refusal(call, store_of(azurite, "no-such-container"))

    assert (error.reason, error.transient) == ("no_bucket", False)
    assert "`bucket` in the integration file" in str(error)


@pytest.mark.parametrize("call", CALLS)
def test_a_wrong_key(azurite: AzureServer, all_kinds: str, call: Callable[[ObjectStore], Any]):
    credential = AzureNamedKeyCredential(azurite.account, SECRET)

    error = refusal(call, store_of(azurite, all_kinds, credential))

    assert (error.reason, error.transient) == ("forbidden", False)


@pytest.mark.parametrize(
    ("hours", "allowed"), [(-1, {"read": True, "list": True}), (1, {"read": True}), (1, {"write": True})]
)
def test_a_sas_token_that_has_expired_or_does_not_allow_listing(
    azurite: AzureServer, all_kinds: str, hours: float, allowed: dict[str, bool]
):
    credential = sas(azurite, all_kinds, hours=hours, **allowed)

    error = refusal(CALLS[0], store_of(azurite, all_kinds, credential))

    assert (error.reason, error.transient) == ("forbidden", False)


def test_credentials_that_are_revoked_in_the_middle(azurite: AzureServer, all_kinds: str):
    credential = sas(azurite, all_kinds, read=True, list=True)
    store = store_of(azurite, all_kinds, credential)
    first = store.page("", limit=5)
    credential.update(sas(azurite, all_kinds, hours=-1, read=True, list=True).signature)

    error = refusal(lambda store: store.page("", token=first.next_token), store)

    assert (error.reason, error.transient) == ("forbidden", False)


def test_a_container_that_is_not_public(azurite: AzureServer, all_kinds: str):
    store = open_azure(all_kinds, account_url=azurite.account_url)

    assert refusal(CALLS[0], store).reason in {"forbidden", "no_bucket"}


def test_a_missing_object(azurite: AzureServer, all_kinds: str):
    error = refusal(lambda store: store.head("nope.jpg"), store_of(azurite, all_kinds))

    assert (error.reason, error.transient) == ("missing", False)
    assert "object 'nope.jpg'" in str(error)


def test_a_store_that_does_not_run(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("cloud_sync.objects.attempts.ATTEMPTS", 1)
    url = f"http://{LOOPBACK}:{free_ports(1)[0]}/account"
    store = open_azure("media", account_url=url, credential=AzureNamedKeyCredential("account", SECRET))

    for call in CALLS:
        error = refusal(call, store)
        assert (error.reason, error.transient) == ("unreachable", True)
