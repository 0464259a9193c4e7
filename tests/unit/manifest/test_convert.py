"""Converting and splitting manifests."""

from __future__ import annotations

import pytest

from cloud_sync.errors import ManifestError
from cloud_sync.manifest import convert
from cloud_sync.manifest.convert import convert_manifest, split_manifest
from cloud_sync.manifest.items import Item
from tests.unit.manifest.samples import B, example, read

ITEMS = [Item("image", (f"{B}{n}.jpg",), f"Image {n}") for n in range(7)]


class TestConvert:
    def test_json_to_csv_and_back(self):
        manifest = example("image_groups.csv")
        there = convert_manifest(manifest, to="json")
        assert there.losses == ()
        back = convert_manifest(read(there.data), to="csv")
        assert read(back.data).items == manifest.items

    def test_what_is_lost_is_said_first(self):
        manifest = example("videos.json")
        with pytest.raises(ManifestError, match="would lose skip_duplicate_urls: true; item 1: its client"):
            convert_manifest(manifest, to="csv")
        assert len(convert_manifest(manifest, to="csv", allow_loss=True).losses) == 2

    def test_flags_are_kept(self):
        text = '{"images":[],"upsert_metadata":true,"skip_duplicate_urls":true}'
        assert (
            b'"skip_duplicate_urls":true,"upsert_metadata":true'
            in convert_manifest(read(text), to="json").data
        )

    @pytest.mark.parametrize("flag", ["", ',"skip_duplicate_urls":false', ',"skip_duplicate_urls":true'])
    def test_no_flag_is_stated_that_was_not(self, flag):
        text = f'{{"images":[{{"objectUrl":"{B}a.jpg"}}]{flag}}}'
        assert convert_manifest(read(text), to="json").data.decode() == text

    def test_a_manifest_with_errors_is_not_converted(self):
        manifest = read('{"images":[{"objectUrl":"a"},{"titel":"b"},{}]}')
        with pytest.raises(ManifestError, match=r"m, line 1, column 30, .*\[unreadable-value\] 1 more error"):
            convert_manifest(manifest, to="json")


class TestSplit:
    def test_items_stay_in_order(self):
        parts = [read(data) for data in split_manifest(ITEMS, skip_duplicate_urls=True, items_per_manifest=3)]
        assert [len(part.items) for part in parts] == [3, 3, 1]
        assert [item for part in parts for item in part.items] == ITEMS
        assert all(part.skip_duplicate_urls for part in parts)

    def test_a_part_that_is_too_large_is_split_again(self, monkeypatch):
        monkeypatch.setattr(convert, "MAX_FILE_BYTES", 200)
        parts = list(split_manifest(ITEMS, skip_duplicate_urls=True))
        assert all(len(part) <= 200 for part in parts)
        assert [item for part in parts for item in read(part).items] == ITEMS

    def test_the_limit_of_urls(self, monkeypatch):
        monkeypatch.setattr(convert, "MAX_URLS", 4)
        groups = [Item("image_group", (f"{B}a", f"{B}b"), f"G{n}") for n in range(3)]
        parts = [read(part).items for part in split_manifest(groups, skip_duplicate_urls=True)]
        assert [len(part) for part in parts] == [1, 2]
        with pytest.raises(ManifestError, match=r"image_group 'Big'.*one item alone"):
            list(split_manifest([Item("image_group", (f"{B}a",) * 5, "Big")], skip_duplicate_urls=True))
