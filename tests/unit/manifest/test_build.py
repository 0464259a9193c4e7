"""Build: the manifests of a run, byte for byte."""

from __future__ import annotations

import hashlib
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cloud_sync.errors import ManifestError, StorageError
from cloud_sync.manifest.build import ITEMS_SCHEMA, build_manifests, count_manifests, manifest_size
from cloud_sync.manifest.chunks import FILE_COLUMNS
from cloud_sync.manifest.items import Item
from cloud_sync.manifest.json_format import encode_manifest
from cloud_sync.manifest.model import ManifestEntry, ManifestIndex, read_index, write_index
from cloud_sync.run_folder import RunFolder
from tests.unit.tables import LONG_AGO, URL_BASE

REGISTER_SCHEMA = pa.schema([ITEMS_SCHEMA.field(name) for name in FILE_COLUMNS])


@pytest.fixture
def folder(tmp_path) -> RunFolder:
    return RunFolder(tmp_path / "run")


def rows_of(keys: list[str]) -> list[dict[str, object]]:
    return [
        {
            "key": key,
            "size_bytes": len(key),
            "last_modified": LONG_AGO,
            "etag": f"etag of {key}",
            "item_type": "video" if key.endswith("mp4") else "image",
            "item_key": key,
            "position": 0,
        }
        for key in keys
    ]


def write_register(folder: RunFolder, *groups: list[str]) -> None:
    """Write `register.parquet` with one row group for each list of keys."""
    folder.root.mkdir(parents=True, exist_ok=True)
    with pq.ParquetWriter(folder.path("register.parquet"), REGISTER_SCHEMA) as writer:
        for keys in groups:
            writer.write_table(pa.Table.from_pylist(rows_of(keys), REGISTER_SCHEMA))


def build(folder: RunFolder, *, size: int = 2, in_flight: int = 4, skip: bool = True) -> ManifestIndex:
    _, index = build_manifests(
        folder,
        register_path=folder.path("register.parquet"),
        build_urls=lambda keys: [URL_BASE + key for key in keys],
        items_per_manifest=size,
        jobs_in_flight=in_flight,
        skip_duplicate_urls=skip,
    )
    return index


def urls_of(folder: RunFolder, entry: ManifestEntry) -> list[str]:
    manifest = json.loads(folder.read(entry.name))
    return [one["objectUrl"] for kind in ("videos", "images") for one in manifest.get(kind, [])]


class TestBytes:
    def test_the_form_is_that_of_the_product_document(self):
        items = [
            Item("image", ("https://b/1.jpg",)),
            Item("video", ("https://b/2.mp4",), title='Kamera "Süd" 🎥\n'),
            Item("image", ("https://b/3.jpg",), title=""),
        ]
        assert encode_manifest(items, skip_duplicate_urls=True).decode() == (
            '{"videos":[{"objectUrl":"https://b/2.mp4","title":"Kamera \\"Süd\\" 🎥\\n"}],'
            '"images":[{"objectUrl":"https://b/1.jpg"},{"objectUrl":"https://b/3.jpg","title":""}],'
            '"skip_duplicate_urls":true}'
        )

    @pytest.mark.parametrize(("skip", "text"), [(True, "true"), (False, "false")])
    def test_skip_duplicate_urls_is_always_stated(self, skip, text):
        data = encode_manifest([], skip_duplicate_urls=skip)
        assert data.decode() == f'{{"skip_duplicate_urls":{text}}}'

    def test_the_file_is_named_after_its_bytes(self, folder):
        write_register(folder, ["a.mp4", "b.jpg"])
        [entry] = build(folder).manifests
        data = folder.read(entry.name)
        assert (
            data
            == (
                f'{{"videos":[{{"objectUrl":"{URL_BASE}a.mp4"}}],"images":[{{"objectUrl":"{URL_BASE}b.jpg"}}],'
                '"skip_duplicate_urls":true}'
            ).encode()
        )
        digest = hashlib.sha256(data).hexdigest()
        assert entry == ManifestEntry(0, f"manifests/0000-{digest[:12]}.json", 2, 2, digest)


class TestChunks:
    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(st.lists(st.integers(0, 9), max_size=6), st.integers(1, 12))
    def test_nothing_is_lost_whatever_the_row_groups_are(self, folder, groups, size):
        keys = iter([f"{n:03}.jpg" for n in range(sum(groups))])
        layout = [[next(keys) for _ in range(rows)] for rows in groups]
        write_register(folder, *layout)
        index = build(folder, size=size)
        wanted = [key for group in layout for key in group]
        sizes = [entry.items for entry in index.manifests]
        assert sizes == [size] * (len(wanted) // size) + ([len(wanted) % size] if len(wanted) % size else [])
        sent = [url.removeprefix(URL_BASE) for entry in index.manifests for url in urls_of(folder, entry)]
        assert sent == wanted
        table = pq.read_table(folder.path("items.parquet"))
        assert table["key"].to_pylist() == wanted
        assert table["manifest"].to_pylist() == [position // size for position in range(len(wanted))]

    @pytest.mark.parametrize(
        ("items", "wanted", "size"),
        [
            (0, 1000, 1000),
            (200_000, 1000, 1000),
            (200_001, 1000, 1001),
            (1_000_000, 25, 5000),
            (2_000_000, 1000, 10_000),
            (5_000_000, 1000, 10_000),
            (10, 10_000, 10_000),
        ],
    )
    def test_manifests_grow_before_they_are_more_than_200(self, items, wanted, size):
        assert manifest_size(items, wanted) == size


class TestItems:
    def test_each_item_stands_with_its_url_and_manifest(self, folder):
        write_register(folder, ["a.mp4", "b.jpg", "c.jpg"])
        build(folder)
        table = pq.read_table(folder.path("items.parquet"))
        assert table.schema.equals(ITEMS_SCHEMA)
        assert table.to_pylist()[0] == {
            "key": "a.mp4",
            "url": f"{URL_BASE}a.mp4",
            "size_bytes": 5,
            "last_modified": LONG_AGO,
            "etag": "etag of a.mp4",
            "item_type": "video",
            "item_key": "a.mp4",
            "position": 0,
            "title": None,
            "manifest": 0,
        }
        assert table["manifest"].to_pylist() == [0, 0, 1]

    def test_a_run_without_items(self, folder):
        write_register(folder)
        index = build(folder)
        assert (index.manifests, index.shards) == ((), 0)
        assert index == read_index(folder)
        assert index.is_of(folder)
        assert index.of_shard(0) == []
        assert pq.read_table(folder.path("items.parquet")).num_rows == 0

    def test_a_url_that_cannot_be_built_leaves_no_items_file(self, folder):
        write_register(folder, ["a.jpg"])

        def refuse(keys):
            raise ManifestError("too long.")

        with pytest.raises(ManifestError):
            build_manifests(
                folder,
                register_path=folder.path("register.parquet"),
                build_urls=refuse,
                items_per_manifest=1,
                jobs_in_flight=1,
                skip_duplicate_urls=True,
            )
        assert not folder.exists("items.parquet")


class TestTitles:
    def test_a_file_name_that_is_no_title_is_shortened(self, folder):
        fits, longer = "d" * 400 + "/" + "n" * 296 + ".jpg", "n" * 297 + ".jpg"
        write_register(folder, [fits, longer])
        [entry] = build(folder).manifests
        fitting, shortened = json.loads(folder.read(entry.name))["images"]
        assert "title" not in fitting
        assert shortened["title"] == "n" * 296 + ".jpg"


class TestRerun:
    def test_an_index_knows_its_plan(self, folder):
        write_register(folder, ["a.jpg"])
        index = build(folder)
        assert index.is_of(folder)
        write_register(folder, ["a.jpg", "b.jpg"])
        assert not index.is_of(folder)
        assert not ManifestIndex().is_of(folder)

    def test_the_same_input_gives_the_same_files(self, folder):
        write_register(folder, ["a.mp4", "b.jpg", "c.jpg"])
        build(folder)
        names = ["items.parquet", *folder.names("manifests/*")]
        first = [folder.read(name) for name in names]
        build(folder)
        assert ["items.parquet", *folder.names("manifests/*")] == names
        assert [folder.read(name) for name in names] == first

    def test_no_manifest_of_an_earlier_try_is_left(self, folder):
        write_register(folder, ["a.jpg", "b.jpg", "c.jpg"])
        build(folder, size=1)
        write_register(folder, ["a.jpg", "x.jpg"])
        index = build(folder, size=1)
        assert folder.names("manifests/0*.json") == [entry.name for entry in index.manifests]
        assert len(index.manifests) == 2


class TestCount:
    @pytest.mark.parametrize(("keys", "size", "manifests"), [(0, 2, 0), (1, 2, 1), (4, 2, 2), (5, 2, 3)])
    def test_as_many_as_are_built(self, folder, keys, size, manifests):
        write_register(folder, [f"{n}.jpg" for n in range(keys)])
        register_path = folder.path("register.parquet")
        assert count_manifests(folder, register_path=register_path, items_per_manifest=size) == manifests
        assert len(build(folder, size=size).manifests) == manifests


class TestIndex:
    def test_round_trip(self, folder):
        write_register(folder, ["a.jpg", "b.jpg", "c.jpg"])
        index = build(folder)
        assert read_index(folder) == index
        assert index.items == 3
        ref = write_index(folder, index)
        assert ref.counts == {"manifests": 2, "items": 3}
        assert folder.verified(ref) == folder.path("manifests/index.json")

    @given(st.integers(0, 300), st.integers(1, 64))
    def test_each_manifest_belongs_to_one_shard(self, manifests, in_flight):
        entries = tuple(ManifestEntry(n, f"{n}", 1, 1, "") for n in range(manifests))
        index = ManifestIndex(entries, min(manifests, in_flight))
        dealt = [entry for shard in range(index.shards) for entry in index.of_shard(shard)]
        assert sorted(dealt, key=lambda entry: entry.number) == list(entries)
        sizes = [len(index.of_shard(shard)) for shard in range(index.shards)]
        assert max(sizes, default=0) - min(sizes, default=0) <= 1

    def test_a_run_that_built_nothing_has_an_empty_index(self, folder):
        assert read_index(folder) == ManifestIndex((), 0)


@pytest.mark.parametrize("name", ["register.parquet", "metadata.parquet"])
def test_a_torn_plan_is_refused_by_name_and_nothing_is_built(folder, name):
    write_register(folder, ["1.jpg", "2.jpg"])
    folder.path("metadata.parquet").write_bytes(folder.path("register.parquet").read_bytes())
    whole = folder.path(name).read_bytes()
    folder.path(name).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(StorageError, match=r"cannot be read: .* Clear the run") as caught:
        build(folder)
    assert caught.value.where == str(folder.path(name))
    assert folder.names("**/*") == ["metadata.parquet", "register.parquet"]
