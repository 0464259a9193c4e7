"""Settle: every item of every manifest is accounted for."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

import pyarrow.parquet as pq
import pytest

from cloud_sync.errors import ConfigError
from cloud_sync.failures.model import NextStep
from cloud_sync.failures.settle import SettleContext, Settlement, settle
from cloud_sync.failures.verdict import Verdict, judge
from cloud_sync.integration import Failures
from cloud_sync.ledger import Ledger
from cloud_sync.manifest.model import ITEMS_NAME, ManifestEntry, ManifestIndex, write_index
from cloud_sync.planning.model import REGISTER_NAME
from cloud_sync.registration.model import BREAKER_NAME, Outcome, Trip, UnitError, outcome_name
from cloud_sync.run_folder import RunFolder, sha256_of
from tests.unit.failures.fakes import JPEG, FakeFolder, FakeStore
from tests.unit.tables import URL_BASE, Group, an_object, write_items


def url(key: str) -> str:
    return URL_BASE + key


def parse_url(text: str) -> str:
    if not text.startswith(URL_BASE):
        raise ConfigError("not of this bucket.")
    return text.removeprefix(URL_BASE)


def keys_of(one: str | dict[str, Any] | Group) -> list[str]:
    objects = one.objects if isinstance(one, Group) else [one]
    return [obj if isinstance(obj, str) else obj["key"] for obj in objects]


class Run:
    """One run: manifests with items, outcomes as Encord gave them, and what there is to look at."""

    def __init__(self, root, *manifests: list[str | dict[str, Any] | Group], run_id: str = "night 1") -> None:
        self.folder = RunFolder(root / run_id)
        self.ledger = Ledger(root / "ledger")
        self.encord = FakeFolder()
        self.store = FakeStore({key: JPEG for items in manifests for one in items for key in keys_of(one)})
        self.opened = 0
        self.context = SettleContext(run_id, "cameras", "Cameras", URL_BASE, parse_url)
        self.entries = [
            ManifestEntry(
                n, f"manifests/{n:04}-abc.json", len(items), sum(map(len, map(keys_of, items))), "abc"
            )
            for n, items in enumerate(manifests)
        ]
        write_items(self.folder.path(ITEMS_NAME), manifests)
        self.folder.write(REGISTER_NAME, b"the plan")
        self.write_index()

    def write_index(self) -> None:
        digests = [sha256_of(self.folder.path(name)) for name in (REGISTER_NAME, ITEMS_NAME)]
        write_index(self.folder, ManifestIndex(tuple(self.entries), 1, *digests))

    def outcome(self, number: int, **changes: Any) -> None:
        """Write what became of a manifest; all registered unless told otherwise."""
        items = self.entries[number].items
        values = {
            "status": "done",
            "done": items,
            "failed": 0,
            "cancelled": 0,
            "unit_errors": (),
            "job_errors": (),
            **changes,
        }
        values.setdefault("made", values["done"])
        values.setdefault("job_id", f"job {number} of {self.context.run_id}")
        values.setdefault("finished_at", "2026-01-02T00:00:05+00:00")
        outcome = Outcome(
            manifest_number=number,
            manifest=self.entries[number].name,
            items=items,
            linked=0,
            submitted_at="2026-01-02T00:00:00+00:00",
            **values,
        )
        self.folder.write_json(outcome_name(number), outcome.to_json())

    def open_reader(self) -> FakeStore:
        self.opened += 1
        return self.store

    def settle(self) -> Settlement:
        return settle(
            self.folder,
            context=self.context,
            ledger=self.ledger,
            open_reader=self.open_reader,
            encord_folder=self.encord,
        )

    def states(self) -> dict[str, str]:
        version = self.ledger.current()
        table = pq.read_table(version.path).to_pylist() if version else []
        return {row["key"]: row["state"] for row in table}


def error(*keys: str, text: str = "cannot read it") -> UnitError:
    return UnitError(tuple(url(key) for key in keys), text, "unit 1", "Processing image")


def held(*items: str | tuple[str, ...]) -> list[tuple[str, ...]]:
    """Items as a folder holds them, by key or keys."""
    return [tuple(map(url, (one,) if isinstance(one, str) else one)) for one in items]


def counts(result: Settlement) -> tuple[int, int, int, int]:
    return result.registered, result.already_registered, result.failed, result.waiting_items


def test_all_registered_asks_neither_store_nor_encord(tmp_path):
    run = Run(tmp_path, ["a.jpg", "b.jpg"], ["c.jpg"])
    run.outcome(0)
    run.outcome(1)
    assert counts(run.settle()) == (3, 0, 0, 0)
    assert run.states() == {"a.jpg": "registered", "b.jpg": "registered", "c.jpg": "registered"}
    assert (run.opened, run.encord.reads) == (0, 0)


def test_unit_errors_name_the_failed(tmp_path):
    run = Run(tmp_path, ["a.jpg", "b.jpg", "c.jpg"])
    run.store.objects["b.jpg"] = b""
    run.outcome(
        0, done=1, failed=2, unit_errors=(error("b.jpg"), error("c.jpg", text=f"404 of {url('c.jpg')}"))
    )
    result = run.settle()
    assert counts(result) == (1, 0, 2, 0)
    assert run.states() == {"a.jpg": "registered", "b.jpg": "quarantined", "c.jpg": "failed"}
    assert run.encord.reads == 0
    empty, healthy = result.failures
    assert (empty.object_url, empty.failure_class, empty.title, empty.item_type) == (
        url("b.jpg"),
        "corrupt",
        "b.jpg",
        "image",
    )
    assert healthy.reason == "The object looks healthy. Encord said: 404 of <url>"
    assert (healthy.attempts, healthy.first_failed_at, healthy.last_failed_at) == (
        1,
        "2026-01-02T00:00:05+00:00",
        "2026-01-02T00:00:05+00:00",
    )
    assert (healthy.upload_job_id, healthy.unit_id, healthy.manifest) == (
        "job 0 of night 1",
        "unit 1",
        "manifests/0000-abc.json",
    )
    assert (healthy.integration, healthy.dataset, healthy.run_id) == ("cameras", "Cameras", "night 1")
    assert (empty.key, empty.next_step) == ("b.jpg", NextStep.QUARANTINED)
    assert (healthy.key, healthy.next_step) == ("c.jpg", NextStep.RETRIED)
    assert result.quarantined_files == 1


def test_skipped_duplicates_are_found_in_the_folder_and_linked(tmp_path):
    run = Run(tmp_path, ["a.jpg", "b.jpg", "c.jpg"], ["d.jpg"])
    run.outcome(0, done=1)
    run.outcome(1)
    run.encord.held = held("a.jpg", "other.jpg", "b.jpg", "c.jpg", "d.jpg")
    assert counts(run.settle()) == (2, 2, 0, 0)
    assert run.encord.linked == [["item-0", "item-2", "item-3"]]
    assert set(run.states().values()) == {"registered"}


def test_skipped_duplicates_that_encord_counts_as_done_are_not_registered_twice(tmp_path):
    run = Run(tmp_path, ["a.jpg", "b.jpg", "c.jpg"])
    run.outcome(0, made=1, done=3)
    run.encord.held = held("a.jpg", "b.jpg", "c.jpg")
    assert counts(run.settle()) == (1, 2, 0, 0)


def test_what_neither_counts_nor_folder_show_has_failed(tmp_path):
    run = Run(tmp_path, ["a.jpg", "b.jpg"])
    run.outcome(0, done=0)
    run.encord.held = held("a.jpg")
    result = run.settle()
    assert counts(result) == (0, 1, 1, 0)
    [failure] = result.failures
    assert failure.object_url == url("b.jpg")
    assert (
        failure.reason == "The object looks healthy. Encord neither registered it nor named an error for it."
    )
    assert run.states() == {"a.jpg": "registered", "b.jpg": "failed"}


def test_a_cancelled_job_leaves_the_rest_for_the_next_run(tmp_path):
    run = Run(tmp_path, ["a.jpg", "b.jpg"])
    run.outcome(0, status="cancelled", done=1, cancelled=1)
    run.encord.held = held("a.jpg")
    result = run.settle()
    assert counts(result) == (1, 0, 1, 0)
    assert result.failures[0].reason.endswith("The upload job was cancelled before this file.")
    assert run.states() == {"a.jpg": "registered", "b.jpg": "failed"}


def test_with_ignore_errors_false_one_bad_file_fails_its_manifest(tmp_path):
    run = Run(tmp_path, ["bad.jpg", "good.jpg"])
    run.store.objects["bad.jpg"] = b"text"
    run.outcome(
        0, status="failed", done=0, failed=1, unit_errors=(error("bad.jpg"),), job_errors=("1 bad file",)
    )
    result = run.settle()
    assert counts(result) == (0, 0, 2, 0)
    assert {row.title: row.failure_class for row in result.failures} == {
        "bad.jpg": "wrong_type",
        "good.jpg": "transient",
    }
    assert result.failures[1].reason.endswith("The whole manifest was refused: 1 bad file")
    assert run.states() == {"bad.jpg": "quarantined", "good.jpg": "failed"}


def test_a_job_that_was_refused_only_for_what_failed_before_fails_no_night(tmp_path):
    for number in (1, 2):
        run = Run(tmp_path, ["a.jpg"], run_id=f"night {number}")
        run.store.objects["a.jpg"] = "forbidden"
        run.outcome(0, status="failed", done=0, failed=1, unit_errors=(error("a.jpg"),), job_errors=("1",))
        result = run.settle()
        verdict = judge([], result, Failures(), failures_csv="failures.csv").verdict
        assert result.broken_jobs == []
        assert verdict is (Verdict.FAILED if number == 1 else Verdict.OK_WITH_QUARANTINE)


def test_the_neighbour_of_a_bad_file_is_never_quarantined_for_it(tmp_path):
    for number in range(1, 6):
        run = Run(tmp_path, ["bad.jpg", "good.jpg"], run_id=f"night {number}")
        run.outcome(0, status="failed", done=0, failed=1, unit_errors=(error("bad.jpg"),))
        run.settle()
    assert run.states() == {"bad.jpg": "quarantined", "good.jpg": "failed"}


def test_a_manifest_without_an_outcome_waits_and_stays_out_of_the_ledger(tmp_path):
    run = Run(tmp_path, ["a.jpg"], ["b.jpg", "c.jpg"])
    run.outcome(0)
    result = run.settle()
    assert counts(result) == (1, 0, 0, 2)
    assert [entry.number for entry in result.waiting] == [1]
    assert run.states() == {"a.jpg": "registered"}


def test_an_outcome_of_another_manifest_says_nothing(tmp_path):
    run = Run(tmp_path, ["a.jpg", "new.jpg"])
    run.outcome(0)
    run.entries[0] = replace(run.entries[0], name="manifests/0000-def.json")
    run.write_index()
    assert counts(run.settle()) == (0, 0, 0, 2)
    assert run.states() == {}


@pytest.mark.parametrize("changed", [REGISTER_NAME, ITEMS_NAME])
def test_manifests_of_another_plan_count_as_unbuilt(tmp_path, changed):
    run = Run(tmp_path, ["a.jpg"])
    run.outcome(0)
    run.folder.write(changed, b"of a later try")
    assert run.settle().unbuilt
    assert run.states() == {}


def test_nothing_built_or_nothing_ended_writes_no_ledger(tmp_path):
    run = Run(tmp_path, ["a.jpg"])
    assert counts(run.settle()) == (0, 0, 0, 1)
    assert run.ledger.current() is None
    empty = RunFolder(tmp_path / "plan only")
    result = settle(
        empty,
        context=run.context,
        ledger=run.ledger,
        open_reader=run.open_reader,
        encord_folder=run.encord,
    )
    assert counts(result) == (0, 0, 0, 0)


def test_what_is_quarantined_is_counted_also_where_nothing_failed(tmp_path):
    run = Run(tmp_path, ["a.jpg", "b.jpg"])
    run.store.objects |= {"a.jpg": b"", "b.jpg": b""}
    run.outcome(0, done=0, failed=2, unit_errors=(error("a.jpg"), error("b.jpg")))
    assert run.settle().quarantined_files == 2
    run = Run(tmp_path, ["c.jpg"], run_id="night 2")
    assert run.settle().quarantined_files == 2
    run.outcome(0)
    assert run.settle().quarantined_files == 2


@pytest.mark.parametrize("named", [(), ("https://elsewhere/x.jpg",), (url("not-sent.jpg"),)])
def test_an_error_that_names_no_file_of_the_manifest_leaves_the_folder_to_decide(tmp_path, named):
    """Otherwise the file that really failed would pass as registered."""
    run = Run(tmp_path, ["a.jpg", "b.jpg"])
    run.outcome(0, done=1, failed=1, unit_errors=(UnitError(named, "odd", "unit 1", ""),))
    run.encord.held = held("a.jpg")
    result = run.settle()
    assert run.states() == {"a.jpg": "registered", "b.jpg": "failed"}
    assert {row.object_url for row in result.failures} == {url("b.jpg"), *named}
    steps = {row.object_url: row.next_step for row in result.failures}
    assert steps == {url("b.jpg"): NextStep.RETRIED} | dict.fromkeys(named, NextStep.NONE)
    assert (result.registered, result.already_registered) == (1, 0)


def test_attempts_and_times_go_on_from_the_nights_before(tmp_path):
    rows = []
    for number in range(1, 4):
        run = Run(tmp_path, ["a.jpg"], run_id=f"night {number}")
        run.outcome(0, done=0, failed=1, unit_errors=(error("a.jpg"),))
        [row] = run.settle().failures
        rows.append((row.attempts, row.failure_class, row.first_failed_at))
    since = "2026-01-02T00:00:05+00:00"
    assert rows == [(1, "transient", since), (2, "transient", since), (3, "rejected", since)]
    assert run.states() == {"a.jpg": "quarantined"}


def test_what_is_newly_quarantined_is_counted_as_the_ledger_counts_it(tmp_path):
    frames = ("g/1.jpg", "g/2.jpg", "g/3.jpg")
    run = Run(tmp_path, [Group("g/", frames, title="Crossing"), "a.jpg"])
    run.store.objects["g/2.jpg"] = b""
    run.outcome(0, done=1, failed=1, unit_errors=(error("g/2.jpg"),))
    result = run.settle()
    assert len(result.failures) == 1
    assert result.newly_quarantined == result.quarantined_files == 3


def test_a_url_that_was_not_sent_is_not_quarantined(tmp_path):
    run = Run(tmp_path, ["a.jpg"])
    run.outcome(0, done=1, failed=1, unit_errors=(error("x/never-sent.jpg"),))
    result = run.settle()
    assert [(row.failure_class, row.next_step) for row in result.failures] == [("missing", NextStep.NONE)]
    assert result.newly_quarantined == result.quarantined_files == 0


def test_what_was_released_since_it_failed_is_said_to_be_tried_again(tmp_path):
    run = Run(tmp_path, ["a.jpg", "b.jpg"])
    run.store.objects["b.jpg"] = b""
    run.outcome(0, done=1, failed=1, unit_errors=(error("b.jpg"),))
    run.settle()
    run.ledger.release(everything=True)
    result = run.settle()
    assert [row.next_step for row in result.failures] == [NextStep.RETRIED]
    assert (result.newly_quarantined, run.states()["b.jpg"]) == (0, "failed")


def test_what_another_run_has_registered_since_it_failed_is_not_said_to_be_quarantined(tmp_path):
    run = Run(tmp_path, ["b.jpg"])
    run.store.objects["b.jpg"] = b""
    run.outcome(0, done=0, failed=1, unit_errors=(error("b.jpg"),))
    run.settle()
    later = Run(tmp_path, ["b.jpg"], run_id="night 2")
    later.outcome(0, finished_at="2026-01-03T00:00:05+00:00")
    later.settle()
    assert [row.next_step for row in run.settle().failures] == [NextStep.NONE]


def test_what_failed_in_an_earlier_run_and_has_not_changed_is_told_apart(tmp_path):
    first = Run(tmp_path, ["a.jpg", "b.jpg"])
    first.outcome(0, done=0, failed=2, unit_errors=(error("a.jpg"), error("b.jpg")))
    assert first.settle().failed_before == 0
    changed = an_object("b.jpg", etag="changed")
    run = Run(tmp_path, ["a.jpg", changed, "c.jpg", "d.jpg"], run_id="night 2")
    errors = [error(key) for key in ("a.jpg", "b.jpg", "c.jpg", "not-sent.jpg")]
    run.outcome(0, done=1, failed=4, unit_errors=tuple(errors))
    run.encord.held = held("d.jpg")
    for _ in range(2):
        result = run.settle()
        assert (result.failed, result.failed_before) == (3, 1)


def test_nights_that_stopped_themselves_reject_nothing(tmp_path):
    rows = []
    for number in range(1, 8):
        run = Run(tmp_path, ["a.jpg"], run_id=f"night {number}")
        run.outcome(0, done=0, failed=1, unit_errors=(error("a.jpg"),))
        if number in (1, 2, 3, 6):
            run.folder.write_json(BREAKER_NAME, asdict(Trip("down", "down", 1, 1, 1)))
        [row] = run.settle().failures
        rows.append((row.attempts, row.failure_class))
    transient = [(number, "transient") for number in range(1, 7)]
    assert rows == [*transient, (7, "rejected")]


def test_a_stopped_night_rejects_nothing_that_failed_often_before(tmp_path):
    for number in range(1, 5):
        run = Run(tmp_path, ["a.jpg"], run_id=f"night {number}")
        run.outcome(0, done=0, failed=1, unit_errors=(error("a.jpg"),))
        if number == 4:
            run.ledger.release(everything=True)
            run.folder.write_json(BREAKER_NAME, asdict(Trip("down", "down", 1, 1, 1)))
        [row] = run.settle().failures
    assert (row.attempts, row.failure_class) == (4, "transient")


def test_settling_a_run_again_gives_the_same_ledger_and_failures(tmp_path):
    run = Run(tmp_path, ["a.jpg", "b.jpg"], ["c.jpg", "d.jpg"])
    run.outcome(0, done=1, failed=1, unit_errors=(error("b.jpg"),))
    run.outcome(1, done=1)
    run.encord.held = held("c.jpg")
    first = run.settle()
    content = run.ledger.current().path.read_bytes()
    second = run.settle()
    assert second.failures == first.failures
    assert [row.attempts for row in second.failures] == [1, 1]
    assert run.ledger.current().path.read_bytes() == content


class TestSettlingAgainAfterAnotherRun:
    """The version in force then holds what this run has found itself, and what happened since."""

    def failed(self, root, number: int, **changes: Any) -> Run:
        run = Run(root, ["a.jpg"], run_id=f"night {number}")
        errors = () if changes.get("job_id") == "" else (error("a.jpg"),)
        run.outcome(0, done=0, failed=1, unit_errors=errors, **changes)
        return run

    def another(self, root) -> None:
        other = Run(root, ["other.jpg"], run_id="another")
        other.outcome(0)
        other.settle()

    @pytest.mark.parametrize("job", [{}, {"job_id": "", "status": "failed"}])
    def test_its_own_failures_count_once(self, tmp_path, job):
        for number in (1, 2):
            finished = {"finished_at": f"2026-01-0{number}T00:00:00+00:00"}
            run = self.failed(tmp_path, number, **job, **finished)
            first = run.settle().failures
        self.another(tmp_path)
        for _ in range(2):
            again = run.settle()
            assert (again.failures, again.failed_before) == (first, 1)
        assert (first[0].attempts, first[0].failure_class) == (2, "transient")

    def test_failures_since_then_are_not_earlier_ones(self, tmp_path):
        for number in (1, 2, 3):
            run = self.failed(tmp_path, number, finished_at=f"2026-01-0{number}T00:00:00+00:00")
            run.settle()
        first = self.failed(tmp_path, 1, finished_at="2026-01-01T00:00:00+00:00")
        settled = first.settle()
        [row] = settled.failures
        assert (row.attempts, row.failure_class, settled.failed_before) == (1, "transient", 0)
        assert row.first_failed_at == row.last_failed_at


class TestWithoutALedger:
    """The upload of a given manifest: nothing before it, nothing after it."""

    def run(self, root) -> Run:
        run = Run(root, ["a.jpg", "b.jpg"])
        run.outcome(0, done=0, failed=2, unit_errors=(error("a.jpg"), error("b.jpg")))
        run.store.objects["b.jpg"] = b""
        run.ledger = None
        return run

    def test_failures_are_diagnosed_and_each_time_the_first(self, tmp_path):
        for _ in range(4):
            result = self.run(tmp_path).settle()
            assert [(row.failure_class, row.attempts) for row in result.failures] == [
                ("transient", 1),
                ("corrupt", 1),
            ]
            assert {row.next_step for row in result.failures} == {NextStep.NONE}
            assert result.quarantined_files is None
        assert not (tmp_path / "ledger").exists()

    def test_remedies_can_be_others(self, tmp_path):
        run = self.run(tmp_path)
        run.context = replace(run.context, remedies={"transient": "Upload it once more."})
        assert [row.remedy for row in run.settle().failures] == [
            "Upload it once more.",
            "Upload it again, or delete it.",
        ]


class TestFilesInSeveralItems:
    """A given manifest may have a file twice: as two items, or in a group and by itself."""

    def failed(self, run: Run, made: int, *errors: UnitError) -> list[tuple[str, str]]:
        run.outcome(0, done=made, failed=len(errors), unit_errors=errors)
        result = run.settle()
        assert result.registered + result.failed == run.entries[0].items
        return [(row.item_type, row.title) for row in result.failures]

    def test_an_item_that_stands_twice_fails_twice(self, tmp_path):
        run = Run(tmp_path, ["a.jpg", "a.jpg", "b.jpg"])
        assert self.failed(run, 1, error("a.jpg"), error("a.jpg")) == [("image", "a.jpg")] * 2

    def test_a_group_that_fails_leaves_its_file_by_itself_alone(self, tmp_path):
        run = Run(tmp_path, [Group("g", ["a.jpg", "b.jpg"]), "a.jpg"])
        failed = self.failed(run, 1, error("a.jpg", "b.jpg"))
        assert failed == [("image_group", "Title of g")] * 2

    def test_a_file_by_itself_that_fails_leaves_its_group_alone(self, tmp_path):
        run = Run(tmp_path, [Group("g", ["a.jpg", "b.jpg"]), "a.jpg"])
        assert self.failed(run, 1, error("a.jpg")) == [("image", "a.jpg")]

    def test_both_fail(self, tmp_path):
        run = Run(tmp_path, [Group("g", ["a.jpg", "b.jpg"]), "a.jpg"])
        failed = self.failed(run, 0, error("a.jpg"), error("a.jpg", "b.jpg"))
        assert sorted(failed) == [("image", "a.jpg")] + [("image_group", "Title of g")] * 2


def test_failures_come_in_the_order_of_their_urls(tmp_path):
    keys = [f"{n:02}.jpg" for n in range(30)]
    run = Run(tmp_path, keys)
    run.outcome(0, done=0, failed=30, unit_errors=tuple(error(key) for key in reversed(keys)))
    assert [row.title for row in run.settle().failures] == keys
