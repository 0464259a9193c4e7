"""A given manifest: what is said of it, and that what is built of it is what it says."""

from __future__ import annotations

import json
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from msgspec.structs import replace

from cloud_sync.errors import ManifestError
from cloud_sync.manifest.build import build_manifests, count_manifests
from cloud_sync.manifest.content import ReadManifest
from cloud_sync.manifest.findings import MAX_FINDINGS_OF_A_CODE, Finding
from cloud_sync.manifest.given import (
    ITEMS_AT_ONCE,
    GivenManifest,
    by_level,
    examine,
    read_given,
    write_findings,
    write_given,
)
from cloud_sync.manifest.items import GROUPED_TYPES, Item
from cloud_sync.manifest.json_format import encode_manifest
from cloud_sync.manifest.model import FINDINGS_NAME, ITEMS_NAME, items_of_manifests
from cloud_sync.manifest.reader import read_manifest
from cloud_sync.objects.urls import ObjectUrls
from cloud_sync.planning.model import REGISTER_NAME, PlanRow, read_plan_rows
from cloud_sync.run_folder import RunFolder
from tests.unit.manifest.samples import EXAMPLES, VIDEO_METADATA, B, all_items

URLS = ObjectUrls("s3", "b", region="eu-central-1")


@pytest.fixture
def folder(tmp_path) -> RunFolder:
    return RunFolder(tmp_path / "run")


def look(text: str | bytes, *, skip: bool = True, **options: Any) -> tuple[ReadManifest, list[str]]:
    """Examine a manifest; returns it and the codes that were found."""
    source = text.encode() if isinstance(text, str) else text
    arguments = {"file": "m", "format": None, "lenient": False, **options}
    manifest, findings = examine(source, skip_duplicate_urls=skip, urls=URLS, **arguments)
    return manifest, [finding.code for finding in findings]


def of_items(*items: Item, skip: bool | None = True, upsert: bool = False) -> ReadManifest:
    return ReadManifest("m", "json", "raw", items, skip, upsert, (), str)


def build(folder: RunFolder, *, size: int = 1000, upsert: bool = False) -> list[ReadManifest]:
    """Build the manifests and read them back."""
    _, index = build_manifests(
        folder,
        register_path=folder.path(REGISTER_NAME),
        build_urls=list,
        items_per_manifest=size,
        jobs_in_flight=4,
        skip_duplicate_urls=True,
        upsert_metadata=upsert,
    )
    return [read_manifest(folder.path(entry.name), file=entry.name) for entry in index.manifests]


class TestExamine:
    @pytest.mark.parametrize(
        ("upload", "stated", "sent", "codes"),
        [
            (True, None, True, []),
            (True, True, True, []),
            (True, False, True, ["skip-duplicates-overruled"]),
            (False, True, True, []),
            (False, False, False, []),
            (False, None, None, ["skip-duplicates-unset"]),
        ],
    )
    def test_duplicates_are_skipped_if_anybody_says_so(self, upload, stated, sent, codes):
        flag = "" if stated is None else f', "skip_duplicate_urls": {str(stated).lower()}'
        manifest, found = look(f'{{"videos": [{{"objectUrl": "{B}a.mp4"}}]{flag}}}', skip=upload)
        assert manifest.skip_duplicate_urls is sent
        assert found == codes

    def test_upserting_needs_skipping_from_anybody(self):
        text = f'{{"videos": [{{"objectUrl": "{B}a.mp4"}}], "upsert_metadata": true}}'
        assert look(text)[1] == []
        assert "upsert-without-skip" in look(text, skip=False)[1]

    def test_a_manifest_that_will_be_split_is_not_too_large(self):
        entries = ",".join(f'{{"objectUrl": "{B}{n}.mp4"}}' for n in range(10_001))
        assert look(f'{{"videos": [{entries}]}}')[1] == []

    def test_urls_are_compared_with_those_of_the_integration(self):
        assert look('{"videos": [{"objectUrl": "s3://c/a.mp4"}]}')[1] == ["url-other-storage"]

    def test_but_not_where_there_is_an_error(self):
        assert look('{"videos": [{"objectUrl": "s3://c/a b.mp4"}]}')[1] == ["url-whitespace"]

    def test_format_and_leniency_are_as_asked_for(self):
        comma = f'{{"videos": [{{"objectUrl": "{B}a.mp4"}},]}}'
        assert look(comma, lenient=True)[1] == ["trailing-comma"]
        with pytest.raises(ManifestError, match="m, line 1, column"):
            look(comma)
        with pytest.raises(ManifestError, match="heading"):
            look(comma, format="csv")


class TestFindings:
    FINDINGS = (
        Finding("note", "metadata-jsonb", "", "has metadata."),
        Finding("error", "url-whitespace", "line 3", "has a space.", "Encode it."),
        Finding("warning", "type-mismatch", "line 2", "is odd."),
        Finding("error", "empty-group", "line 9", "is empty."),
    )

    def test_the_worst_come_first(self, folder):
        write_findings(folder, "m", self.FINDINGS)
        content = folder.read_json(FINDINGS_NAME)
        assert content["counts"] == {"error": 2, "warning": 1, "note": 1}
        assert [one["level"] for one in content["findings"]] == ["error", "error", "warning", "note"]
        assert content["findings"][0] == {
            "level": "error",
            "code": "url-whitespace",
            "place": "line 3",
            "message": "has a space.",
            "remedy": "Encode it.",
        }

    def test_levels_without_findings_are_there(self):
        assert list(by_level([])) == ["error", "warning", "note"]

    def test_a_million_faults_are_few_findings(self):
        _, found = look('{"videos": [' + ",".join(['{"objectUrl": "x"}'] * 3000) + "]}")
        assert found.count("url-unknown-form") == MAX_FINDINGS_OF_A_CODE


class TestWrite:
    GROUP = Item("image_group", (f"{B}1.jpg", f"{B}2.jpg"), "G", {"b": 1, "a": [None]})

    def test_the_summary_is_a_plan(self, folder):
        manifest = of_items(Item("video", (f"{B}a.mp4?x=1",)), self.GROUP, self.GROUP)
        ref = write_given(folder, manifest, TestFindings.FINDINGS)
        assert ref.path == "plan.json"
        assert ref.counts == {"objects": 5, "to_register": 5, "items": 3}
        assert read_plan_rows(folder) == (
            PlanRow("register", "image_group", "given", 4, 0, (f"{B}1.jpg", f"{B}1.jpg"), 2),
            PlanRow("register", "video", "given", 1, 0, (f"{B}a.mp4",), 1),
        )
        counts = {"error": 2, "warning": 1, "note": 1}
        assert read_given(folder) == GivenManifest("m", "json", 3, 5, True, False, counts)

    def test_two_groups_that_are_the_same_stay_two(self, folder):
        write_given(folder, of_items(self.GROUP, self.GROUP), ())
        [manifest] = build(folder)
        assert list(manifest.items) == [self.GROUP, self.GROUP]
        assert len(list(items_of_manifests(folder.path(ITEMS_NAME), [0]))) == 2

    def test_sizes_and_etags_are_not_known(self, folder):
        write_given(folder, of_items(self.GROUP), ())
        build(folder)
        for row in pq.read_table(folder.path(ITEMS_NAME)).to_pylist():
            assert row["key"] == row["url"]
            assert (row["size_bytes"], row["last_modified"], row["etag"]) == (None, None, None)

    @pytest.mark.parametrize(
        ("name", "title"),
        [
            ("x" * 301 + ".jpg", "x" * 296 + ".jpg"),
            ("%20" * 150 + "x.jpg", " " * 150 + "x.jpg"),
            ("%C3%A4" * 60, "ä" * 60),
            ("x" * 296 + ".jpg", None),
        ],
    )
    def test_a_file_name_that_is_too_long_for_a_title_is_shortened(self, folder, name, title):
        manifest, found = look(f'{{"images": [{{"objectUrl": "{B}{name}"}}]}}')
        assert found == (["file-name-too-long"] if len(title or "") == 300 else [])
        write_given(folder, manifest, ())
        [built] = build(folder)
        assert [item.title for item in built.items] == [title]

    @pytest.mark.parametrize("upsert", [False, True])
    def test_upsert_metadata_is_sent_as_stated(self, folder, upsert):
        write_given(folder, of_items(self.GROUP, upsert=upsert), ())
        [manifest] = build(folder, upsert=read_given(folder).upsert_metadata)
        assert bool(manifest.upsert_metadata) is upsert

    def test_more_items_than_are_written_at_once(self, folder):
        items = [Item("image", (f"{B}{n}.jpg",)) for n in range(ITEMS_AT_ONCE + 1)]
        write_given(folder, of_items(*items), ())
        counted = count_manifests(folder, register_path=folder.path(REGISTER_NAME), items_per_manifest=4000)
        manifests = build(folder, size=4000)
        assert [len(manifest.items) for manifest in manifests] == [4000, 4000, 2001]
        assert counted == 3
        assert [item for manifest in manifests for item in manifest.items] == items

    @pytest.mark.parametrize(
        "item",
        [
            Item("image", (f"{B}\ud800.jpg",)),
            Item("image", (f"{B}a.jpg",), client_metadata={"a": float("nan")}),
            Item("video", (f"{B}a.mp4",), video_metadata=replace(VIDEO_METADATA, duration=float("inf"))),
            Item("image", (f"{B}a.jpg", f"{B}b.jpg")),
            Item("image_group", (f"{B}a.jpg",)),
        ],
    )
    def test_what_cannot_be_written_is_an_error_and_leaves_nothing(self, folder, item):
        with pytest.raises(ManifestError):
            write_given(folder, of_items(item), ())
        assert not list(folder.root.iterdir())

    @settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(all_items)
    def test_what_is_built_is_what_was_given(self, folder, items):
        # A group without a title is an error of the lint; an empty title of a file is none.
        items = [item for item in items if item.title or item.item_type not in GROUPED_TYPES]
        write_given(folder, of_items(*items), ())
        sent = [item for manifest in build(folder, size=3) for item in manifest.items]
        expected = [replace(item, title=item.title or None) for item in items]
        assert sorted(map(canonical, sent)) == sorted(map(canonical, expected))


def canonical(item: Item) -> bytes:
    """Return what an item says; the order of keys in metadata is not said."""
    return encode_manifest([item], skip_duplicate_urls=True)


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.*")), ids=lambda path: path.name)
def test_the_documents_examples(folder, path):
    manifest, _ = examine(
        path, file=path.name, format=None, lenient=True, skip_duplicate_urls=True, urls=URLS
    )
    write_given(folder, manifest, ())
    assert [item for one in build(folder) for item in one.items] == list(manifest.items)
    assert json.loads(folder.read("given.json"))["items"] == len(manifest.items)
