"""The ledger: versions, the pointer, and what one night leaves for the next."""

from __future__ import annotations

import errno
import json
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from cloud_sync.errors import ConfigError, StorageError
from cloud_sync.ledger import (
    VERSIONS_KEPT,
    Ledger,
    LedgerState,
    LedgerVersion,
    Left,
    SettledFailure,
    SettledManifest,
)
from cloud_sync.run_folder import sha256_of
from cloud_sync.run_folder.files import Tag
from tests.unit.places import PLACES, make_folder
from tests.unit.tables import LONG_AGO, URL_BASE, Group, an_object, write_items

NIGHT = timedelta(days=1)


@pytest.fixture(params=PLACES)
def ledger(request, tmp_path) -> Ledger:
    return Ledger(make_folder(request.param, tmp_path).below("ledger").files)


def url(key: str) -> str:
    return URL_BASE + key


def night(
    ledger: Ledger,
    number: int,
    objects: list[Any],
    *,
    failed: tuple[str, ...] = (),
    bad: tuple[str, ...] = (),
    left: Left | None = None,
) -> LedgerVersion:
    """Settle one run that sent some objects in one manifest."""
    run_id = f"night {number}"
    return ledger.commit(
        run_id=run_id,
        url_base=URL_BASE,
        items_path=write_items(items_of(ledger, number), [objects]),
        manifests=[SettledManifest(0, "manifests/0000-a.json", f"job {number}", LONG_AGO + number * NIGHT)],
        failures=[
            *(SettledFailure(url(key), "transient", LedgerState.FAILED) for key in failed),
            *(SettledFailure(url(key), "corrupt", LedgerState.QUARANTINED) for key in bad),
        ],
        left=left,
    )


def items_of(ledger: Ledger, number: int) -> Path:
    return ledger.files.scratch().parent / f"items-{number}.parquet"


def rows(version: LedgerVersion) -> dict[str, dict[str, Any]]:
    return {row["key"]: row for row in pq.read_table(version.path).to_pylist()}


def test_a_new_ledger_knows_nothing(ledger):
    assert ledger.current() is None
    assert ledger.before("any run") is None
    assert ledger.histories("any run", Path("none"), [url("a")]) == {}
    ledger.check_url_base(URL_BASE)


def test_the_first_night(ledger):
    version = night(ledger, 1, ["a.jpg", "b.mp4", "c.jpg"], failed=("b.mp4",), bad=("c.jpg",))
    assert (version.number, version.previous, version.run_id) == (1, None, "night 1")
    assert version.counts == {"registered": 1, "failed": 1, "quarantined": 1}
    assert ledger.current() == version
    found = rows(version)
    assert found["a.jpg"] == {
        "key": "a.jpg",
        "url": url("a.jpg"),
        "size_bytes": 10,
        "etag": "etag of a.jpg",
        "last_modified": LONG_AGO,
        "item_key": "a.jpg",
        "item_type": "image",
        "state": "registered",
        "manifest": "manifests/0000-a.json",
        "upload_job_id": "job 1",
        "attempts": 1,
        "failure_class": None,
        "first_failed_at": None,
        "last_failed_at": None,
        "registered_at": LONG_AGO + NIGHT,
        "failed_runs": None,
    }
    assert (found["b.mp4"]["state"], found["b.mp4"]["failure_class"]) == ("failed", "transient")
    assert (found["c.jpg"]["state"], found["c.jpg"]["failure_class"]) == ("quarantined", "corrupt")
    assert found["c.jpg"]["registered_at"] is None


def times(row: dict[str, Any]) -> tuple[Any, ...]:
    def day(moment: datetime | None) -> int | None:
        return None if moment is None else (moment - LONG_AGO) // NIGHT

    return (
        row["state"],
        row["attempts"],
        day(row["first_failed_at"]),
        day(row["last_failed_at"]),
        day(row["registered_at"]),
    )


def test_an_object_over_several_nights(ledger):
    night(ledger, 1, ["a.jpg", "other.jpg"], failed=("a.jpg",))
    night(ledger, 2, ["a.jpg"], failed=("a.jpg",))
    assert times(rows(ledger.current())["a.jpg"]) == ("failed", 2, 1, 2, None)
    assert times(rows(ledger.current())["other.jpg"]) == ("registered", 1, None, None, 1)
    night(ledger, 3, ["a.jpg"], bad=("a.jpg",))
    assert times(rows(ledger.current())["a.jpg"]) == ("quarantined", 3, 1, 3, None)
    night(ledger, 4, [an_object("a.jpg", etag="mended")])
    assert times(rows(ledger.current())["a.jpg"]) == ("registered", 1, 1, 3, 4)


def test_a_full_pass_keeps_history(ledger):
    night(ledger, 1, ["a.jpg", "b.jpg"], failed=("a.jpg",))
    night(ledger, 2, ["a.jpg"])
    night(ledger, 3, ["a.jpg", "b.jpg"])
    assert times(rows(ledger.current())["a.jpg"]) == ("registered", 2, 1, 1, 2)
    assert times(rows(ledger.current())["b.jpg"]) == ("registered", 1, None, None, 1)


def test_a_changed_object_begins_anew(ledger):
    night(ledger, 1, ["a.jpg"], bad=("a.jpg",))
    night(ledger, 2, [an_object("a.jpg", etag="changed")], failed=("a.jpg",))
    assert times(rows(ledger.current())["a.jpg"]) == ("failed", 1, 2, 2, None)


def test_histories_are_those_of_the_objects_as_they_are_now(ledger):
    night(ledger, 1, ["a.jpg", "b.jpg", "c.jpg", "d.jpg"], failed=("a.jpg", "b.jpg", "d.jpg"))
    night(ledger, 2, ["a.jpg"], failed=("a.jpg",))
    items = write_items(
        items_of(ledger, 3), [["a.jpg", an_object("b.jpg", etag="changed"), "c.jpg", "d.jpg"]]
    )
    found = ledger.histories("night 3", items, [url("a.jpg"), url("b.jpg"), url("c.jpg"), "https://else/d"])
    assert {key: (one.attempts, one.first_failed_at) for key, one in found.items()} == {
        url("a.jpg"): (2, LONG_AGO + NIGHT)
    }


def test_a_version_that_does_not_count_runs_is_of_one_at_least(ledger):
    version = night(ledger, 1, ["a.jpg", "b.jpg"], failed=("a.jpg",))
    with ledger.files.writing(version.file) as path:
        pq.write_table(pq.read_table(version.path).drop_columns("failed_runs"), path)
    path = ledger.files.local(version.file)
    pointer = ledger.files.read_json("current.json")
    ledger.files.write_json("current.json", {**pointer, "sha256": sha256_of(path)})
    found = ledger.histories("night 2", items_of(ledger, 1), [url("a.jpg")])
    assert found[url("a.jpg")].runs == 1
    version = night(ledger, 2, ["a.jpg"], failed=("a.jpg",))
    assert {key: row["failed_runs"] for key, row in rows(version).items()} == {"a.jpg": 2, "b.jpg": None}


GROUP = Group("g/", ["g/1.jpg", "g/2.jpg", "g/3.jpg"])


class TestGroups:
    def test_files_carry_the_key_of_their_item(self, ledger):
        found = rows(night(ledger, 1, [GROUP, "a.jpg"]))
        assert {key: row["item_key"] for key, row in found.items()} == {
            "g/1.jpg": "g/",
            "g/2.jpg": "g/",
            "g/3.jpg": "g/",
            "a.jpg": "a.jpg",
        }
        assert {row["state"] for row in found.values()} == {"registered"}

    @pytest.mark.parametrize(
        ("failed", "bad", "state", "others_class"),
        [
            (("g/2.jpg",), (), "failed", "transient"),
            ((), ("g/2.jpg",), "quarantined", "corrupt"),
            (("g/1.jpg",), ("g/2.jpg",), "quarantined", "corrupt"),
        ],
    )
    def test_the_worst_file_decides_for_all(self, ledger, failed, bad, state, others_class):
        version = night(ledger, 1, [GROUP, "a.jpg", "b.jpg"], failed=(*failed, "b.jpg"), bad=bad)
        found = rows(version)
        assert {found[key]["state"] for key in GROUP.objects} == {state}
        assert found["g/3.jpg"]["failure_class"] == others_class
        assert all(found[key]["failure_class"] == "transient" for key in failed)
        assert (found["a.jpg"]["state"], found["b.jpg"]["state"]) == ("registered", "failed")
        assert times(found["g/3.jpg"]) == (state, 1, 1, 1, None)
        assert sum(version.counts.values()) == 5

    def test_a_healthy_file_has_the_history_of_its_group(self, ledger):
        for number in (1, 2):
            night(ledger, number, [GROUP], bad=("g/2.jpg",))
        items = write_items(items_of(ledger, 3), [[GROUP]])
        found = ledger.histories("night 3", items, [url(key) for key in GROUP.objects])
        assert {one.attempts for one in found.values()} == {2}
        assert len(found) == 3
        version = night(ledger, 3, [GROUP])
        assert {times(row) for row in rows(version).values()} == {("registered", 3, 1, 2, 3)}

    @pytest.mark.parametrize("bad", [(), ("g/2.jpg",)])
    def test_a_file_that_a_group_has_lost_is_forgotten_when_it_is_sent_again(self, ledger, bad):
        same_key = Group("g/", ["g/1.dcm"], item_type="dicom_series")
        other_key = Group("h/", ["h/1.jpg"])
        night(ledger, 1, [GROUP, same_key, other_key, "a.jpg"], bad=("g/3.jpg",))
        without = Group("g/", [key for key in GROUP.objects if key != "g/3.jpg"])
        found = rows(night(ledger, 2, [without], bad=bad))
        assert sorted(found) == ["a.jpg", "g/1.dcm", "g/1.jpg", "g/2.jpg", "h/1.jpg"]

    def test_a_single_file_is_never_judged_by_another(self, ledger):
        items = [Group("a.jpg", ["x.jpg"]), "a.jpg", "b.jpg"]
        found = rows(night(ledger, 1, items, bad=("x.jpg",)))
        assert {key: row["state"] for key, row in found.items()} == {
            "x.jpg": "quarantined",
            "a.jpg": "registered",
            "b.jpg": "registered",
        }


class TestOneRunTwice:
    def test_the_second_commit_gives_the_same_bytes(self, ledger):
        night(ledger, 1, [f"{n:04}.jpg" for n in range(3000)], failed=("0001.jpg",))
        sent = [f"{n:04}.jpg" for n in range(0, 6000, 2)]
        first = night(ledger, 2, sent, bad=("0002.jpg",))
        content, pointer = first.path.read_bytes(), ledger.files.read("current.json")
        for _ in range(3):
            assert night(ledger, 2, sent, bad=("0002.jpg",)) == first
            assert first.path.read_bytes() == content
            assert ledger.files.read("current.json") == pointer
        assert [name[:8] for name in ledger.files.names("v*.parquet")] == ["v000001-", "v000002-"]

    def test_a_second_commit_leaves_the_version_in_force_alone(self, ledger, monkeypatch):
        night(ledger, 1, ["a.jpg"])
        before = night(ledger, 2, ["b.jpg"], failed=("b.jpg",))

        def killed(*_):
            raise KeyboardInterrupt

        monkeypatch.setattr(ledger.files, "swap_json", killed)
        with pytest.raises(KeyboardInterrupt):
            night(ledger, 2, ["b.jpg"])
        assert ledger.current() == before

    def test_an_old_run_says_nothing_about_what_happened_since(self, ledger):
        night(ledger, 1, ["a.jpg"], bad=("a.jpg",))
        night(ledger, 2, ["a.jpg"])
        version = night(ledger, 1, ["a.jpg"], bad=("a.jpg",))
        assert rows(version)["a.jpg"]["state"] == "registered"

    def test_a_run_starts_from_the_version_before_it(self, ledger):
        night(ledger, 1, ["a.jpg"])
        assert ledger.before("night 1") is None
        assert ledger.before("night 2").number == 1
        night(ledger, 2, ["b.jpg"])
        before = ledger.before("night 2")
        assert before.number == 1
        assert list(rows(before)) == ["a.jpg"]
        assert ledger.before("night 3").number == 2

    def test_a_second_try_with_other_failures_replaces_the_first(self, ledger):
        night(ledger, 1, ["a.jpg", "b.jpg"], failed=("a.jpg", "b.jpg"))
        night(ledger, 1, ["a.jpg", "b.jpg"], failed=("a.jpg",))
        assert times(rows(ledger.current())["a.jpg"]) == ("failed", 1, 1, 1, None)
        assert times(rows(ledger.current())["b.jpg"])[0] == "registered"


class TestCrash:
    @pytest.mark.parametrize("earlier_nights", [0, 1, 2])
    def test_between_version_and_pointer_the_old_one_stays_in_force(
        self, ledger, monkeypatch, earlier_nights
    ):
        for number in range(1, earlier_nights + 1):
            night(ledger, number, [f"{number}.jpg"])
        before = ledger.current()
        swap_json = ledger.files.swap_json
        monkeypatch.setattr(ledger.files, "swap_json", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            night(ledger, 7, ["x.jpg"])
        monkeypatch.setattr(ledger.files, "swap_json", swap_json)
        assert len(ledger.files.names("v*.parquet")) == earlier_nights + 1
        assert ledger.current() == before
        version = night(ledger, 8, ["y.jpg"])
        assert version.number == earlier_nights + 1
        assert "x.jpg" not in rows(version)
        assert len(rows(version)) == earlier_nights + 1

    def test_a_full_disk_leaves_the_old_version_in_force(self, tmp_path, monkeypatch):
        ledger = Ledger(tmp_path / "ledger")
        before = night(ledger, 1, ["a.jpg"])

        def full(*_):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(StorageError) as caught:
            night(ledger, 2, ["b.jpg"])
        assert caught.value.transient
        assert ledger.current() == before
        assert ledger.files.names("*") == ["commit.lock", "current.json", before.file]


REMEDY = (
    "Write it anew from the dataset: cloud-sync ledger rebuild <integration file>. Or move this folder away; "
    "the next run sends all, and Encord skips what has not changed."
)


class TestDamage:
    @pytest.fixture(autouse=True)
    def two_nights(self, ledger):
        self.first = night(ledger, 1, ["a.jpg"]).file
        self.second = night(ledger, 2, ["b.jpg"]).file

    @pytest.mark.parametrize(
        "content",
        [
            "",
            "{",
            "[]",
            "null",
            '"x"',
            "{}",
            '{"number": 2}',
            '{"number": "two", "sha256": ""}',
            '{"number": {}}',
        ],
    )
    def test_a_torn_pointer(self, ledger, content):
        ledger.files.write("current.json", content.encode())
        self.check(ledger, "current.json")

    def test_a_pointer_that_lacks_a_field(self, ledger):
        pointer = ledger.files.read_json("current.json")
        for name in pointer.keys() - {"format"}:
            ledger.files.write_json("current.json", {key: pointer[key] for key in pointer if key != name})
            self.check(ledger, "current.json is not a pointer")

    def test_a_missing_pointer(self, ledger):
        ledger.files.remove("current.json")
        self.check(ledger, f"the pointer current.json is missing beside {self.second}")

    def test_a_missing_version(self, ledger):
        ledger.files.remove(self.second)
        self.check(ledger, f"{self.second} is missing")

    @pytest.mark.parametrize("keep", [0, 10, -1])
    def test_a_torn_version(self, ledger, keep):
        ledger.files.write(self.second, ledger.files.read(self.second)[:keep])
        self.check(ledger, f"{self.second} has changed")

    def test_a_missing_version_below(self, ledger):
        ledger.files.remove(self.first)
        assert ledger.current().number == 2
        with pytest.raises(StorageError, match=f"{self.first}, on which this run builds, is missing"):
            ledger.before("night 2")

    def check(self, ledger: Ledger, what: str) -> None:
        for call in (ledger.current, lambda: ledger.before("night 3"), lambda: night(ledger, 3, ["c.jpg"])):
            with pytest.raises(StorageError) as caught:
                call()
            assert not caught.value.transient
            assert str(caught.value).startswith(f"{ledger.files.address()}: the ledger is damaged: ")
            assert what in str(caught.value)
            assert str(caught.value).endswith(REMEDY)

    def test_a_disk_that_cannot_be_read_now_is_no_damage(self, tmp_path, monkeypatch):
        ledger = Ledger(tmp_path / "ledger")
        night(ledger, 1, ["a.jpg"])

        def refuse(*_, **__):
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        monkeypatch.setattr(Path, "read_bytes", refuse)
        with pytest.raises(StorageError) as caught:
            ledger.current()
        assert caught.value.transient
        assert "damaged" not in str(caught.value)


def test_other_object_urls_stop_the_run_with_an_explanation(ledger):
    night(ledger, 1, ["a.jpg"])
    ledger.check_url_base(URL_BASE)
    with pytest.raises(ConfigError) as caught:
        ledger.check_url_base("s3://recordings/")
    assert str(caught.value) == (
        f"{ledger.files.address()}: object URLs would begin with s3://recordings/, "
        f"but this dataset holds objects registered under {URL_BASE}, "
        "and Encord would register all of them a second time. "
        "Restore bucket, endpoint, region, account and url_style, or give the integration a new name."
    )


def test_only_manifests_that_ended_count(ledger, tmp_path):
    version = ledger.commit(
        run_id="r",
        url_base=URL_BASE,
        items_path=write_items(tmp_path / "items.parquet", [["a.jpg"], ["b.jpg"], ["c.jpg"]]),
        manifests=[SettledManifest(n, f"m{n}", f"job {n}", LONG_AGO) for n in (0, 2)],
        failures=[SettledFailure("https://elsewhere/x", "transient", LedgerState.FAILED)],
    )
    assert {key: row["upload_job_id"] for key, row in rows(version).items()} == {
        "a.jpg": "job 0",
        "c.jpg": "job 2",
    }


def test_old_versions_are_cleared_away(ledger):
    night(ledger, 1, ["a.jpg"])
    pointer = json.loads(ledger.files.read("current.json"))
    content = ledger.current().path.read_bytes()
    for number in range(2, VERSIONS_KEPT + 3):
        ledger.files.write(f"v{number:06}-abc.parquet", content)
    newest = {"number": VERSIONS_KEPT + 2, "file": f"v{VERSIONS_KEPT + 2:06}-abc.parquet"}
    ledger.files.write_json("current.json", {**pointer, **newest, "previous": VERSIONS_KEPT + 1})
    version = night(ledger, 99, ["b.jpg"])
    kept = ledger.files.names("v*.parquet")
    assert len(kept) == VERSIONS_KEPT
    assert kept[-1] == version.path.name
    assert ledger.before("night 99").number == VERSIONS_KEPT + 2


def test_states_are_told_of_the_objects_that_are_known(ledger):
    assert ledger.states(["a.jpg"]) == {}
    night(ledger, 1, ["a.jpg", "b.jpg", "c.jpg", "d.jpg"], failed=("b.jpg",), bad=("c.jpg",))
    assert ledger.states(["a.jpg", "b.jpg", "c.jpg", "unknown"]) == {
        "a.jpg": LedgerState.REGISTERED,
        "b.jpg": LedgerState.FAILED,
        "c.jpg": LedgerState.QUARANTINED,
    }


class TestSentAgain:
    """A run that sent some items once more, in retry rounds."""

    def commit(self, ledger, tmp_path, *tables, failed=(), bad=(), run_id="night 2", jobs="job"):
        """Commit a run; each table is the items of one manifest, the second and later ones of rounds."""
        paths = [
            write_items(tmp_path / f"{run_id}-{number}.parquet", [[]] * number + [list(items)])
            for number, items in enumerate(tables)
        ]
        return ledger.commit(
            run_id=run_id,
            url_base=URL_BASE,
            items_path=paths[0],
            later=paths[1:],
            manifests=[
                SettledManifest(n, f"m{n}", f"{jobs} {n}", LONG_AGO + 2 * NIGHT) for n in range(len(tables))
            ],
            failures=[
                *(SettledFailure(url(key), "transient", LedgerState.FAILED) for key in failed),
                *(SettledFailure(url(key), "corrupt", LedgerState.QUARANTINED) for key in bad),
            ],
        )

    def known(self, version):
        return {key: (row["state"], row["manifest"], row["attempts"]) for key, row in rows(version).items()}

    def test_an_item_is_that_of_the_last_table(self, ledger, tmp_path):
        night(ledger, 1, ["c.jpg", "old.jpg"], failed=("c.jpg",))
        tables = ["a.jpg", "b.jpg", "c.jpg"], ["b.jpg", "c.jpg"], ["c.jpg"]
        version = self.commit(ledger, tmp_path, *tables, failed=("c.jpg",))
        assert self.known(version) == {
            "a.jpg": ("registered", "m0", 1),
            "b.jpg": ("registered", "m1", 2),
            "c.jpg": ("failed", "m2", 4),
            "old.jpg": ("registered", "manifests/0000-a.json", 1),
        }
        assert (
            ledger.histories("night 3", tmp_path / "night 2-0.parquet", [url("c.jpg")])[url("c.jpg")].attempts
            == 4
        )

    def test_a_group_goes_with_all_its_files(self, ledger, tmp_path):
        group = Group("g/", ["g/1.jpg", "g/2.jpg"])
        version = self.commit(ledger, tmp_path, ["a.jpg", group], [group], bad=("g/2.jpg",))
        assert self.known(version) == {
            "a.jpg": ("registered", "m0", 1),
            "g/1.jpg": ("quarantined", "m1", 2),
            "g/2.jpg": ("quarantined", "m1", 2),
        }

    def test_what_stands_in_a_table_without_an_end_stays_out(self, ledger, tmp_path):
        paths = [
            write_items(tmp_path / "first.parquet", [["a.jpg", "b.jpg"]]),
            write_items(tmp_path / "again.parquet", [[], ["b.jpg"]]),
        ]
        version = ledger.commit(
            run_id="night 1",
            url_base=URL_BASE,
            items_path=paths[0],
            later=paths[1:],
            manifests=[SettledManifest(0, "m0", "job", LONG_AGO)],
            failures=[],
        )
        assert self.known(version) == {"a.jpg": ("registered", "m0", 1)}

    def test_committing_again_gives_the_same_bytes(self, ledger, tmp_path):
        tables = ["a.jpg", "b.jpg"], ["b.jpg"]
        first = self.commit(ledger, tmp_path, *tables).path.read_bytes()
        assert self.commit(ledger, tmp_path, *tables).path.read_bytes() == first

    def test_a_run_that_settles_again_after_another_counts_nothing_twice(self, ledger, tmp_path):
        self.commit(ledger, tmp_path, ["a.jpg"], failed=("a.jpg",))
        self.commit(ledger, tmp_path, ["b.jpg"], run_id="by hand", jobs="other")
        version = self.commit(ledger, tmp_path, ["a.jpg"], failed=("a.jpg",))
        assert self.known(version) == {"a.jpg": ("failed", "m0", 1), "b.jpg": ("registered", "m0", 1)}

    def test_nor_of_manifests_that_were_refused_so_that_they_have_no_job(self, ledger, tmp_path):
        def refused(number: int) -> LedgerVersion:
            return ledger.commit(
                run_id=f"night {number}",
                url_base=URL_BASE,
                items_path=write_items(tmp_path / "a.parquet", [["a.jpg"]]),
                manifests=[SettledManifest(0, "m0", "", LONG_AGO + number * NIGHT)],
                failures=[SettledFailure(url("a.jpg"), "transient", LedgerState.FAILED)],
            )

        refused(1)
        self.commit(ledger, tmp_path, ["b.jpg"], run_id="by hand")
        assert rows(refused(1))["a.jpg"]["attempts"] == 1
        assert rows(refused(2))["a.jpg"]["attempts"] == 2


class TestTwoRunsAtOnce:
    def test_no_commit_is_lost(self, ledger, tmp_path):
        def one(number: int) -> LedgerVersion:
            return night(Ledger(ledger.files.files), number, [f"{number}.jpg"])

        with ThreadPoolExecutor(8) as pool:
            versions = list(pool.map(one, range(16)))
        assert sorted(version.number for version in versions) == list(range(1, 17))
        assert set(rows(ledger.current())) == {f"{number}.jpg" for number in range(16)}

    def test_a_commit_waits_for_the_one_before(self, ledger, monkeypatch):
        other = Ledger(ledger.files.files)
        monkeypatch.setattr(other.files, "locked", lambda name: nullcontext())
        with ThreadPoolExecutor(1) as pool:
            with ledger.files.locked("commit.lock"):
                waiting = pool.submit(night, ledger, 1, ["a.jpg"])
                with pytest.raises(TimeoutError):
                    waiting.result(0.2)
                night(other, 2, ["b.jpg"])
            assert waiting.result().number == 2
        assert set(rows(ledger.current())) == {"a.jpg", "b.jpg"}


class TestLostRace:
    def test_a_version_that_another_task_has_built_on_is_not_overwritten(self, ledger, monkeypatch):
        """As when a task was held up for so long that its lock was taken over."""
        night(ledger, 1, ["a.jpg"])
        late = Ledger(ledger.files.files)
        monkeypatch.setattr(late.files, "locked", lambda name: nullcontext())
        swap_json = late.files.swap_json

        def overtaken(name: str, value: Any, seen: Tag | None) -> bool:
            night(ledger, 2, ["b.jpg"])
            return swap_json(name, value, seen)

        monkeypatch.setattr(late.files, "swap_json", overtaken)
        with pytest.raises(
            StorageError, match="another task has written into this ledger meanwhile"
        ) as caught:
            night(late, 3, ["c.jpg"])
        assert caught.value.transient
        assert set(rows(ledger.current())) == {"a.jpg", "b.jpg"}
        monkeypatch.setattr(late.files, "swap_json", swap_json)
        assert set(rows(night(late, 3, ["c.jpg"]))) == {"a.jpg", "b.jpg", "c.jpg"}

    def test_of_two_that_settle_a_first_night_one_is_told(self, ledger, monkeypatch):
        other = Ledger(ledger.files.files)
        monkeypatch.setattr(ledger.files, "locked", lambda name: nullcontext())
        swap_json = ledger.files.swap_json
        monkeypatch.setattr(
            ledger.files, "swap_json", lambda *args: bool(night(other, 2, ["b.jpg"])) and swap_json(*args)
        )
        with pytest.raises(StorageError, match="meanwhile"):
            night(ledger, 1, ["a.jpg"])
        assert set(rows(other.current())) == {"b.jpg"}


def test_a_store_that_refuses_is_no_damage(ledger, monkeypatch):
    night(ledger, 1, ["a.jpg"])

    def refuse(name: str) -> None:
        raise StorageError("the store refused access.")

    monkeypatch.setattr(ledger.files.files, "read_tagged", refuse)
    with pytest.raises(StorageError) as caught:
        ledger.current()
    assert str(caught.value) == "the store refused access."


class TestRemoved:
    def remove(self, ledger: Ledger, *keys: str, day: int) -> int:
        return ledger.mark_removed(self.left(ledger, *keys, day=day))

    def left(self, ledger: Ledger, *keys: str, day: int) -> Left:
        return Left(write_items(items_of(ledger, 0), [keys]), LONG_AGO + day * NIGHT)

    def test_what_has_left_the_dataset_is_removed_and_the_rest_stays(self, ledger):
        night(ledger, 1, ["a.jpg", "b.jpg", "bad.jpg"], bad=("bad.jpg",))
        assert self.remove(ledger, "a.jpg", "bad.jpg", "never.jpg", day=2) == 1
        version = ledger.current()
        assert version.counts == {"removed": 1, "registered": 1, "quarantined": 1}
        assert (version.number, version.run_id) == (1, "night 1")
        assert rows(version)["a.jpg"]["state"] == "removed"
        assert self.remove(ledger, "a.jpg", day=2) == 1

    def test_what_was_registered_after_that_has_come_back(self, ledger):
        night(ledger, 1, ["a.jpg"])
        self.remove(ledger, "a.jpg", day=2)
        version = night(ledger, 3, ["a.jpg"])
        assert times(rows(version)["a.jpg"]) == ("registered", 1, None, None, 3)
        assert self.remove(ledger, "a.jpg", day=2) == 0
        assert ledger.current().counts == {"registered": 1}

    def test_a_failure_after_that_is_the_first_one(self, ledger):
        night(ledger, 1, ["a.jpg"], failed=("a.jpg",))
        night(ledger, 2, ["a.jpg"])
        self.remove(ledger, "a.jpg", day=3)
        version = night(ledger, 4, ["a.jpg"], failed=("a.jpg",))
        assert times(rows(version)["a.jpg"]) == ("failed", 1, 4, 4, None)

    @pytest.mark.parametrize("day", [2, 4], ids=["in order", "by a clock that is ahead"])
    def test_what_left_in_a_run_and_was_sent_by_it_is_registered_anew(self, ledger, day):
        night(ledger, 1, ["a.jpg", "b.jpg", "c.jpg"])
        left = self.left(ledger, "a.jpg", "b.jpg", day=day)
        for _ in range(2):
            version = night(ledger, 3, [an_object("a.jpg", etag="new")], left=left)
            assert times(rows(version)["a.jpg"]) == ("registered", 1, None, None, 3)
            assert (rows(version)["a.jpg"]["etag"], rows(version)["a.jpg"]["upload_job_id"]) == (
                "new",
                "job 3",
            )
            assert version.counts == {"registered": 2, "removed": 1}

    def test_if_it_fails_then_that_is_its_first_failure(self, ledger):
        night(ledger, 1, ["a.jpg"])
        again = [an_object("a.jpg", etag="new")]
        left = self.left(ledger, "a.jpg", day=2)
        version = night(ledger, 3, again, bad=("a.jpg",), left=left)
        assert times(rows(version)["a.jpg"]) == ("quarantined", 1, 3, 3, None)

    def test_without_a_ledger_there_is_nothing_to_note(self, ledger):
        assert self.remove(ledger, "a.jpg", day=1) == 0


class TestFormat:
    def change(self, ledger: Ledger, **fields: Any) -> None:
        pointer = ledger.files.read_json("current.json")
        ledger.files.write_json("current.json", {**pointer, **fields})

    def test_the_pointer_says_its_format_and_one_without_is_read(self, ledger):
        night(ledger, 1, ["a.jpg"])
        pointer = ledger.files.read_json("current.json")
        assert pointer.pop("format") == 2
        ledger.files.write_json("current.json", pointer)
        assert ledger.current().counts == {"registered": 1}

    @pytest.mark.parametrize("number", [0, 3, "x", None])
    def test_a_format_that_is_not_known_is_refused_by_name(self, ledger, number):
        night(ledger, 1, ["a.jpg"])
        self.change(ledger, format=number)
        with pytest.raises(StorageError) as caught:
            ledger.current()
        assert f"the ledger is of format {number!r}, and this release reads 1 to 2" in str(caught.value)
        assert "cloud-sync ledger rebuild" in str(caught.value)
        assert not caught.value.transient
