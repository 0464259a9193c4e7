"""Upkeep of a ledger: rebuilt from a dataset, compared with it, and its versions pruned."""

from __future__ import annotations

import os
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cloud_sync.errors import ConfigError, StorageError
from cloud_sync.ledger import Ledger, LedgerState, SettledFailure, SettledManifest
from cloud_sync.ledger_upkeep import compare, prune, rebuild
from cloud_sync.registration.contents import SCHEMA
from tests.unit.tables import LONG_AGO, URL_BASE, an_object, write_items, write_listing

NOW = LONG_AGO + timedelta(days=9)


@pytest.fixture
def ledger(tmp_path) -> Ledger:
    return Ledger(tmp_path / "ledger")


@pytest.fixture
def listing(tmp_path) -> list[Path]:
    return [write_listing(tmp_path / "listing.parquet", ["a.jpg", "b.jpg", "new.jpg"])]


def night(ledger: Ledger, number: int, *objects: Any, bad: tuple[str, ...] = ()) -> str:
    """Settle one run; returns the file of its version."""
    return ledger.commit(
        run_id=f"night {number}",
        url_base=URL_BASE,
        items_path=write_items(ledger.files.root.parent / "items.parquet", [objects]),
        manifests=[SettledManifest(0, "m", f"job {number}", LONG_AGO + timedelta(days=number))],
        failures=[SettledFailure(URL_BASE + key, "corrupt", LedgerState.QUARANTINED) for key in bad],
    ).file


def contents(tmp_path: Path, *keys: str | dict[str, Any]) -> Path:
    """What the dataset holds: images, unless a row says otherwise."""
    rows = [
        {"key": one, "url": URL_BASE + one, "item_type": "image", "item_key": one, "title": one}
        if isinstance(one, str)
        else one
        for one in keys
    ]
    pq.write_table(pa.Table.from_pylist(rows, SCHEMA), path := tmp_path / "contents.parquet")
    return path


def in_group(key: str, uuid: str = "uuid-1") -> dict[str, Any]:
    return {"key": key, "url": URL_BASE + key, "item_type": "image_group", "item_key": uuid, "title": "g"}


def rows(ledger: Ledger) -> dict[str, dict[str, Any]]:
    version = ledger.current()
    assert version is not None
    return {row["key"]: row for row in pq.read_table(version.path).to_pylist()}


class TestRebuild:
    def rebuild(self, ledger: Ledger, path: Path, listing: list[Path], prefix: str = "") -> Any:
        seen = ledger.tag()
        return rebuild(ledger, path, listing, url_base=URL_BASE, prefix=prefix, seen=seen, now=NOW)

    def test_without_a_ledger_all_that_the_dataset_holds_is_registered(self, ledger, listing, tmp_path):
        version = self.rebuild(ledger, contents(tmp_path, "a.jpg", "gone.jpg"), listing)
        assert version == ledger.current()
        assert (version.number, version.counts) == (1, {"registered": 2})
        found = rows(ledger)
        assert found["a.jpg"]["etag"] == "etag of a.jpg"
        assert (found["a.jpg"]["size_bytes"], found["a.jpg"]["registered_at"]) == (10, NOW)
        assert (found["gone.jpg"]["size_bytes"], found["gone.jpg"]["etag"]) == (None, None)

    def test_it_has_the_columns_of_any_other_version(self, ledger, listing, tmp_path):
        self.rebuild(ledger, contents(tmp_path, "a.jpg"), listing)
        other = Ledger(tmp_path / "other")
        night(other, 1, "a.jpg")
        assert list(rows(ledger)["a.jpg"]) == list(rows(other)["a.jpg"])

    def test_a_run_goes_on_from_it(self, ledger, listing, tmp_path):
        self.rebuild(ledger, contents(tmp_path, "a.jpg"), listing)
        night(ledger, 12, "b.jpg")
        assert {key: row["state"] for key, row in rows(ledger).items()} == {
            "a.jpg": "registered",
            "b.jpg": "registered",
        }

    def test_what_the_ledger_knew_is_kept_but_not_what_the_dataset_has_lost(self, ledger, listing, tmp_path):
        night(ledger, 1, an_object("a.jpg", etag="as registered"), "lost.jpg", "bad.jpg", bad=("bad.jpg",))
        version = self.rebuild(ledger, contents(tmp_path, "a.jpg", "b.jpg"), listing)
        assert (version.number, version.counts) == (2, {"registered": 2, "quarantined": 1})
        assert rows(ledger)["a.jpg"]["etag"] == "as registered"
        assert "lost.jpg" not in rows(ledger)

    @pytest.mark.parametrize("damage", ["{", '{"number": 2}', '{"format": 9}', None])
    def test_a_damaged_one_is_replaced(self, ledger, listing, tmp_path, damage):
        night(ledger, 1, "a.jpg")
        night(ledger, 2, "b.jpg")
        pointer = ledger.files.path("current.json")
        pointer.unlink() if damage is None else pointer.write_text(damage)
        with pytest.raises(StorageError, match="cloud-sync ledger rebuild"):
            ledger.current()
        assert self.rebuild(ledger, contents(tmp_path, "a.jpg"), listing).number == 3
        assert list(rows(ledger)) == ["a.jpg"]

    def test_a_damaged_list_of_releases_is_named_and_dropped(self, ledger, listing, tmp_path):
        night(ledger, 1, "a.jpg", "bad.jpg", bad=("bad.jpg",))
        ledger.release(everything=True)
        [released] = ledger.files.names("released-*.parquet")
        ledger.files.write(released, b"torn")
        for use in (ledger.current, lambda: night(ledger, 2, "b.jpg")):
            with pytest.raises(StorageError, match=f"the ledger is damaged: {released} .*ledger rebuild"):
                use()
        version = self.rebuild(ledger, contents(tmp_path, "a.jpg"), listing)
        assert version.counts == {"registered": 1, "failed": 1}, "what the version knew is kept"
        assert version.releases is None
        night(ledger, 2, "b.jpg")

    @pytest.mark.parametrize("method", ["read_tagged", "verified"])
    def test_a_place_that_refuses_is_no_damage_and_nothing_is_removed(
        self, ledger, listing, tmp_path, monkeypatch, method
    ):
        night(ledger, 1, "a.jpg", "bad.jpg", bad=("bad.jpg",))
        before = ledger.current()

        def refuse(*args: Any) -> None:
            raise StorageError("cannot be read: Permission denied.")

        with monkeypatch.context() as patch:
            patch.setattr(ledger.files.files, method, refuse)
            with pytest.raises(StorageError, match="Permission denied"):
                self.rebuild(ledger, contents(tmp_path, "a.jpg"), listing)
        assert ledger.current() == before

    def test_a_rebuilding_that_fails_leaves_the_pointer(self, ledger, listing, tmp_path):
        night(ledger, 1, "a.jpg")
        ledger.files.write("current.json", b"{")
        path = contents(tmp_path, {**in_group("a.jpg"), "url": "s3://recordings/a.jpg"})
        with pytest.raises(ConfigError):
            self.rebuild(ledger, path, listing)
        assert ledger.files.read("current.json") == b"{"

    def test_an_object_that_stands_in_two_items_is_of_the_group(self, ledger, listing, tmp_path):
        self.rebuild(ledger, contents(tmp_path, "a.jpg", in_group("a.jpg"), in_group("b.jpg")), listing)
        assert {key: row["item_key"] for key, row in rows(ledger).items()} == {
            "a.jpg": "uuid-1",
            "b.jpg": "uuid-1",
        }

    @pytest.mark.parametrize("before", [[], ["a.jpg"]])
    def test_a_run_that_settles_while_the_dataset_is_read_is_not_lost(
        self, ledger, listing, tmp_path, before
    ):
        if before:
            night(ledger, 1, *before)
        seen, path = ledger.tag(), contents(tmp_path, "a.jpg")
        night(ledger, 2, "b.jpg")
        with pytest.raises(StorageError, match="while the dataset was read"):
            rebuild(ledger, path, listing, url_base=URL_BASE, prefix="", seen=seen, now=NOW)
        assert set(rows(ledger)) == {*before, "b.jpg"}

    def test_what_another_integration_has_put_into_the_dataset_stays_out(self, ledger, listing, tmp_path):
        path = contents(tmp_path, "in/a.jpg", "out/b.jpg", "out/known.jpg")
        night(ledger, 1, "out/known.jpg", "out/lost.jpg")
        self.rebuild(ledger, path, listing, prefix="in/")
        assert set(rows(ledger)) == {"in/a.jpg", "out/known.jpg"}

    def test_urls_of_another_form_are_refused(self, ledger, listing, tmp_path):
        path = contents(tmp_path, {**in_group("a.jpg"), "url": "s3://recordings/a.jpg"})
        with pytest.raises(ConfigError, match="do not begin with https://recordings"):
            self.rebuild(ledger, path, listing)
        assert ledger.current() is None


class TestCompare:
    def compare(self, ledger: Ledger, path: Path, listing: list[Path] | None = None, prefix: str = "") -> Any:
        scratch = ledger.files.scratch()
        found = compare(ledger.current(), path, listing, scratch, prefix=prefix)
        return [(one.mark, one.key, one.detail) for one in found]

    def test_each_key_has_a_mark(self, ledger, tmp_path):
        night(ledger, 1, "a.jpg", "lost.jpg", "u.jpg", "t.jpg", "bad.jpg", "q.jpg", bad=("bad.jpg", "q.jpg"))
        other = {"key": None, "url": "s3://other/x.jpg", "item_type": "image", "problem": "not ours"}
        path = contents(
            tmp_path,
            "a.jpg",
            "more.jpg",
            {**in_group("u.jpg"), "item_type": "image", "url": "s3://recordings/u.jpg"},
            in_group("t.jpg"),
            "bad.jpg",
            other,
        )
        assert self.compare(ledger, path) == [
            ("=", "a.jpg", None),
            ("*", "bad.jpg", "the ledger says quarantined"),
            ("-", "lost.jpg", None),
            ("+", "more.jpg", None),
            ("!", "s3://other/x.jpg", "not ours"),
            ("*", "t.jpg", "image in the ledger, image_group in the dataset"),
            ("*", "u.jpg", "another URL in the dataset: s3://recordings/u.jpg"),
        ]

    def test_with_the_listing_what_changed_and_what_is_gone_differs(self, ledger, listing, tmp_path):
        night(ledger, 1, "a.jpg", an_object("b.jpg", etag="old"), "gone.jpg")
        path = contents(tmp_path, "a.jpg", "b.jpg", "gone.jpg")
        assert {mark for mark, *_ in self.compare(ledger, path)} == {"="}
        assert self.compare(ledger, path, listing) == [
            ("=", "a.jpg", None),
            ("*", "b.jpg", "changed in the storage"),
            ("*", "gone.jpg", "gone from the storage"),
        ]

    def test_only_what_lies_under_the_prefix(self, ledger, tmp_path):
        night(ledger, 1, "in/a.jpg", "out/b.jpg")
        path = contents(tmp_path, "out/b.jpg", "out/c.jpg")
        assert self.compare(ledger, path, prefix="in/") == [("-", "in/a.jpg", None)]

    def test_a_missing_ledger_knows_nothing(self, ledger, tmp_path):
        assert self.compare(ledger, contents(tmp_path, "a.jpg")) == [("+", "a.jpg", None)]


class TestPrune:
    @pytest.fixture(autouse=True)
    def nights(self, ledger) -> list[str]:
        return [night(ledger, number, f"{number}.jpg") for number in range(1, 6)]

    def test_the_newest_stay(self, ledger, nights):
        assert prune(ledger, keep=3) == nights[:2]
        assert ledger.files.names("v*.parquet") == nights[2:]

    def test_what_is_in_force_and_what_its_run_began_from_stay(self, ledger, nights):
        assert prune(ledger) == nights[:3]
        assert ledger.before("night 5").file == nights[3]
        night(ledger, 5, "5.jpg", "more.jpg")

    def test_young_ones_stay(self, ledger, nights):
        old = time.time() - 3600
        os.utime(ledger.files.path(nights[1]), (old, old))
        assert prune(ledger, older_than=timedelta(minutes=30)) == nights[1:2]

    def test_a_dry_run_removes_nothing(self, ledger, nights):
        assert prune(ledger, keep=4, dry_run=True) == nights[:1]
        assert ledger.files.names("v*.parquet") == nights

    def test_nothing_to_remove(self, ledger, nights, tmp_path):
        assert prune(ledger, keep=9) == []
        assert prune(Ledger(tmp_path / "none")) == []
