"""The job record: every step is on disk, and no step leads where none may."""

from __future__ import annotations

import itertools

import pytest

from cloud_sync.errors import EncordError
from cloud_sync.manifest.model import ManifestEntry
from cloud_sync.registration import jobs
from cloud_sync.registration.jobs import NEXT, JobRecord, JobStatus
from cloud_sync.run_folder import RunFolder

ENTRY = ManifestEntry(number=7, name="manifests/0007-abc.json", items=3, sha256="abc")

MOVES = {
    JobStatus.PLANNED: jobs.refused,
    JobStatus.SUBMITTING: jobs.submitting,
    JobStatus.SUBMITTED: lambda folder, record: jobs.submitted(folder, record, "job-1"),
    JobStatus.DONE: lambda folder, record: jobs.finished(folder, record, JobStatus.DONE),
    JobStatus.FAILED: lambda folder, record: jobs.finished(folder, record, JobStatus.FAILED),
    JobStatus.CANCELLED: lambda folder, record: jobs.finished(folder, record, JobStatus.CANCELLED),
}
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
    other = ManifestEntry(number=7, name="manifests/0007-def.json", items=3, sha256="def")
    with pytest.raises(EncordError, match=r"0007-abc.*0007-def"):
        jobs.open_record(folder, other)
