"""The register stage: each manifest is sent once, whatever is interrupted, and every end has an outcome."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cloud_sync.errors import ConfigError, EncordError, ManifestError
from cloud_sync.manifest.model import SentItem
from cloud_sync.registration import jobs
from cloud_sync.registration.breaker import Breaker, BreakerRule, BreakerTrippedError
from cloud_sync.registration.errors import EncordRefusedError, ManifestRefusedError
from cloud_sync.registration.jobs import JobStatus
from cloud_sync.registration.model import CANCELLED, JobState, Outcome, Target, read_outcome
from cloud_sync.registration.register import Registrar
from cloud_sync.run_folder import RunFolder
from tests.unit.registration.fakes import FakeEncord, write_manifest

TARGET = Target("dataset-1", "Dataset", "folder-1", True, "credential-1", "Credential")
SEPARATE = replace(TARGET, is_backing_folder=False)
URLS = ("s3://b/1.jpg", "s3://b/2.jpg", "s3://b/3.jpg")


class KilledError(BaseException):
    """Stands for a process that ends here: nothing of the stage catches it."""


@pytest.fixture
def folder(tmp_path):
    return RunFolder(tmp_path)


@pytest.fixture
def encord():
    return FakeEncord()


@pytest.fixture
def registrar(encord, folder):
    return Registrar(client=encord, folder=folder, target=TARGET)


def status_on_disk(folder) -> str:
    return folder.read_json("jobs/0000.json")["status"]


def test_a_manifest_is_sent_followed_and_accounted_for(registrar, encord, folder):
    entry = write_manifest(folder, 0, *URLS, "s3://b/bad.jpg")
    record = registrar.advance(entry)
    outcome = read_outcome(folder, 0)
    assert record.status is JobStatus.DONE
    assert (outcome.status, outcome.items, outcome.done, outcome.failed) == ("done", 4, 3, 1)
    assert [error.urls for error in outcome.unit_errors] == [("s3://b/bad.jpg",)]
    assert encord.sent == [folder.read(entry.name)]
    assert "link" not in encord.calls


def test_the_outcome_is_read_back_as_it_was_written(registrar, folder):
    registrar.advance(write_manifest(folder, 0, "s3://b/bad.jpg"))
    outcome = read_outcome(folder, 0)
    assert Outcome.from_json(outcome.to_json()) == outcome
    assert read_outcome(folder, 1) is None


def test_a_pending_job_is_polled_again_and_never_sent_again(registrar, encord, folder):
    encord.polls_until_done = 2
    entry = write_manifest(folder, 0, *URLS)
    statuses = [registrar.advance(entry).status.value for _ in range(4)]
    assert statuses == ["submitted", "submitted", "done", "done"]
    assert encord.calls == ["start", "answer", "poll", "poll", "poll"]


def test_a_finished_manifest_asks_encord_nothing(registrar, encord, folder):
    entry = write_manifest(folder, 0, *URLS)
    first = registrar.advance(entry)
    encord.calls.clear()
    assert registrar.advance(entry) == first
    assert encord.calls == []


def test_a_job_that_fails_is_an_outcome_and_no_error(encord, folder):
    registrar = Registrar(client=encord, folder=folder, target=TARGET, ignore_errors=False)
    record = registrar.advance(write_manifest(folder, 0, *URLS, "s3://b/bad.jpg"))
    outcome = read_outcome(folder, 0)
    assert record.status is JobStatus.FAILED
    assert (outcome.status, outcome.done, outcome.job_errors) == ("failed", 0, ("a unit failed",))


def test_submitting_is_on_disk_before_the_request(registrar, encord, folder):
    encord.raises["start"] = [KilledError()]
    with pytest.raises(KilledError):
        registrar.advance(write_manifest(folder, 0, *URLS))
    assert status_on_disk(folder) == "submitting"


def test_the_job_id_is_on_disk_before_the_first_poll(registrar, encord, folder):
    encord.raises["poll"] = [KilledError()]
    with pytest.raises(KilledError):
        registrar.advance(write_manifest(folder, 0, *URLS))
    assert folder.read_json("jobs/0000.json")["job_id"] == "job-1"
    assert status_on_disk(folder) == "submitted"


@pytest.mark.parametrize(
    ("killed_at", "sent"), [("start", 1), ("answer", 2), ("poll", 1), ("link", 1), ("items", 1)]
)
def test_a_task_killed_anywhere_is_finished_by_the_next(encord, folder, killed_at, sent):
    registrar = Registrar(client=encord, folder=folder, target=SEPARATE)
    known = write_manifest(folder, 1, "s3://b/1.jpg")  # in the folder, but never linked
    encord.start_upload_job(
        "folder-1", folder.path(known.name), encord_integration_uuid="credential-1", ignore_errors=True
    )
    encord.sent.clear()
    entry = write_manifest(folder, 0, *URLS)
    encord.raises[killed_at] = [KilledError()]
    with pytest.raises(KilledError):
        registrar.advance(entry)
    record = registrar.advance(entry)
    assert record.status is JobStatus.DONE
    assert len(encord.sent) == sent
    assert sorted(item.url for item in encord.items.values()) == sorted(URLS)
    assert encord.linked == set(encord.items)


@pytest.mark.parametrize("name", ["outcomes/0000.json", "jobs/0000.json"])
def test_a_task_killed_while_it_writes_the_end_is_finished_by_the_next(
    registrar, encord, folder, monkeypatch, name
):
    entry = write_manifest(folder, 0, *URLS)
    write_json = RunFolder.write_json

    def dying(self, wanted, value):
        if wanted == name and (name.startswith("outcomes") or value["status"] == "done"):
            raise KilledError
        write_json(self, wanted, value)

    monkeypatch.setattr(RunFolder, "write_json", dying)
    with pytest.raises(KilledError):
        registrar.advance(entry)
    monkeypatch.undo()
    assert registrar.advance(entry).status is JobStatus.DONE
    assert read_outcome(folder, 0).done == 3
    assert len(encord.sent) == 1


REFUSAL = ManifestRefusedError("Encord refused the request: title too long.", remedy="Correct what it names.")


def test_a_manifest_that_encord_will_not_take_has_failed(registrar, encord, folder):
    entry = write_manifest(folder, 0, *URLS)
    encord.raises["start"] = [REFUSAL]
    record = registrar.advance(entry)
    outcome = read_outcome(folder, 0)
    assert (record.status, record.job_id) == (JobStatus.FAILED, None)
    assert (outcome.status, outcome.manifest, outcome.job_id, outcome.items) == ("failed", entry.name, "", 3)
    assert (outcome.made, outcome.done, outcome.failed, outcome.cancelled, outcome.linked) == (0, 0, 0, 0, 0)
    assert outcome.job_errors == ("Encord refused the request: title too long. Correct what it names.",)
    assert (outcome.submitted_at, outcome.unit_errors) == ("", ())
    assert registrar.advance(entry, resubmit_cancelled=True) == record
    assert encord.calls == ["start"]


def test_a_task_killed_between_a_refusal_and_its_record_is_finished_by_the_next(
    registrar, encord, folder, monkeypatch
):
    entry = write_manifest(folder, 0, *URLS)
    encord.raises["start"] = [REFUSAL, REFUSAL]

    def dying(*_):
        raise KilledError

    monkeypatch.setattr(jobs, "finished", dying)
    with pytest.raises(KilledError):
        registrar.advance(entry)
    monkeypatch.undo()
    assert registrar.advance(entry).status is JobStatus.FAILED


def test_what_was_registered_before_the_refusal_is_linked(encord, folder):
    registrar = Registrar(client=encord, folder=folder, target=SEPARATE)
    entry = write_manifest(folder, 0, *URLS)
    encord.raises = {"answer": [EncordError("dropped", transient=True)], "start": []}
    with pytest.raises(EncordError, match="dropped"):
        registrar.advance(entry)
    encord.raises["start"] = [REFUSAL]
    assert registrar.advance(entry).status is JobStatus.FAILED
    assert encord.linked == set(encord.items)
    assert read_outcome(folder, 0).linked == 3


def test_a_refusal_the_first_time_looks_for_nothing_to_link(encord, folder):
    registrar = Registrar(client=encord, folder=folder, target=SEPARATE)
    encord.raises["start"] = [REFUSAL]
    registrar.advance(write_manifest(folder, 0, *URLS))
    assert encord.calls == ["start"]


def test_a_refusal_when_a_cancelled_job_is_sent_again(registrar, encord, folder):
    encord.polls_until_done = 1
    entry = write_manifest(folder, 0, *URLS)
    registrar.advance(entry)
    registrar.cancel(entry)
    encord.raises["start"] = [REFUSAL]
    assert registrar.advance(entry, resubmit_cancelled=True).status is JobStatus.FAILED
    assert read_outcome(folder, 0).job_id == ""


@pytest.mark.parametrize(
    "error", [EncordRefusedError("no", transient=True), ConfigError("no"), ManifestError("no")]
)
def test_a_clear_no_leads_back_to_planned(registrar, encord, folder, error):
    entry = write_manifest(folder, 0, *URLS)
    encord.raises["start"] = [error]
    with pytest.raises(type(error)):
        registrar.advance(entry)
    assert status_on_disk(folder) == "planned"
    assert registrar.advance(entry).status is JobStatus.DONE


def test_a_lost_answer_leads_to_a_second_sending_that_adds_nothing(registrar, encord, folder):
    entry = write_manifest(folder, 0, *URLS)
    encord.raises["answer"] = [EncordError("dropped", transient=True)]
    with pytest.raises(EncordError):
        registrar.advance(entry)
    assert status_on_disk(folder) == "submitting"
    record = registrar.advance(entry)
    assert (record.status, record.submissions, len(encord.items)) == (JobStatus.DONE, 2, 3)


def test_without_skip_duplicate_urls_a_lost_answer_stops_it_for_a_person(encord, folder):
    registrar = Registrar(client=encord, folder=folder, target=TARGET, skip_duplicate_urls=False)
    entry = write_manifest(folder, 0, *URLS)
    encord.raises["answer"] = [EncordError("dropped", transient=True)]
    with pytest.raises(EncordError, match="dropped"):
        registrar.advance(entry)
    with pytest.raises(EncordError, match="register every object twice") as caught:
        registrar.advance(entry)
    assert not caught.value.transient
    assert entry.name.split("/")[1] in caught.value.remedy
    assert len(encord.sent) == 1


def test_without_skip_duplicate_urls_a_clear_no_may_be_tried_again(encord, folder):
    registrar = Registrar(client=encord, folder=folder, target=TARGET, skip_duplicate_urls=False)
    entry = write_manifest(folder, 0, *URLS)
    encord.raises["start"] = [EncordRefusedError("busy", transient=True)]
    with pytest.raises(EncordRefusedError):
        registrar.advance(entry)
    assert registrar.advance(entry).status is JobStatus.DONE


def test_a_state_that_cannot_be_had_now_counts_as_pending(registrar, encord, folder):
    entry = write_manifest(folder, 0, *URLS)
    encord.raises["poll"] = [EncordError("busy", transient=True)]
    assert registrar.advance(entry).status is JobStatus.SUBMITTED
    assert registrar.advance(entry).status is JobStatus.DONE


def test_a_job_that_encord_does_not_have_is_an_error(registrar, encord, folder):
    encord.raises["poll"] = [EncordRefusedError("gone")]
    with pytest.raises(EncordRefusedError, match="gone"):
        registrar.advance(write_manifest(folder, 0, *URLS))


def test_an_edited_manifest_is_not_sent(registrar, encord, folder):
    entry = write_manifest(folder, 0, *URLS)
    folder.write(entry.name, folder.read(entry.name).replace(b"1.jpg", b"9.jpg"))
    with pytest.raises(ManifestError, match="not the file that the build stage wrote"):
        registrar.advance(entry)
    assert encord.calls == []


def test_a_target_without_a_folder_is_an_error(encord, folder):
    registrar = Registrar(client=encord, folder=folder, target=replace(TARGET, folder_uuid=None))
    with pytest.raises(EncordError, match="Clear the build task"):
        registrar.advance(write_manifest(folder, 0, *URLS))
    assert encord.calls == []


def test_items_of_a_separate_folder_are_linked_before_the_record_is_done(encord, folder):
    registrar = Registrar(client=encord, folder=folder, target=SEPARATE)
    registrar.advance(write_manifest(folder, 0, *URLS, "s3://b/bad.jpg"))
    assert encord.linked == set(encord.items)
    assert read_outcome(folder, 0).linked == 3
    assert "items" not in encord.calls  # the job named all of them


def test_items_of_other_manifests_are_not_linked(encord, folder):
    registrar = Registrar(client=encord, folder=folder, target=SEPARATE)
    for number, urls in ((1, ["s3://b/other.jpg"]), (2, URLS[:1])):
        stray = write_manifest(folder, number, *urls)
        encord.start_upload_job(
            "folder-1", folder.path(stray.name), encord_integration_uuid="credential-1", ignore_errors=True
        )
    registrar.advance(write_manifest(folder, 0, *URLS))
    assert {encord.items[uuid].url for uuid in encord.linked} == set(URLS)


def test_a_job_cancelled_in_encord_is_an_outcome(registrar, encord, folder):
    encord.polls_until_done = 1
    entry = write_manifest(folder, 0, *URLS)
    registrar.advance(entry)
    registrar.cancel(entry)
    record = registrar.advance(entry)
    assert record.status is JobStatus.CANCELLED
    assert (read_outcome(folder, 0).status, read_outcome(folder, 0).cancelled) == ("cancelled", 3)


def test_a_job_cancelled_with_its_task_is_sent_again_by_the_next_task(registrar, encord, folder):
    encord.polls_until_done = 1
    entry = write_manifest(folder, 0, *URLS)
    registrar.advance(entry)
    registrar.cancel(entry)
    encord.polls_until_done = 0
    record = registrar.advance(entry, resubmit_cancelled=True)
    assert (record.status, record.job_id, record.submissions) == (JobStatus.DONE, "job-2", 2)


def test_a_job_that_this_task_started_is_not_sent_again(registrar, encord, folder, monkeypatch):
    cancelled = JobState(CANCELLED, 0, 0, 0, 3, (), (), ())
    monkeypatch.setattr(encord, "poll_upload_job", lambda *_: cancelled)
    record = registrar.advance(write_manifest(folder, 0, *URLS), resubmit_cancelled=True)
    assert (record.status, len(encord.sent)) == (JobStatus.CANCELLED, 1)


def test_without_skip_duplicate_urls_a_cancelled_job_is_not_sent_again(encord, folder):
    registrar = Registrar(client=encord, folder=folder, target=TARGET, skip_duplicate_urls=False)
    encord.polls_until_done = 1
    entry = write_manifest(folder, 0, *URLS)
    registrar.advance(entry)
    registrar.cancel(entry)
    assert registrar.advance(entry, resubmit_cancelled=True).status is JobStatus.CANCELLED


def test_cancelling_a_finished_manifest_asks_encord_nothing(registrar, encord, folder):
    entry = write_manifest(folder, 0, *URLS)
    registrar.advance(entry)
    registrar.cancel(entry)
    assert "cancel" not in encord.calls
    assert jobs.open_record(folder, entry).status is JobStatus.DONE


GROUP = ("s3://b/g/1.jpg", "s3://b/g/2.jpg")


def test_groups_that_were_never_linked_are_linked_by_their_whole_list_of_files(encord, folder):
    registrar = Registrar(client=encord, folder=folder, target=SEPARATE)
    stray = [encord.hold(SentItem(0, "image_group", GROUP, GROUP[0]))]
    stray += [encord.hold(SentItem(0, "image", URLS[:1]))]
    others = [
        encord.hold(SentItem(0, "image_group", GROUP[::-1], GROUP[0])),
        encord.hold(SentItem(0, "image_sequence", GROUP, GROUP[0])),
    ]
    registrar.advance(write_manifest(folder, 0, GROUP, *URLS))
    assert read_outcome(folder, 0).linked == 4
    assert encord.linked == set(encord.items) - set(others)
    assert encord.linked >= set(stray)


def test_a_failed_group_is_one_item(encord, folder):
    registrar = Registrar(client=encord, folder=folder, target=SEPARATE)
    registrar.advance(write_manifest(folder, 0, GROUP, ("s3://b/bad.jpg", "s3://b/good.jpg")))
    outcome = read_outcome(folder, 0)
    assert (outcome.items, outcome.made, outcome.failed, outcome.linked) == (2, 1, 1, 1)
    assert "items" not in encord.calls  # counts account for all of them


# The circuit breaker


def stopping(encord, folder, **changes):
    breaker = Breaker(folder, BreakerRule(after_manifests=1))
    return Registrar(client=encord, folder=folder, target=TARGET, breaker=breaker, **changes)


def test_nothing_is_sent_once_most_fails_for_one_cause(encord, folder):
    registrar = stopping(encord, folder)
    registrar.advance(write_manifest(folder, 0, "s3://b/bad-1.jpg", "s3://b/bad-2.jpg"))
    entry = write_manifest(folder, 1, *URLS)
    with pytest.raises(BreakerTrippedError, match="2 of the first 2 items failed") as caught:
        registrar.advance(entry)
    assert not caught.value.transient
    assert len(encord.sent) == 1
    assert jobs.open_record(folder, entry).status is JobStatus.PLANNED


def test_a_job_that_was_sent_before_is_followed_to_its_end(encord, folder):
    registrar = stopping(encord, folder)
    encord.polls_until_done = 1
    entry = write_manifest(folder, 1, *URLS)
    registrar.advance(entry)
    encord.polls_until_done = 0
    registrar.advance(write_manifest(folder, 0, "s3://b/bad.jpg"))
    assert registrar.advance(entry).status is JobStatus.DONE
    assert read_outcome(folder, 1).made == 3
