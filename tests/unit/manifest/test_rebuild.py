"""Rebuild: items go into smaller manifests exactly as they stand in theirs."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cloud_sync.errors import ManifestError, StorageError
from cloud_sync.manifest import rebuild
from cloud_sync.manifest.build import ITEMS_SCHEMA, build_manifests
from cloud_sync.manifest.chunks import FILE_COLUMNS
from cloud_sync.manifest.given import METADATA_SCHEMA
from cloud_sync.manifest.model import (
    ManifestIndex,
    SentItem,
    items_name,
    items_of_manifests,
    read_index,
    read_rounds,
)
from cloud_sync.manifest.reader import read_manifest
from cloud_sync.manifest.rebuild import drop_rounds, rebuild_manifests
from cloud_sync.run_folder import RunFolder
from tests.unit.tables import URL_BASE, Group, an_object

VIDEO = '{"fps": 25, "duration": 2, "width": 4, "height": 2, "file_size": 9, "mime_type": "video/mp4"}'
ITEMS: list[tuple[str | Group, str | None, str | None, str | None]] = [
    ("a.jpg", None, None, None),
    ("b.jpg", "Bee", '{"z": 1, "a": [true, null, "ü"]}', None),
    ("c.mp4", None, '{"n": 1.5}', VIDEO),
    (Group("g/", ["g/2.jpg", "g/1.jpg"]), "Crossing", '{"k": "v"}', None),
    (Group("s/", ["s/1.dcm", "s/2.dcm", "s/3.dcm"], "dicom_series"), "Knee", None, None),
    ("t.jpg", None, None, None),
]


@pytest.fixture
def folder(tmp_path) -> RunFolder:
    """A run folder with three manifests of two items each, built as the build stage does."""
    folder = RunFolder(tmp_path / "run")
    folder.root.mkdir()
    rows = []
    for one, *_ in ITEMS:
        if isinstance(one, Group):
            rows += one.rows()
        else:
            kind = "video" if one.endswith("mp4") else "image"
            rows.append(an_object(one) | {"item_type": kind, "item_key": one, "position": 0})
    schema = pa.schema([ITEMS_SCHEMA.field(name) for name in FILE_COLUMNS])
    pq.write_table(pa.Table.from_pylist(rows, schema), folder.path("register.parquet"))
    described = [
        (one.key if isinstance(one, Group) else one, title, client, video)
        for one, title, client, video in ITEMS
    ]
    columns = zip(METADATA_SCHEMA.names, zip(*described, strict=True), strict=True)
    pq.write_table(pa.table(dict(columns), schema=METADATA_SCHEMA), folder.path("metadata.parquet"))
    build(folder)
    return folder


def build(folder: RunFolder, *, size: int = 2, upsert_metadata: bool = False) -> ManifestIndex:
    _, index = build_manifests(
        folder,
        register_path=folder.path("register.parquet"),
        build_urls=lambda keys: [URL_BASE + key for key in keys],
        items_per_manifest=size,
        jobs_in_flight=4,
        skip_duplicate_urls=True,
        upsert_metadata=upsert_metadata,
    )
    return index


def sent(folder: RunFolder, *places: int) -> list[SentItem]:
    """Return items of the build's manifests by their place in `ITEMS`."""
    items = list(items_of_manifests(folder.path("items.parquet"), [0, 1, 2]))
    return [items[place] for place in places]


def again(folder: RunFolder, items: list[SentItem], *, of_round: int = 1, size: int = 100) -> ManifestIndex:
    return rebuild_manifests(folder, items, of_round=of_round, items_per_manifest=size, jobs_in_flight=2)


def entries_of(folder: RunFolder, index: ManifestIndex) -> dict[str, str]:
    """Return each entry of some manifests as text, by its first URL."""
    found = {}
    for one in index.manifests:
        for entries in json.loads(folder.read(one.name)).values():
            for entry in entries if isinstance(entries, list) else ():
                found[entry.get("objectUrl") or entry["objectUrl_0"]] = json.dumps(entry)
    return found


def test_each_entry_is_byte_for_byte_that_of_its_manifest(folder):
    original = entries_of(folder, read_index(folder))
    index = again(folder, sent(folder, *range(6)))
    assert entries_of(folder, index) == original
    assert [(entry.number, entry.items, entry.files) for entry in index.manifests] == [(3, 6, 9)]
    text = b"".join(folder.read(entry.name) for entry in read_index(folder).manifests)
    for entry in json.loads(folder.read(index.manifests[0].name))["image_groups"]:
        assert json.dumps(entry, separators=(",", ":"), ensure_ascii=False).encode() in text


def test_the_same_items_give_the_same_bytes_in_whatever_order(folder):
    items = sent(folder, 1, 2, 3, 5)
    index = again(folder, items, size=2)
    data = [folder.path(items_name(1)).read_bytes(), *(folder.read(one.name) for one in index.manifests)]
    assert again(folder, items[::-1], size=2) == index
    assert [
        folder.path(items_name(1)).read_bytes(),
        *(folder.read(one.name) for one in index.manifests),
    ] == data


def test_the_numbers_go_on_from_round_to_round(folder):
    first = again(folder, sent(folder, 1, 3, 4), size=1)
    assert [entry.number for entry in first.manifests] == [3, 4, 5]
    assert first.shards == 2
    failed = list(items_of_manifests(folder.path(items_name(1)), [4]))
    second = again(folder, failed, of_round=2)
    assert [entry.number for entry in second.manifests] == [6]
    assert read_rounds(folder) == [first, second]
    assert entries_of(folder, second).items() <= entries_of(folder, read_index(folder)).items()


def test_the_table_of_a_round_has_the_rows_of_its_files(folder):
    again(folder, sent(folder, 3, 0))
    before = {row["key"]: row for row in pq.read_table(folder.path("items.parquet")).to_pylist()}
    table = pq.read_table(folder.path(items_name(1)))
    assert table.schema.equals(ITEMS_SCHEMA)
    assert table.to_pylist() == [{**before[key], "manifest": 3} for key in ("a.jpg", "g/2.jpg", "g/1.jpg")]
    assert [item.title for item in items_of_manifests(folder.path(items_name(1)), [3])] == [None, "Crossing"]


@pytest.mark.parametrize(
    ("limit", "value", "sizes"), [("MAX_FILES", 3, [3, 2, 1]), ("MAX_METADATA_BYTES", 30, [2, 4])]
)
def test_a_manifest_ends_earlier_by_files_or_metadata(folder, monkeypatch, limit, value, sizes):
    monkeypatch.setattr(rebuild, limit, value)
    index = again(folder, sent(folder, *range(6)))
    assert [entry.items for entry in index.manifests] == sizes


def test_flags_are_those_of_the_manifests(folder):
    build(folder, upsert_metadata=True)
    index = again(folder, sent(folder, 0))
    manifest = read_manifest(folder.path(index.manifests[0].name), file="x")
    assert (manifest.skip_duplicate_urls, manifest.upsert_metadata) == (True, True)


def test_a_manifest_that_was_edited_is_refused(folder):
    folder.write(read_index(folder).manifests[0].name, b'{"images":[],"skip_duplicate_urls":true}')
    with pytest.raises(StorageError, match="has changed since the task before wrote it"):
        again(folder, sent(folder, 0))


def test_an_item_that_does_not_stand_in_its_manifest_is_an_error(folder):
    [item] = sent(folder, 0)
    with pytest.raises(ManifestError, match="does not hold 1 of the items that failed in it"):
        again(folder, [SentItem(1, item.item_type, item.object_urls)])


class TestEarlierTries:
    def test_building_the_same_again_keeps_the_rounds(self, folder):
        index = again(folder, sent(folder, 1))
        build(folder)
        assert read_rounds(folder) == [index]
        assert folder.exists(index.manifests[0].name)

    def test_building_otherwise_forgets_the_rounds_and_their_manifests(self, folder):
        index = again(folder, sent(folder, 1))
        build(folder, size=3)
        assert read_rounds(folder) == []
        assert not folder.exists(index.manifests[0].name)

    def test_a_round_that_is_made_anew_replaces_those_after_it(self, folder):
        first = again(folder, sent(folder, 0, 1))
        second = again(folder, list(items_of_manifests(folder.path(items_name(1)), [3])), of_round=2)
        assert len(read_rounds(folder)) == 2
        new = again(folder, sent(folder, 1))
        assert read_rounds(folder) == [new]
        assert not any(folder.exists(one.manifests[0].name) for one in (first, second))

    def test_dropping_rounds_keeps_those_before(self, folder):
        first = again(folder, sent(folder, 0, 1))
        again(folder, list(items_of_manifests(folder.path(items_name(1)), [3])), of_round=2)
        drop_rounds(folder, after=1)
        assert read_rounds(folder) == [first]
        drop_rounds(folder, after=0)
        assert read_rounds(folder) == []
