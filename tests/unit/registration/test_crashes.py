"""A register task that ends at any moment: the next one finishes its work, and nothing is lost or doubled.

The table of moments is made by one undisturbed run: before and after each file is written, before and after
each call of Encord takes effect.
"""

from __future__ import annotations

import errno
import tempfile
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from cloud_sync.errors import EncordError, StorageError
from cloud_sync.failures.accounting import refused_items
from cloud_sync.manifest.model import ITEMS_NAME, ManifestEntry
from cloud_sync.registration.errors import ManifestRefusedError
from cloud_sync.registration.folder import find_items
from cloud_sync.registration.jobs import JobStatus, open_record
from cloud_sync.registration.model import Outcome, Target, read_outcome
from cloud_sync.registration.register import Registrar
from cloud_sync.run_folder import RunFolder, local
from tests.unit.registration.fakes import FakeEncord, write_manifest

BACKING = Target("dataset-1", "Dataset", "folder-1", True, "credential-1", "Credential")
SEPARATE = replace(BACKING, is_backing_folder=False)
TARGETS = {"backing folder": BACKING, "separate folder": SEPARATE}
GROUP = ("s3://b/g/1.jpg", "s3://b/g/2.jpg")
MANIFESTS = (["s3://b/1.jpg", "s3://b/bad.jpg", GROUP], ["s3://b/2.jpg", "s3://b/3.jpg"])
GOOD = {("s3://b/1.jpg",), ("s3://b/2.jpg",), ("s3://b/3.jpg",), GROUP}

# Between these two, Encord has a job of which nothing is on disk but that the manifest was being sent.
SUBMIT_WINDOW = {"start: done", "jobs/0000.json submitted: begins", "jobs/0001.json submitted: begins"}


class KilledError(BaseException):
    """Stands for kill -9: nothing of the stage catches it."""


@dataclass
class Moments:
    """Notes each moment, and ends the task at one of them.

    Attributes:
        ends_at: Which; None for none.
        error: How: what is raised.
    """

    ends_at: int | None = None
    error: Exception | type[BaseException] = KilledError
    seen: list[str] = field(default_factory=list)

    def note(self, moment: str) -> None:
        self.seen.append(moment)
        if len(self.seen) - 1 == self.ends_at:
            raise self.error


class NotingEncord(FakeEncord):
    """Encord, each of whose calls has two moments. A job is pending once."""

    moments = Moments()

    def _called(self, name: str) -> None:
        super()._called(name)
        if name != "answer":
            self.moments.note(f"{name}: begins")


def _noting(name: str, method: Any) -> Any:
    def call(self: NotingEncord, *arguments: Any, **named: Any) -> Any:
        result = method(self, *arguments, **named)
        self.moments.note(f"{name}: done")
        return result

    return call


for _name, _method in {
    "start": "start_upload_job",
    "poll": "poll_upload_job",
    "link": "link_items",
}.items():
    setattr(NotingEncord, _method, _noting(_name, getattr(FakeEncord, _method)))


@dataclass
class Stage:
    """A run folder with manifests, and Encord."""

    folder: RunFolder
    target: Target
    encord: NotingEncord = field(default_factory=lambda: NotingEncord(polls_until_done=1))

    def __post_init__(self) -> None:
        self.entries = [write_manifest(self.folder, n, *urls) for n, urls in enumerate(MANIFESTS)]

    def run(self, moments: Moments) -> list[str]:
        """Do what a register task does, its waits included; return how the jobs ended."""
        self.encord.moments = moments
        registrar = Registrar(client=self.encord, folder=self.folder, target=self.target)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(RunFolder, "write_json", _noting_writes(moments))
            return [self._finish(registrar, entry) for entry in self.entries]

    def _finish(self, registrar: Registrar, entry: ManifestEntry) -> str:
        while not (record := registrar.advance(entry, resubmit_cancelled=True)).status.final:
            pass
        return record.status.value

    def check(self) -> None:
        """See that nothing is lost, nothing is there twice, no job is unobserved."""
        held = Counter(self.encord.files.values())
        assert held == dict.fromkeys(GOOD, 1)
        if not self.target.is_backing_folder:
            assert self.encord.linked == set(self.encord.items)
        outcomes = [read_outcome(self.folder, entry.number) for entry in self.entries]
        refused = refused_items(
            self.folder.path(ITEMS_NAME),
            list(zip(self.entries, outcomes, strict=True)),
            _Folder(self.encord),
        )
        assert [one.files for one in refused] == [("s3://b/bad.jpg",)]
        records = [open_record(self.folder, entry) for entry in self.entries]
        assert [record.status for record in records] == [JobStatus.DONE] * len(records)
        assert [record.job_id for record in records] == [outcome.job_id for outcome in outcomes]


@dataclass
class _Folder:
    encord: FakeEncord

    def find(self, items):
        return find_items(self.encord, "folder-1", items)

    def link(self, item_uuids):
        self.encord.link_items("dataset-1", item_uuids)


def _noting_writes(moments: Moments) -> Any:
    write_json = RunFolder.write_json

    def write(self: RunFolder, name: str, value: Any) -> None:
        what = f"{name} {value['status']}"
        moments.note(f"{what}: begins")
        write_json(self, name, value)
        moments.note(f"{what}: done")

    return write


def moments_of(target: Target) -> list[str]:
    with tempfile.TemporaryDirectory() as folder:
        moments = Moments()
        assert Stage(RunFolder(folder), target).run(moments) == ["done", "done"]
        return moments.seen


MOMENTS = {name: moments_of(target) for name, target in TARGETS.items()}
TABLE = [(name, at, moment) for name, seen in MOMENTS.items() for at, moment in enumerate(seen)]


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch):
    monkeypatch.setattr(local, "_fsync", lambda path: None)


@pytest.fixture(params=TARGETS)
def stage(request, tmp_path):
    return Stage(RunFolder(tmp_path), TARGETS[request.param])


def test_the_table_has_every_step_of_a_jobs_life():
    seen = MOMENTS["separate folder"][: len(MOMENTS["separate folder"]) // 2]
    assert seen == [
        "jobs/0000.json planned: begins",
        "jobs/0000.json planned: done",
        "jobs/0000.json submitting: begins",
        "jobs/0000.json submitting: done",
        "start: begins",
        "start: done",
        "jobs/0000.json submitted: begins",
        "jobs/0000.json submitted: done",
        "poll: begins",
        "poll: done",
        "poll: begins",
        "poll: done",
        "link: begins",
        "link: done",
        "outcomes/0000.json done: begins",
        "outcomes/0000.json done: done",
        "jobs/0000.json done: begins",
        "jobs/0000.json done: done",
    ]


@pytest.mark.parametrize(("target", "at", "moment"), TABLE)
def test_a_task_that_is_killed_is_finished_by_the_next(tmp_path, target, at, moment):
    stage = Stage(RunFolder(tmp_path), TARGETS[target])
    with pytest.raises(KilledError):
        stage.run(Moments(ends_at=at))
    assert stage.run(Moments()) == ["done", "done"]
    stage.check()
    assert len(stage.encord.sent) == len(MANIFESTS) + (moment in SUBMIT_WINDOW)


@pytest.mark.parametrize(("at", "moment"), list(enumerate(MOMENTS["separate folder"])))
def test_a_task_that_is_killed_at_the_same_moment_twice_is_finished_by_the_third(tmp_path, at, moment):
    stage = Stage(RunFolder(tmp_path), SEPARATE)
    for _ in range(2):
        with suppress(KilledError):
            stage.run(Moments(ends_at=at))
    assert stage.run(Moments()) == ["done", "done"]
    stage.check()


@pytest.mark.parametrize(("target", "at", "moment"), [row for row in TABLE if row[2].startswith(("s", "l"))])
def test_a_call_that_fails_for_now_is_made_up_for_by_the_next_task(tmp_path, target, at, moment):
    stage = Stage(RunFolder(tmp_path), TARGETS[target])
    with pytest.raises(EncordError, match="lost"):
        stage.run(Moments(ends_at=at, error=EncordError("lost", transient=True)))
    assert stage.run(Moments()) == ["done", "done"]
    stage.check()
    assert len(stage.encord.sent) <= len(MANIFESTS) + 1


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
@pytest.mark.parametrize("nth", range(10))
def test_a_disk_that_takes_nothing_is_a_typed_error_and_loses_nothing(stage, monkeypatch, nth, number):
    write_bytes, writes = Path.write_bytes, []

    def full(path, data):
        writes.append(path)
        if len(writes) == nth + 1:
            raise OSError(number, "no")
        return write_bytes(path, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(StorageError, match="cannot be written: no") as caught:
        stage.run(Moments())
    assert caught.value.where
    assert caught.value.remedy
    monkeypatch.undo()
    assert stage.run(Moments()) == ["done", "done"]
    stage.check()
    assert len(stage.encord.sent) <= len(MANIFESTS) + 1
    assert not list(stage.folder.root.rglob("*.tmp"))


def test_the_id_of_a_job_that_cannot_be_written_is_in_the_log(stage, monkeypatch, caplog):
    def full(self, name, value):
        if value["status"] == "submitted":
            raise StorageError("is full.", transient=True)
        write_json(self, name, value)

    write_json = RunFolder.write_json
    monkeypatch.setattr(RunFolder, "write_json", full)
    registrar = Registrar(client=stage.encord, folder=stage.folder, target=stage.target)
    stage.encord.moments = Moments()
    with pytest.raises(StorageError):
        registrar.advance(stage.entries[0])
    assert f"Encord works on manifest {stage.entries[0].name} as upload job job-1" in caplog.text


@pytest.mark.parametrize("left", [0, 1, 40])
def test_a_torn_record_is_a_typed_error(stage, left):
    stage.run(Moments())
    path = stage.folder.path("jobs/0000.json")
    path.write_bytes(path.read_bytes()[:left])
    with pytest.raises(StorageError, match="is not a job record") as caught:
        stage.run(Moments())
    assert (caught.value.where, len(stage.encord.sent)) == (str(path), len(MANIFESTS))
    assert caught.value.remedy


@pytest.mark.parametrize("content", [None, b"", b"{", b"{}", b"[]", b'{"unit_errors": 1}'])
def test_a_lost_or_damaged_outcome_is_written_again_when_the_task_is_cleared(stage, content):
    stage.run(Moments())
    path = stage.folder.path("outcomes/0000.json")
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)
        with pytest.raises(
            StorageError, match=r"outcomes/0000.json: is not .* Clear the task that writes it"
        ):
            read_outcome(stage.folder, 0)
    assert stage.run(Moments()) == ["done", "done"]
    stage.check()
    assert len(stage.encord.sent) == len(MANIFESTS)


def test_a_lost_outcome_of_a_refused_manifest_says_so(stage):
    stage.encord.raises["start"] = [ManifestRefusedError("too large.")]
    assert stage.run(Moments()) == ["failed", "done"]
    stage.folder.path("outcomes/0000.json").unlink()
    assert stage.run(Moments()) == ["failed", "done"]
    assert read_outcome(stage.folder, 0).job_errors == (
        "Encord refused this manifest; what it said is lost.",
    )


def test_a_cleared_task_returns_what_the_first_returned(stage):
    first = stage.run(Moments())
    before = [read_outcome(stage.folder, entry.number) for entry in stage.entries]
    assert stage.run(Moments()) == first
    assert [read_outcome(stage.folder, entry.number) for entry in stage.entries] == before
    assert all(isinstance(one, Outcome) for one in before)
