"""The job record: every step is on disk, and no step leads where none may."""

from __future__ import annotations

import itertools
import os

import pytest

from cloud_sync.errors import EncordError, StorageError
from cloud_sync.manifest.model import ManifestEntry
from cloud_sync.registration import jobs
from cloud_sync.registration.jobs import NEXT, JobRecord, JobStatus
from cloud_sync.registration.model import Outcome, read_outcome
from cloud_sync.run_folder import RunFolder

ENTRY = ManifestEntry(number=7, name="manifests/0007-abc.json", items=3, files=3, sha256="abc")

MOVES = {
    JobStatus.PLANNED: jobs.refused,
    JobStatus.SUBMITTING: jobs.submitting,
    JobStatus.SUBMITTED: lambda folder, record: jobs.submitted(folder, record, "job-1"),
    JobStatus.DONE: lambda folder, record: jobs.finished(folder, record, JobStatus.DONE),
    JobStatus.FAILED: lambda folder, record: jobs.finished(folder, record, JobStatus.FAILED),
    JobStatus.CANCELLED: lambda folder, record: jobs.finished(folder, record, JobStatus.CANCELLED),
}
TORN = [
    b"",
    b'{"number": 7, "manif',
    b"\xff\xfe",
    b"[]",
    b"null",
    b'{"status": "exploded"}',
    b'{"number": 7}',
]
PAIRS = list(itertools.product(JobStatus, JobStatus))


@pytest.fixture
def folder(tmp_path):
    return RunFolder(tmp_path)


def test_a_new_record_is_planned_and_on_disk(folder):
    record = jobs.open_record(folder, ENTRY)
    assert record == JobRecord(number=7, manifest="manifests/0007-abc.json", items=3)
    assert folder.read_json("jobs/0007.json")["status"] == "planned"


def test_the_whole_way_is_read_back_after_each_step(folder):
    record = jobs.open_record(folder, ENTRY)
    for step in (
        lambda r: jobs.submitting(folder, r),
        lambda r: jobs.submitted(folder, r, "job-1"),
        lambda r: jobs.finished(folder, r, JobStatus.DONE),
    ):
        record = step(record)
        assert jobs.open_record(folder, ENTRY) == record
    assert (record.status, record.job_id, record.submissions) == (JobStatus.DONE, "job-1", 1)
    assert record.submitted_at is not None
    assert record.finished_at is not None
    assert record.submitted_at <= record.finished_at


@pytest.mark.parametrize(("now", "then"), [pair for pair in PAIRS if pair[1] in NEXT[pair[0]]])
def test_every_legal_step_is_written(folder, now, then):
    moved = MOVES[then](folder, JobRecord(number=7, manifest=ENTRY.name, items=3, status=now))
    assert moved.status is then
    assert jobs.open_record(folder, ENTRY) == moved


@pytest.mark.parametrize(("now", "then"), [pair for pair in PAIRS if pair[1] not in NEXT[pair[0]]])
def test_every_other_step_is_an_error_and_changes_nothing(folder, now, then):
    with pytest.raises(EncordError, match=f"from {now} to {then}") as caught:
        MOVES[then](folder, JobRecord(number=7, manifest=ENTRY.name, items=3, status=now))
    assert not caught.value.transient
    assert not folder.exists("jobs/0007.json")


def test_a_submission_counts_and_forgets_the_job_before(folder):
    cancelled = JobRecord(7, ENTRY.name, 3, JobStatus.SUBMITTED, submissions=1, job_id="job-1")
    again = jobs.submitting(folder, cancelled)
    assert (again.submissions, again.job_id) == (2, None)


@pytest.mark.parametrize("status", JobStatus)
def test_final_is_what_nothing_follows(status):
    assert status.final == (status in {JobStatus.DONE, JobStatus.FAILED, JobStatus.CANCELLED})


def test_a_record_of_another_manifest_is_refused(folder):
    jobs.open_record(folder, ENTRY)
    other = ManifestEntry(number=7, name="manifests/0007-def.json", items=3, files=3, sha256="def")
    with pytest.raises(EncordError, match=r"0007-abc.*0007-def.*Clear the run from its build task"):
        jobs.open_record(folder, other)


@pytest.mark.parametrize("data", TORN)
def test_a_record_that_cannot_be_read_says_what_to_do(folder, data):
    folder.write("jobs/0007.json", data)
    with pytest.raises(StorageError, match=r"is not a job record\. Clear the run from its build task"):
        jobs.open_record(folder, ENTRY)
    assert folder.read("jobs/0007.json") == data


# Another plan of the same run


def outcome_of(entry):
    return Outcome(
        manifest_number=entry.number,
        manifest=entry.name,
        job_id="job-1",
        status="done",
        items=3,
        made=3,
        done=3,
        failed=0,
        cancelled=0,
        unit_errors=(),
        job_errors=(),
        linked=0,
        submitted_at="",
        finished_at=jobs.now(),
    )


def entry(number, digest):
    return ManifestEntry(
        number=number, name=f"manifests/{number:04}-{digest}.json", items=3, files=3, sha256=digest
    )


def worked_on(folder, one):
    """Leave what the register stage leaves."""
    record = jobs.submitted(folder, jobs.submitting(folder, jobs.open_record(folder, one)), "job-1")
    folder.write_json(f"outcomes/{one.number:04}.json", outcome_of(one).to_json())
    return jobs.finished(folder, record, JobStatus.DONE)


def test_what_belongs_to_the_manifests_stays(folder):
    record = worked_on(folder, ENTRY)
    assert jobs.set_aside(folder, [ENTRY]) == 0
    assert jobs.open_record(folder, ENTRY) == record
    assert read_outcome(folder, 7).manifest == ENTRY.name
    assert folder.names("superseded/**/*") == []


def test_what_belongs_to_an_earlier_plan_makes_room_and_is_kept(folder):
    old, same, gone = entry(0, "aaa"), entry(1, "bbb"), entry(2, "ccc")
    for one in (old, same, gone):
        worked_on(folder, one)
    before = folder.read("jobs/0000.json")
    new = entry(0, "ddd")
    assert jobs.set_aside(folder, iter([new, same])) == 4
    assert folder.names("superseded/**/*") == [
        "superseded/jobs/0000-aaa.json",
        "superseded/jobs/0002-ccc.json",
        "superseded/outcomes/0000-aaa.json",
        "superseded/outcomes/0002-ccc.json",
    ]
    assert folder.read("superseded/jobs/0000-aaa.json") == before
    assert jobs.open_record(folder, new).status is JobStatus.PLANNED
    assert jobs.open_record(folder, same).status is JobStatus.DONE
    assert jobs.set_aside(folder, [new, same]) == 0


def test_a_plan_that_comes_back_overwrites_nothing(folder):
    first, second = entry(0, "aaa"), entry(0, "bbb")
    for one, other in ((first, second), (second, first), (first, second)):
        worked_on(folder, one)
        assert jobs.set_aside(folder, [other]) == 2
    assert folder.names("superseded/jobs/*") == [
        "superseded/jobs/0000-aaa-2.json",
        "superseded/jobs/0000-aaa.json",
        "superseded/jobs/0000-bbb.json",
    ]


class TestWhyTheRunStopped:
    @pytest.fixture
    def stopped(self, folder):
        folder.write_json("breaker.json", {})
        worked_on(folder, entry(0, "aaa"))
        return folder

    def test_it_goes_with_the_records_of_the_earlier_plan(self, stopped):
        jobs.set_aside(stopped, [entry(0, "bbb")], new_plan=True)
        assert stopped.names("*breaker*") == []
        assert stopped.exists("superseded/breaker.json")

    def test_it_overwrites_nothing(self, stopped):
        stopped.write_json("superseded/breaker.json", {})
        jobs.set_aside(stopped, [], new_plan=True)
        assert stopped.exists("superseded/breaker-2.json")

    def test_it_holds_for_the_same_manifests_and_in_a_retry_round(self, stopped):
        jobs.set_aside(stopped, [entry(0, "aaa")], new_plan=True)
        jobs.set_aside(stopped, [])
        assert stopped.exists("breaker.json")

    def test_it_goes_also_if_a_try_is_killed_in_between(self, stopped, monkeypatch):
        with monkeypatch.context() as patched:
            move, moved = RunFolder.move, []

            def move_once(self, *names):
                if moved:
                    raise KeyboardInterrupt
                moved.append(names)
                move(self, *names)

            patched.setattr(RunFolder, "move", move_once)
            with pytest.raises(KeyboardInterrupt):
                jobs.set_aside(stopped, [entry(0, "bbb")], new_plan=True)
        jobs.set_aside(stopped, [entry(0, "bbb")], new_plan=True)
        assert not stopped.exists("breaker.json")


@pytest.mark.parametrize("data", TORN)
def test_what_cannot_be_read_is_set_aside_too(folder, data):
    for name in ("jobs/0007.json", "outcomes/0007.json", "jobs/0009.json"):
        folder.write(name, data)
    assert jobs.set_aside(folder, [ENTRY]) == 3
    assert jobs.open_record(folder, ENTRY).status is JobStatus.PLANNED
    assert folder.read("superseded/outcomes/0007-unreadable.json") == data


def test_without_manifests_everything_is_set_aside(folder):
    assert jobs.set_aside(folder, []) == 0
    worked_on(folder, ENTRY)
    assert jobs.set_aside(folder, []) == 2


def test_a_job_that_may_be_at_work_is_named(folder, caplog):
    old = entry(0, "aaa")
    jobs.submitted(folder, jobs.submitting(folder, jobs.open_record(folder, old)), "job-1")
    jobs.set_aside(folder, [entry(0, "bbb")])
    assert "upload job job-1" in caplog.text


def test_the_folders_are_flushed_after_the_move(folder, monkeypatch):
    worked_on(folder, ENTRY)
    flushed = []
    open_file = os.open
    monkeypatch.setattr(os, "open", lambda path, flags: flushed.append(path) or open_file(path, flags))
    jobs.set_aside(folder, [])
    wanted = ("superseded", "superseded/jobs", "superseded/outcomes", "jobs", "outcomes", "")
    assert {folder.path(name) for name in wanted} <= set(flushed)


def test_a_file_that_cannot_be_moved_is_named(folder):
    worked_on(folder, ENTRY)
    folder.write("superseded", b"in the way")
    with pytest.raises(StorageError, match=r"jobs/0007\.json: cannot be moved: .*state folder") as caught:
        jobs.set_aside(folder, [])
    assert not caught.value.transient
    assert folder.exists("jobs/0007.json")
