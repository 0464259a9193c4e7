"""DICOM series by their UID: what is read, what is kept, in which order the files stand."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

import pyarrow.parquet as pq
import pytest

from cloud_sync.errors import StorageError
from cloud_sync.ledger import Ledger, LedgerVersion, SettledManifest
from cloud_sync.objects.errors import ObjectStoreError
from cloud_sync.planning.model import Sources
from cloud_sync.planning.plan import make_plan
from cloud_sync.planning.series import HEADERS_NAME
from cloud_sync.run_folder import RunFolder
from tests.unit.dicom_files import dicom_file
from tests.unit.failures.fakes import FakeStore
from tests.unit.tables import (
    LONG_AGO,
    URL_BASE,
    Group,
    an_integration,
    an_object,
    write_items,
    write_listing,
)

NOW = LONG_AGO + timedelta(days=1)
BY_UID = {"type": "dicom_series", "by": "series_uid"}
AXIAL = (1, 0, 0, 0, 1, 0)


class House:
    """A bucket, the folder of headers, and plans of what is listed."""

    def __init__(self, folder, files: dict[str, bytes | str]) -> None:
        self.folder = folder
        self.store = FakeStore(files)
        self.opened = 0

    def open(self) -> FakeStore:
        self.opened += 1
        return self.store

    def plan(
        self,
        *listed: Any,
        narrowed_to: str | None = None,
        ledger: LedgerVersion | None = None,
        **sections: Any,
    ) -> dict[str, tuple[str, str | None]]:
        """Plan, and return reason and detail of each key."""
        run = RunFolder(self.folder / "run")
        run.root.mkdir(exist_ok=True)
        make_plan(
            run,
            listing_parts=[write_listing(run.root / "part.parquet", listed or self.store.objects)],
            integration=an_integration(**{"groups": [BY_UID], **sections}),
            ledger=ledger,
            now=NOW,
            narrowed_to=narrowed_to,
            sources=Sources(self.open, self.folder / "cache", self.folder / "tables"),
        )
        rows = pq.read_table(run.path("plan.parquet")).to_pylist()
        return {row["key"]: (row["reason"], row["detail"]) for row in rows}

    @property
    def series(self) -> list[list[str]]:
        """The files of each series to register, in order."""
        groups: dict[str, list[str]] = {}
        for row in pq.read_table(self.folder / "run" / "register.parquet").to_pylist():
            groups.setdefault(row["item_key"], []).append(row["key"])
        return list(groups.values())

    @property
    def read(self) -> list[str]:
        """The keys read since last asked."""
        keys = sorted({key for _, key in self.store.calls})
        self.store.calls.clear()
        return keys

    @property
    def kept(self) -> list[dict[str, Any]]:
        return pq.read_table(self.folder / "cache" / HEADERS_NAME).to_pylist()


def slices(*places: float, series: str = "1.2.3.4") -> dict[str, bytes]:
    """Files named by letters, at these places, numbered the other way round."""
    return {
        f"{chr(97 + n)}.dcm": dicom_file(
            series_uid=series, number=100 - n, position=(0, 0, z), orientation=AXIAL
        )
        for n, z in enumerate(places)
    }


class TestOrder:
    def test_by_position_along_the_normal(self, tmp_path):
        house = House(tmp_path, slices(10, -5, 2.5))
        house.plan()
        assert house.series == [["b.dcm", "c.dcm", "a.dcm"]]

    def test_by_number_where_one_file_has_no_position(self, tmp_path):
        house = House(tmp_path, {**slices(10, -5, 2.5), "d.dcm": dicom_file(number=99)})
        house.plan()
        assert house.series == [["c.dcm", "b.dcm", "d.dcm", "a.dcm"]]

    def test_by_number_where_orientations_differ(self, tmp_path):
        turned = dicom_file(number=1, position=(0, 0, 50), orientation=(0, 1, 0, 0, 0, 1))
        house = House(tmp_path, {**slices(10, -5), "z.dcm": turned})
        house.plan()
        assert house.series == [["z.dcm", "b.dcm", "a.dcm"]]

    def test_by_instance_where_there_are_no_numbers(self, tmp_path):
        files = {f"{n}.dcm": dicom_file(number=None, instance_uid=f"1.{9 - n}") for n in range(3)}
        house = House(tmp_path, files)
        house.plan()
        assert house.series == [["2.dcm", "1.dcm", "0.dcm"]]


def test_series_of_one_folder_are_told_apart_and_one_in_two_folders_is_one(tmp_path):
    files = {
        "x/1.dcm": dicom_file(series_uid="1.1", number=2),
        "x/2.dcm": dicom_file(series_uid="1.2", number=1),
        "y/3.dcm": dicom_file(series_uid="1.1", number=1),
        "y/4.dcm": dicom_file(series_uid="1.1", study_uid="9.9", number=1),
    }
    house = House(tmp_path, files)
    house.plan()
    assert house.series == [["y/3.dcm", "x/1.dcm"], ["x/2.dcm"], ["y/4.dcm"]]
    titles = pq.read_table(tmp_path / "run" / "metadata.parquet")["title"].to_pylist()
    assert titles == ["1.1", "1.2", "1.1"]


class TestReading:
    def test_a_second_night_reads_only_what_is_new(self, tmp_path):
        house = House(tmp_path, slices(1, 2))
        house.plan()
        assert house.read == ["a.dcm", "b.dcm"]
        house.store.objects |= {"c.dcm": dicom_file(number=1)}
        house.plan()
        assert house.read == ["c.dcm"]
        assert len(house.series[0]) == 3
        house.plan(*house.store.objects)
        assert (house.read, house.opened) == ([], 2)

    @pytest.mark.parametrize("change", [{"etag": "new"}, {"size_bytes": 11}])
    def test_a_file_that_changed_is_read_again(self, tmp_path, change):
        house = House(tmp_path, slices(1, 2))
        house.plan()
        assert house.read == ["a.dcm", "b.dcm"]
        house.store.objects["a.dcm"] = dicom_file(series_uid="5.5")
        house.plan(an_object("a.dcm", **change), "b.dcm")
        assert house.read == ["a.dcm"]
        assert len(house.series) == 2
        assert len(house.kept) == 2

    def test_files_that_are_gone_are_forgotten_unless_only_a_part_was_listed(self, tmp_path):
        house = House(tmp_path, slices(1, 2, 3))
        house.plan()
        house.plan("a.dcm", "b.dcm", an_object("c.dcm", etag="new"), narrowed_to="c")
        house.plan(an_object("c.dcm", etag="newer"), narrowed_to="c")
        assert [row["key"] for row in house.kept] == ["c.dcm", "a.dcm", "b.dcm"]
        house.plan("b.dcm", an_object("c.dcm", etag="newest"))
        assert sorted(row["key"] for row in house.kept) == ["b.dcm", "c.dcm"]

    def test_only_files_that_are_selected_are_read(self, tmp_path):
        house = House(tmp_path, {**slices(1), "x/a.dcm": b"", "a.jpg": b""})
        house.plan(select={"exclude": ["x/"]})
        assert house.read == ["a.dcm"]

    def test_a_store_that_fails_ends_the_stage_and_keeps_what_was_read(self, tmp_path, monkeypatch):
        monkeypatch.setattr("cloud_sync.planning.series.FILES_AT_ONCE", 2)
        house = House(tmp_path, slices(1, 2, 3))

        def read_range(key, start, length, read=house.store.read_range):
            if key == "c.dcm":
                raise ObjectStoreError("does not answer.", reason="transient", transient=True)
            return read(key, start, length)

        house.store.read_range = read_range
        with pytest.raises(StorageError, match="does not answer"):
            house.plan()
        assert [row["key"] for row in house.kept] == ["a.dcm", "b.dcm"]


class TestUnreadable:
    def test_it_is_reported_with_the_reason(self, tmp_path):
        files = {
            "a.dcm": b"%PDF-1.7",
            "b.dcm": dicom_file(series_uid=None),
            "c.dcm": dicom_file(),
            "x/d.dcm": "missing",
        }
        house = House(tmp_path, files)
        assert house.plan() == {
            "a.dcm": ("unreadable_header", "is no DICOM file but application/pdf"),
            "b.dcm": ("unreadable_header", "has no StudyInstanceUID or SeriesInstanceUID"),
            "c.dcm": ("new", None),
            "x/d.dcm": ("unreadable_header", "cannot be read: refused"),
        }
        assert house.series == [["c.dcm"]]

    @pytest.mark.parametrize("refusal", ["connection", "no_bucket"])
    def test_a_refusal_of_whoever_asks_says_nothing_of_the_file(self, tmp_path, refusal):
        house = House(tmp_path, {"a.dcm": dicom_file(), "b.dcm": refusal})
        with pytest.raises(ObjectStoreError) as caught:
            house.plan()
        assert (caught.value.is_general, caught.value.reason) in {(True, "forbidden"), (False, "no_bucket")}

    def test_what_lies_in_the_file_is_known_the_next_night_but_not_what_lies_in_the_store(self, tmp_path):
        house = House(tmp_path, {"a.dcm": b"%PDF-1.7", "d.dcm": "forbidden"})
        first = house.plan()
        assert house.read == ["a.dcm", "d.dcm"]
        assert house.plan() == first
        assert house.read == ["d.dcm"]


class TestSeriesBesideAnUnreadableFile:
    """It may belong to them, and what is registered cannot grow."""

    FILES: Final = {
        "s/1.dcm": dicom_file(),
        "s/2.dcm": "forbidden",
        "t/3.dcm": dicom_file(),
        "t/4.dcm": dicom_file(series_uid="5.5"),
    }

    def test_are_held_until_it_can_be_read(self, tmp_path):
        house = House(tmp_path, dict(self.FILES))
        held = ("incomplete", "s/2.dcm may belong to it, and cannot be read yet")
        for _ in range(2):
            found = house.plan()
            assert found.pop("s/2.dcm")[0] == "unreadable_header"
            assert found == {"s/1.dcm": held, "t/3.dcm": held, "t/4.dcm": ("new", None)}
        house.store.objects["s/2.dcm"] = dicom_file()
        assert {reason for reason, _ in house.plan().values()} == {"new"}
        assert sorted(map(len, house.series)) == [1, 3]

    @pytest.mark.parametrize(
        ("complete", "minutes", "reason"),
        [
            ({}, 9, "incomplete"),
            ({}, 10, "new"),
            ({"quiet_for": "30m"}, 29, "incomplete"),
            ({"quiet_for": "0s"}, 0, "new"),
        ],
    )
    def test_are_held_while_it_is_young_if_the_fault_is_its_own(self, tmp_path, complete, minutes, reason):
        house = House(tmp_path, {"1.dcm": dicom_file(), "2.dcm": b"half"})
        young = an_object("2.dcm", last_modified=NOW - timedelta(minutes=minutes))
        found = house.plan("1.dcm", young, groups=[{**BY_UID, "complete": complete}])
        assert found["1.dcm"][0] == reason

    def test_are_complete_all_the_same_by_their_declared_count(self, tmp_path):
        house = House(tmp_path, dict(self.FILES))
        found = house.plan(groups=[{**BY_UID, "complete": {"count": 2, "quiet_for": "30m"}}])
        assert {found[key][0] for key in ("s/1.dcm", "t/3.dcm")} == {"new"}

    def test_stay_registered(self, tmp_path):
        house = House(tmp_path, dict(self.FILES))
        series = Group("series", ["s/1.dcm", "t/3.dcm"], "dicom_series")
        ledger = Ledger(tmp_path / "ledger").commit(
            run_id="earlier",
            url_base=URL_BASE,
            items_path=write_items(tmp_path / "items.parquet", [[series]]),
            manifests=[SettledManifest(0, "manifests/0000-a.json", "job", LONG_AGO)],
            failures=[],
        )
        assert house.plan(ledger=ledger)["s/1.dcm"] == ("registered", None)


def test_a_rule_by_uid_for_some_files_leaves_the_others_to_their_folders(tmp_path):
    house = House(tmp_path, {"x/1.dcm": dicom_file(), "y/1.dcm": b""})
    house.plan(groups=[{**BY_UID, "include": ["x/"]}])
    assert sorted(house.series) == [["x/1.dcm"], ["y/1.dcm"]]
    assert house.read == ["x/1.dcm"]


def test_a_narrower_prefix_holds_series(tmp_path):
    house = House(tmp_path, slices(1))
    assert house.plan(narrowed_to="a")["a.dcm"][0] == "incomplete"
