"""Titles and metadata of the items to register, and what holds an item back."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pyarrow.parquet as pq
import pytest

from cloud_sync.errors import ConfigError
from cloud_sync.planning.model import Sources
from cloud_sync.planning.plan import Plan, make_plan
from cloud_sync.run_folder import RunFolder
from tests.unit.dicom_files import dicom_file
from tests.unit.failures.fakes import FakeStore
from tests.unit.planning.test_metadata import VIDEO
from tests.unit.tables import LONG_AGO, an_integration, an_object, write_listing

BY_FOLDER = {"type": "image_group", "by": "folder"}
RUNS = {
    "type": "image_sequence",
    "by": "regex",
    "pattern": r"(?P<group>(?P<camera>cam[0-9])/run[0-9])/(?P<index>.+)\.",
}


class Bucket:
    """Objects whose contents matter only where they are sidecars."""

    def __init__(self, folder, *keys: str) -> None:
        self.run = RunFolder(folder / "run")
        self.run.root.mkdir()
        self.tables = folder / "tables"
        self.tables.mkdir()
        self.store = FakeStore(dict.fromkeys(keys, b""))
        self.opened = 0

    def put(self, key: str, content: Any) -> None:
        self.store.objects[key] = content if isinstance(content, bytes) else json.dumps(content).encode()

    def open(self) -> FakeStore:
        self.opened += 1
        return self.store

    def plan(self, *, listed: str = "", narrowed_to: str | None = None, **sections: Any) -> Plan:
        """Plan what is `listed`: the keys that begin with it."""
        contents = {key: content for key, content in self.store.objects.items() if key.startswith(listed)}
        objects = [an_object(key, size_bytes=len(content)) for key, content in contents.items()]
        return make_plan(
            self.run,
            listing_parts=[write_listing(self.run.root / "part.parquet", objects)],
            integration=an_integration(**sections),
            ledger=None,
            now=LONG_AGO + timedelta(days=1),
            narrowed_to=narrowed_to,
            sources=Sources(self.open, self.run.root, self.tables),
        )

    def described(self) -> dict[str, tuple[str | None, Any, Any]]:
        """Title, client metadata and video metadata by item key, in the order of `register.parquet`."""
        rows = pq.read_table(self.run.path("metadata.parquet")).to_pylist()
        registered = pq.read_table(self.run.path("register.parquet")).to_pylist()
        assert [row["item_key"] for row in rows] == [
            one["item_key"] for one in registered if one["position"] == 0
        ]
        return {
            row["item_key"].rpartition(":")[2]: (
                row["title"],
                json.loads(row["client_metadata"] or "null"),
                json.loads(row["video_metadata"] or "null"),
            )
            for row in rows
        }

    def decisions(self) -> dict[str, tuple[str, str, str | None]]:
        rows = pq.read_table(self.run.path("plan.parquet")).to_pylist()
        return {row["key"]: (row["action"], row["reason"], row["detail"]) for row in rows}


class TestTitles:
    def test_a_group_has_its_text_unless_a_template_says_else(self, tmp_path):
        bucket = Bucket(tmp_path, "cam1/run2/9.jpg", "cam1/run2/10.jpg", "x/1.png", "0.png", "a.mp4")
        bucket.plan(groups=[{**RUNS, "title": "{camera}: {group} from {index} ({name})"}, BY_FOLDER])
        assert {key: title for key, (title, *_) in bucket.described().items()} == {
            "cam1/run2": "cam1: cam1/run2 from 9 (9.jpg)",
            "x/": "x",
            ".": ".",
            "a.mp4": None,
        }

    def test_single_files_have_one_by_template(self, tmp_path):
        bucket = Bucket(tmp_path, "cam1/a.mp4", "b.jpg")
        bucket.plan(title="{camera} {stem}", metadata={"from_key": "(?P<camera>cam[0-9])/"})
        assert {key: title for key, (title, *_) in bucket.described().items()} == {
            "cam1/a.mp4": "cam1 a",
            "b.jpg": "b",
        }

    def test_long_ones_are_cut_and_stay_different(self, tmp_path):
        bucket = Bucket(tmp_path, *(f"{'d' * 320}{n}/1.jpg" for n in range(3)))
        bucket.plan(groups=[BY_FOLDER])
        titles = [title for title, *_ in bucket.described().values()]
        assert (len(set(titles)), {len(title) for title in titles}) == (3, {300})

    def test_without_templates_groups_and_metadata_nothing_is_written(self, tmp_path):
        bucket = Bucket(tmp_path, "a.mp4")
        bucket.plan(title="{stem}")
        assert bucket.run.exists("metadata.parquet")
        bucket.plan()
        assert not bucket.run.exists("metadata.parquet")


class TestSources:
    def test_later_sources_win(self, tmp_path):
        bucket = Bucket(tmp_path, "cam1/a.mp4", "cam2/b.mp4")
        (bucket.tables / "t.csv").write_text("key,c,d\ncam1/a.mp4,table,table\n")
        bucket.put("cam1/a.mp4.metadata.json", {"d": "sidecar", "e": [1]})
        metadata = {
            "constants": {"a": "constant", "b": "constant"},
            "from_key": "(?P<b>cam[0-9])(?P<c>/)",
            "table": {"path": "t.csv"},
            "sidecar": True,
        }
        bucket.plan(metadata=metadata)
        assert bucket.described() == {
            "cam1/a.mp4": (
                None,
                {"a": "constant", "b": "cam1", "c": "table", "d": "sidecar", "e": [1]},
                None,
            ),
            "cam2/b.mp4": (None, {"a": "constant", "b": "cam2", "c": "/"}, None),
        }

    def test_a_sidecar_with_all_its_parts(self, tmp_path):
        bucket = Bucket(tmp_path, "a.mp4")
        bucket.put(
            "a.mp4.metadata.json", {"clientMetadata": {"x": 1}, "videoMetadata": VIDEO, "title": "T" * 301}
        )
        bucket.plan(metadata={"sidecar": True}, title="{stem}")
        [(title, client, video)] = bucket.described().values()
        assert (len(title), client, video) == (300, {"x": 1}, VIDEO)

    @pytest.mark.parametrize(
        ("rule", "key", "sidecar"),
        [
            (BY_FOLDER, "cam1/run2/1.jpg", "cam1/run2.metadata.json"),
            (RUNS, "cam1/run2/1.jpg", "cam1/run2.metadata.json"),
            (RUNS, "raw/cam1/run2/1.jpg", "raw/cam1/run2/cam1/run2.metadata.json"),
            ({**RUNS, "pattern": "run(?P<group>[0-9])"}, "cam1/run2/1.jpg", "cam1/run2/2.metadata.json"),
            ({**RUNS, "pattern": r"/(?P<group>\w+)_"}, "cam/cam_1.jpg", "cam/cam.metadata.json"),
            ({**RUNS, "pattern": r"/(?P<group>\w+)_"}, "cam/car_1.jpg", "cam/car.metadata.json"),
            ({**RUNS, "pattern": "^(?P<group>.+)_"}, "cam1/run_1.jpg", "cam1/run.metadata.json"),
            (BY_FOLDER, "1.jpg", "..metadata.json"),
            (BY_FOLDER, ".x/1.jpg", ".x.metadata.json"),
        ],
    )
    def test_where_the_sidecar_of_a_group_stands(self, tmp_path, rule, key, sidecar):
        bucket = Bucket(tmp_path, key)
        bucket.put(sidecar, {"found": True})
        bucket.plan(groups=[rule], metadata={"sidecar": "required"})
        assert [client for _, client, _ in bucket.described().values()] == [{"found": True}]

    def test_the_sidecar_of_a_series_stands_in_the_folder_of_its_first_file(self, tmp_path):
        bucket = Bucket(tmp_path)
        bucket.put("1.3/1.dcm", dicom_file(series_uid="1.3"))
        bucket.put("1.3/1.3.metadata.json", {"found": True})
        bucket.plan(groups=[{"type": "dicom_series", "by": "series_uid"}], metadata={"sidecar": "required"})
        assert [client for _, client, _ in bucket.described().values()] == [{"found": True}]

    @pytest.mark.parametrize("is_narrowed", [True, False])
    def test_the_sidecar_of_a_group_may_stand_outside_of_what_is_listed(self, tmp_path, is_narrowed):
        storage = {"provider": "s3", "connection_id": "aws", "bucket": "media"}
        where = {"narrowed_to": "raw/a/"} if is_narrowed else {"storage": {**storage, "prefix": "raw/a/"}}
        bucket = Bucket(tmp_path, "raw/a/1.jpg", "raw/a/b/1.jpg", "raw/a/c.mp4")
        bucket.put("raw/a.metadata.json", {"found": "outside"})
        bucket.put("raw/a/b.metadata.json", {"found": "inside"})
        bucket.plan(listed="raw/a/", groups=[BY_FOLDER], metadata={"sidecar": True}, **where)
        clients = {key: client for key, (_, client, _) in bucket.described().items()}
        assert clients == {
            "raw/a/": {"found": "outside"},
            "raw/a/b/": {"found": "inside"},
            "raw/a/c.mp4": None,
        }
        assert sorted(key for _, key in bucket.store.calls) == [
            "raw/a.metadata.json",
            "raw/a/b.metadata.json",
        ]

    def test_a_sidecar_outside_of_what_is_listed_may_be_missing(self, tmp_path):
        bucket = Bucket(tmp_path, "raw/a/1.jpg")
        asked = {"listed": "raw/a/", "narrowed_to": "raw/a/", "groups": [BY_FOLDER]}
        bucket.plan(**asked, metadata={"sidecar": True})
        assert bucket.described() == {"raw/a/": ("raw/a", None, None)}
        bucket.plan(**asked, metadata={"sidecar": "required"})
        [decision] = bucket.decisions().values()
        assert decision == ("hold", "sidecar_missing", "looked for raw/a.metadata.json")

    def test_a_table_knows_groups_by_their_text(self, tmp_path):
        bucket = Bucket(tmp_path, "x/1.jpg", "cam1/run2/1.jpg")
        (bucket.tables / "t.csv").write_text("key,n\nx,1\ncam1/run2,2\n")
        bucket.plan(groups=[RUNS, BY_FOLDER], metadata={"table": {"path": "t.csv"}})
        assert [client for _, client, _ in bucket.described().values()] == [{"n": 2}, {"n": 1}]

    def test_video_metadata_of_a_table_is_for_the_videos_in_it(self, tmp_path):
        bucket = Bucket(tmp_path, "a.mp4", "b.jpg", "c.mp4")
        values = ",".join(map(str, VIDEO.values()))
        rows = f"a.mp4,{values}\nb.jpg,,,640,480,,\nc.mp4,,,640,480,,\n"
        (bucket.tables / "t.csv").write_text(f"key,{','.join(VIDEO)}\n{rows}")
        bucket.plan(metadata={"table": {"path": "t.csv", "video_metadata": True}})
        assert bucket.described() == {"a.mp4": (None, None, VIDEO), "b.jpg": (None, None, None)}
        assert bucket.decisions()["c.mp4"] == (
            "hold",
            "bad_metadata",
            "video metadata lacks fps, duration, file_size, mime_type",
        )


class TestSidecarsAreNoItems:
    def test_also_where_json_files_are_texts(self, tmp_path):
        bucket = Bucket(tmp_path, "a.mp4", "a.mp4.metadata.json", "lost.metadata.json", "b.json")
        bucket.put("a.mp4.metadata.json", {})
        bucket.plan(types={"text": ["json"]}, metadata={"sidecar": True})
        reasons = {key: reason for key, (_, reason, _) in bucket.decisions().items()}
        assert reasons == {
            "a.mp4": "new",
            "a.mp4.metadata.json": "sidecar",
            "lost.metadata.json": "sidecar",
            "b.json": "new",
        }

    def test_without_the_setting_they_are_passed_over_with_a_hint(self, tmp_path):
        bucket = Bucket(tmp_path, "a.mp4.metadata.json")
        bucket.plan()
        assert bucket.decisions()["a.mp4.metadata.json"][:2] == ("skip", "unused_sidecar")


class TestHeld:
    def test_an_item_whose_sidecar_is_missing_only_where_it_is_required(self, tmp_path):
        bucket = Bucket(tmp_path, "a.mp4", "x/1.jpg", "x/2.jpg")
        assert bucket.plan(groups=[BY_FOLDER], metadata={"sidecar": True}).to_register == 3
        assert bucket.plan(groups=[BY_FOLDER], metadata={"sidecar": "required"}).ref.counts == {
            "objects": 3,
            "to_register": 0,
            "items": 0,
            "registered": 0,
        }
        in_group = ("hold", "sidecar_missing", "looked for x.metadata.json")
        assert bucket.decisions() == {
            "a.mp4": ("hold", "sidecar_missing", "looked for a.mp4.metadata.json"),
            "x/1.jpg": in_group,
            "x/2.jpg": in_group,
        }

    def test_only_the_items_with_bad_metadata_and_with_the_reason(self, tmp_path):
        bucket = Bucket(tmp_path, "a.mp4", "b.mp4", "c.jpg", "d.mp4", "e.mp4")
        bucket.put("a.mp4.metadata.json", b"{")
        bucket.put("b.mp4.metadata.json", {"ok": 1})
        bucket.put("c.jpg.metadata.json", {"videoMetadata": VIDEO})
        bucket.put("d.mp4.metadata.json", {"x": "\0"})
        plan = bucket.plan(metadata={"sidecar": True})
        assert list(bucket.described()) == ["b.mp4", "e.mp4"]
        assert (plan.to_register, plan.items) == (2, 2)
        held = {key: detail for key, (action, _, detail) in bucket.decisions().items() if action == "hold"}
        assert held == {
            "a.mp4": "sidecar a.mp4.metadata.json is not JSON: Input data was truncated",
            "c.jpg": "video metadata for an item of type image",
            "d.mp4": "client metadata holds the character U+0000, which Encord cannot store",
        }
        [row] = [row for row in plan.rows if row.action == "hold" and row.item_type == "image"]
        assert row.examples == ("c.jpg (video metadata for an item of type image)",)

    def test_a_bad_table_ends_the_plan_before_anything_is_sent(self, tmp_path):
        bucket = Bucket(tmp_path, "a.mp4")
        with pytest.raises(ConfigError, match=r"metadata table .*: cannot be read"):
            bucket.plan(metadata={"table": {"path": "none.csv"}})
        assert not bucket.run.exists("plan.json")


def test_many_items_are_described_in_portions(tmp_path, monkeypatch):
    monkeypatch.setattr("cloud_sync.planning.describe.ITEMS_AT_ONCE", 7)
    bucket = Bucket(tmp_path, *(f"x{n:02}/{m}.jpg" for n in range(20) for m in range(n % 5 + 1)))
    for n in range(0, 20, 3):
        bucket.put(f"x{n:02}.metadata.json", {"n": n})
    bucket.plan(groups=[BY_FOLDER], metadata={"sidecar": True})
    clients = {key: client for key, (_, client, _) in bucket.described().items()}
    assert clients == {f"x{n:02}/": {"n": n} if n % 3 == 0 else None for n in range(20)}
    assert bucket.opened == 1
