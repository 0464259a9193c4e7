"""Quarantine in the ledger: what is in it, and letting it go, whatever runs are in flight."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta
from typing import Any

import pyarrow.parquet as pq
import pytest

from cloud_sync.errors import StorageError
from cloud_sync.ledger import VERSIONS_KEPT, Ledger, SettledFailure, SettledManifest
from cloud_sync.ledger import LedgerState as State
from cloud_sync.run_folder.files import Tag
from tests.unit.places import PLACES, make_folder
from tests.unit.tables import LONG_AGO, URL_BASE, Group, write_items
from tests.unit.test_ledger import NIGHT, WHY, night, rows, times, url

GROUP = Group("g/", ["g/1.jpg", "g/2.jpg"])


@pytest.fixture(params=PLACES)
def ledger(request, tmp_path) -> Ledger:
    return Ledger(make_folder(request.param, tmp_path).below("ledger").files)


def day(number: float) -> datetime:
    return LONG_AGO + number * NIGHT


def states(ledger: Ledger) -> dict[str, str]:
    version = ledger.current()
    assert version is not None
    return {key: row["state"] for key, row in rows(version).items()}


def test_what_is_quarantined_is_told_with_its_history(ledger):
    assert list(ledger.quarantined()) == []
    night(ledger, 1, ["b.jpg", "a.jpg", "c.jpg", "d.jpg"], bad=("a.jpg",), failed=("b.jpg", "d.jpg"))
    night(ledger, 2, ["b.jpg"], bad=("b.jpg",))
    first, second = ledger.quarantined()
    assert (first.key, first.url, first.item_type, first.failure_class, first.attempts) == (
        "a.jpg",
        url("a.jpg"),
        "image",
        "corrupt",
        1,
    )
    assert (first.reason, first.remedy) == WHY
    assert (second.key, second.attempts, second.first_failed_at, second.last_failed_at) == (
        "b.jpg",
        2,
        day(1),
        day(2),
    )


def test_a_ledger_of_an_older_release_knows_no_reasons(ledger):
    version = night(ledger, 1, ["a.jpg", "b.jpg"], bad=("a.jpg",))
    older = pq.read_table(version.path).drop_columns(["reason", "remedy"])
    pointer = ledger.files.read_json("current.json")
    with ledger.files.writing_by_content("v000001", ".parquet") as draft:
        pq.write_table(older, draft.path)
    assert draft.ref is not None
    ledger.files.write_json("current.json", pointer | {"file": draft.ref.path, "sha256": draft.ref.sha256})
    [known] = ledger.quarantined()
    assert (known.key, known.reason, known.remedy) == ("a.jpg", "", "")
    night(ledger, 2, ["b.jpg"], bad=("b.jpg",))
    assert [(one.key, one.reason) for one in ledger.quarantined()] == [("a.jpg", ""), ("b.jpg", WHY[0])]


def test_more_than_is_read_at_once(ledger):
    keys = [f"{n:05}.jpg" for n in range(2500)]
    night(ledger, 1, keys, bad=tuple(keys))
    assert [one.key for one in ledger.quarantined()] == keys


@pytest.mark.parametrize(
    ("chosen", "released"),
    [
        ({"urls": [url("a.jpg"), url("ok.jpg"), "https://else/x"]}, {"a.jpg"}),
        ({"urls": [url("g/2.jpg")]}, {"g/1.jpg", "g/2.jpg"}),
        ({"classes": ["corrupt"]}, {"a.jpg", "b.jpg", "g/1.jpg", "g/2.jpg"}),
        ({"classes": ["missing"]}, set()),
        ({"everything": True}, {"a.jpg", "b.jpg", "g/1.jpg", "g/2.jpg"}),
        ({}, set()),
    ],
)
def test_what_is_released_is_tried_again_and_keeps_its_history(ledger, chosen, released):
    night(ledger, 1, ["a.jpg", "b.jpg", "ok.jpg", GROUP], bad=("a.jpg", "b.jpg", "g/1.jpg"))
    before = ledger.current()
    assert ledger.release(**chosen, now=day(1.5)) == len(released)
    after = ledger.current()
    assert {key for key, row in rows(after).items() if row["state"] == "failed"} == released
    assert {key: {**row, "state": ""} for key, row in rows(after).items()} == {
        key: {**row, "state": ""} for key, row in rows(before).items()
    }
    assert after.counts == {
        name: count
        for name, count in (("failed", len(released)), ("quarantined", 4 - len(released)), ("registered", 1))
        if count
    }
    if not released:
        assert after == before


def test_a_ledger_that_is_not_there_has_nothing_to_release(ledger):
    assert ledger.release(everything=True) == 0
    assert ledger.current() is None


def test_the_next_night_goes_on_counting(ledger):
    night(ledger, 1, ["a.jpg"], bad=("a.jpg",))
    ledger.release(everything=True, now=day(1.5))
    night(ledger, 2, ["a.jpg"], bad=("a.jpg",))
    assert times(rows(ledger.current())["a.jpg"]) == ("quarantined", 2, 1, 2, None)


class TestRunsInFlight:
    def test_a_run_that_began_before_the_release_keeps_it(self, ledger):
        night(ledger, 1, ["a.jpg"], bad=("a.jpg",))
        ledger.release(everything=True, now=day(1.5))  # night 2 has planned by now
        night(ledger, 2, ["b.jpg"])
        assert states(ledger) == {"a.jpg": "failed", "b.jpg": "registered"}

    def test_a_run_that_settles_once_more_begins_from_where_it_began(self, ledger):
        night(ledger, 1, ["a.jpg", "b.jpg"], bad=("a.jpg",), failed=("b.jpg",))
        night(ledger, 2, ["b.jpg", "c.jpg"], bad=("b.jpg", "c.jpg"))
        base = ledger.before("night 2")
        assert ledger.release(everything=True, now=day(2.5)) == 3
        assert ledger.before("night 2") == base
        released = ledger.current()
        assert (released.number, released.run_id) == (2, "night 2")
        for _ in range(2):
            again = night(ledger, 2, ["b.jpg", "c.jpg"], bad=("b.jpg", "c.jpg"))
            assert set(states(ledger).values()) == {"failed"}
            assert times(rows(again)["b.jpg"]) == ("failed", 2, 1, 2, None)
            assert again.number == 2

    def test_a_full_pass_that_failed_before_the_release_does_not_undo_it(self, ledger):
        night(ledger, 1, ["a.jpg"], bad=("a.jpg",))
        ledger.release(everything=True, now=day(2.5))
        night(ledger, 2, ["a.jpg"], bad=("a.jpg",))
        assert states(ledger) == {"a.jpg": "failed"}

    def test_an_old_run_that_settles_once_more_does_not_undo_it(self, ledger):
        night(ledger, 1, ["a.jpg"], bad=("a.jpg",))
        ledger.release(everything=True, now=day(1.5))
        night(ledger, 2, ["b.jpg"])
        night(ledger, 1, ["a.jpg"], bad=("a.jpg",))
        assert states(ledger) == {"a.jpg": "failed", "b.jpg": "registered"}

    def test_a_failure_after_the_release_counts(self, ledger):
        night(ledger, 1, ["a.jpg", "b.jpg"], bad=("a.jpg", "b.jpg"))
        ledger.release(everything=True, now=day(1.5))
        for _ in range(2):
            night(ledger, 2, ["a.jpg"], bad=("a.jpg",))
            assert states(ledger) == {"a.jpg": "quarantined", "b.jpg": "failed"}

    def test_several_releases_add_up(self, ledger):
        night(ledger, 1, ["a.jpg", "b.jpg"], bad=("a.jpg", "b.jpg"))
        ledger.release(urls=[url("a.jpg")], now=day(1.1))
        ledger.release(urls=[url("b.jpg")], now=day(1.2))
        night(ledger, 1, ["a.jpg", "b.jpg"], bad=("a.jpg", "b.jpg"))
        assert states(ledger) == {"a.jpg": "failed", "b.jpg": "failed"}
        assert len(ledger.files.names("released-*.parquet")) == 1

    def test_what_was_released_long_ago_is_forgotten(self, ledger):
        night(ledger, 1, ["a.jpg", "b.jpg"], bad=("a.jpg", "b.jpg"))
        ledger.release(urls=[url("a.jpg")], now=day(2))
        ledger.release(urls=[url("b.jpg")], now=day(40))
        night(ledger, 1, ["a.jpg", "b.jpg"], bad=("a.jpg", "b.jpg"))
        assert states(ledger) == {"a.jpg": "quarantined", "b.jpg": "failed"}

    def test_a_commit_waits_for_a_release_at_the_same_time(self, ledger, monkeypatch):
        night(ledger, 1, ["a.jpg"], bad=("a.jpg",))
        swap_json, releasing, committing = ledger.files.swap_json, threading.Event(), threading.Event()

        def slowly(name: str, value: Any, seen: Tag | None) -> bool:
            releasing.set()
            committing.wait(5)
            return swap_json(name, value, seen)

        monkeypatch.setattr(ledger.files, "swap_json", slowly)
        release = threading.Thread(target=lambda: ledger.release(everything=True, now=day(1.5)))
        release.start()
        assert releasing.wait(5)
        other = Ledger(ledger.files.files)
        commit = threading.Thread(target=lambda: night(other, 2, ["b.jpg"]))
        commit.start()
        commit.join(0.2)
        assert commit.is_alive()
        committing.set()
        release.join()
        commit.join()
        assert states(ledger) == {"a.jpg": "failed", "b.jpg": "registered"}


class TestCrash:
    def test_a_release_that_is_killed_before_the_pointer_changes_nothing(self, ledger, monkeypatch):
        night(ledger, 1, ["a.jpg"], bad=("a.jpg",))
        before = ledger.current()
        monkeypatch.setattr(ledger.files, "swap_json", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            ledger.release(everything=True)
        monkeypatch.undo()
        assert ledger.current() == before
        assert ledger.release(everything=True) == 1
        assert len(ledger.files.names("released-*.parquet")) == 1

    def test_damaged_releases_are_named(self, ledger):
        night(ledger, 1, ["a.jpg"], bad=("a.jpg",))
        ledger.release(everything=True)
        [name] = ledger.files.names("released-*.parquet")
        ledger.files.write(name, b"x")
        with pytest.raises(StorageError, match=name):
            night(ledger, 2, ["b.jpg"])

    def test_many_releases_in_one_night_keep_what_the_run_began_from(self, ledger):
        keys = tuple(f"{n:02}.jpg" for n in range(VERSIONS_KEPT + 5))
        night(ledger, 1, ["a.jpg"])
        night(ledger, 2, list(keys), bad=keys)
        for number, key in enumerate(keys):
            assert ledger.release(urls=[url(key)], now=day(3) + timedelta(minutes=number)) == 1
        assert ledger.before("night 2").number == 1
        version = night(ledger, 3, ["b.jpg"])
        assert (version.number, version.counts) == (3, {"failed": len(keys), "registered": 2})
        assert ledger.before("night 3").number == 2


def test_the_failures_of_a_manifest_that_ended_before_a_release_are_those_of_its_job(ledger, tmp_path):
    """Two manifests of one run: the release lies between their jobs."""
    items = write_items(tmp_path / "items.parquet", [["a.jpg"], ["b.jpg"]])
    night(ledger, 1, ["a.jpg", "b.jpg"], bad=("a.jpg", "b.jpg"))
    ledger.release(everything=True, now=day(2.5))
    ledger.commit(
        run_id="night 2",
        url_base=URL_BASE,
        items_path=items,
        manifests=[SettledManifest(n, f"m{n}", f"late job {n}", day(2 + n)) for n in (0, 1)],
        failures=[SettledFailure(url(key), "corrupt", State.QUARANTINED) for key in ("a.jpg", "b.jpg")],
    )
    assert states(ledger) == {"a.jpg": "failed", "b.jpg": "quarantined"}
