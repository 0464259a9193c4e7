"""The register task: sends its shard, waits without a worker, and comes back to what it began."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace

import pytest
from airflow.sdk import DAG
from airflow.sdk.exceptions import TaskDeferred

from cloud_sync.errors import ConfigError, EncordError
from cloud_sync.integration import Integration
from cloud_sync.manifest.model import ManifestIndex, write_index
from cloud_sync.registration import jobs
from cloud_sync.registration.errors import EncordRefusedError, ManifestRefusedError
from cloud_sync.registration.model import Target, read_outcome, write_target
from cloud_sync_airflow.hooks.encord import EncordHook
from cloud_sync_airflow.operators import register
from cloud_sync_airflow.operators.register import RegisterOperator
from tests.unit.registration.fakes import FakeEncord, write_manifest

INTEGRATION = Integration.model_validate(
    {
        "name": "streets",
        "storage": {"provider": "s3", "connection_id": "aws", "bucket": "media"},
        "target": {"connection_id": "encord_streets", "dataset": "Streets"},
    }
)


@pytest.fixture
def encord(monkeypatch):
    encord = FakeEncord()
    monkeypatch.setattr(EncordHook, "get_conn", lambda hook: encord)
    return encord


@pytest.fixture
def context():
    return {"dag_run": SimpleNamespace(run_id="manual__1")}


@pytest.fixture
def task(tmp_path, monkeypatch, encord):
    monkeypatch.setenv("AIRFLOW__CLOUD_SYNC__STATE_FOLDER", str(tmp_path))
    return RegisterOperator(
        task_id="register", integration=INTEGRATION.model_dump(mode="json"), shard=0, hold_s=0
    )


@pytest.fixture
def folder(task, context):
    folder = task.run_folder(context)
    task.freeze_integration(folder, INTEGRATION)
    write_target(folder, Target("dataset-1", "Streets", "folder-1", True, "credential-1", "Credential"))
    entry = write_manifest(folder, 0, "s3://media/1.jpg", "s3://media/bad.jpg")
    write_index(folder, ManifestIndex((entry,), shards=1))
    return folder


def deferred(task, context):
    with pytest.raises(TaskDeferred) as caught:
        task.execute(context)
    return caught.value


def event(kind):
    return {"event": kind, "job_id": "job-1", "message": ""}


def test_small_jobs_finish_without_waiting(task, context, folder):
    assert task.execute(context) == {"manifests": 1, "done": 1, "failed": 0, "cancelled": 0}
    assert (read_outcome(folder, 0).done, read_outcome(folder, 0).failed) == (1, 1)


def test_a_shard_without_manifests_needs_no_connection(task, context, monkeypatch):
    monkeypatch.setattr(EncordHook, "get_conn", lambda hook: pytest.fail("connected"))
    assert task.execute(context) == {"manifests": 0, "done": 0, "failed": 0, "cancelled": 0}


def test_only_the_manifests_of_its_shard_are_sent(task, context, folder, encord):
    entries = [write_manifest(folder, number, f"s3://media/{number}.jpg") for number in range(5)]
    write_index(folder, ManifestIndex(tuple(entries), shards=2))
    task.shard = 1
    assert task.execute(context) == {"manifests": 2, "done": 2, "failed": 0, "cancelled": 0}
    assert sorted(item.url for item in encord.items.values()) == ["s3://media/1.jpg", "s3://media/3.jpg"]


def test_a_pending_job_is_waited_for_in_the_triggerer(task, context, folder, encord):
    encord.polls_until_done = 1
    wait = deferred(task, context)
    _, arguments = wait.trigger.serialize()
    assert wait.method_name == "resume"
    assert arguments.pop("deadline") == pytest.approx(time.time() + 86400, abs=60)
    assert arguments == {
        "encord_conn_id": "encord_streets",
        "folder_uuid": "folder-1",
        "job_id": "job-1",
        "first_interval_s": 10,
        "longest_interval_s": 60,
    }
    assert task.resume(context, event("finished"))["done"] == 1
    assert len(encord.sent) == 1


def test_it_waits_for_each_manifest_in_turn(task, context, folder, encord):
    entries = [write_manifest(folder, number, f"s3://media/{number}.jpg") for number in range(2)]
    write_index(folder, ManifestIndex(tuple(entries), shards=1))
    encord.polls_until_done = 1
    assert deferred(task, context).trigger.job_id == "job-1"
    with pytest.raises(TaskDeferred) as caught:
        task.resume(context, event("finished"))
    assert caught.value.trigger.job_id == "job-2"
    assert task.resume(context, event("finished")) == {"manifests": 2, "done": 2, "failed": 0, "cancelled": 0}


def test_a_manifest_that_encord_will_not_take_does_not_hold_up_the_next(task, context, folder, encord):
    entries = [write_manifest(folder, number, f"s3://media/{number}.jpg") for number in range(3)]
    write_index(folder, ManifestIndex(tuple(entries), shards=1))
    encord.raises["start"] = [ManifestRefusedError("too large.")]
    assert task.execute(context) == {"manifests": 3, "done": 2, "failed": 1, "cancelled": 0}
    assert read_outcome(folder, 0).job_errors == ("too large.",)
    assert sorted(item.url for item in encord.items.values()) == ["s3://media/1.jpg", "s3://media/2.jpg"]


@pytest.mark.parametrize(
    "error", [ConfigError("no right"), EncordRefusedError("no folder"), EncordError("busy", transient=True)]
)
def test_a_refusal_that_concerns_everything_ends_the_task_at_once(task, context, folder, encord, error):
    entries = [write_manifest(folder, number, f"s3://media/{number}.jpg") for number in range(2)]
    write_index(folder, ManifestIndex(tuple(entries), shards=1))
    encord.raises["start"] = [error]
    with pytest.raises(type(error)):
        task.execute(context)
    assert encord.calls == ["start"]


PAUSE = EncordRefusedError("Encord asks for fewer requests.", transient=True, retry_after_s=120)


def test_a_pause_that_encord_asks_for_is_waited_for_in_the_triggerer(task, context, folder, encord):
    encord.raises["start"] = [PAUSE, PAUSE]
    before = time.time()
    wait = deferred(task, context)
    assert wait.trigger.until == pytest.approx(before + 120, abs=10)
    assert wait.trigger.pause_s == 120
    assert (wait.method_name, wait.kwargs) == ("go_on", {"paused_since": pytest.approx(before, abs=10)})
    with pytest.raises(TaskDeferred) as again:
        task.go_on(context, None, **wait.kwargs)
    assert again.value.kwargs == wait.kwargs
    assert task.go_on(context, None, **wait.kwargs)["done"] == 1
    assert len(encord.sent) == 1


def test_a_short_pause_is_long_enough_for_airflow(task, context, folder, encord):
    encord.raises["start"] = [EncordRefusedError("slow", transient=True, retry_after_s=1)]
    before = time.time()
    assert deferred(task, context).trigger.until >= before + 10


def test_pauses_without_an_end_fail_the_task(task, context, folder, encord):
    encord.raises["start"] = [PAUSE]
    with pytest.raises(EncordRefusedError, match="fewer requests"):
        task.go_on(context, None, paused_since=time.time() - 25 * 3600)


def test_a_manifest_that_was_taken_ends_a_row_of_pauses(task, context, folder, encord):
    entries = [write_manifest(folder, number, f"s3://media/{number}.jpg") for number in range(2)]
    write_index(folder, ManifestIndex(tuple(entries), shards=1))
    encord.raises["start"] = [PAUSE]
    with pytest.raises(TaskDeferred):
        task.execute(context)
    start, calls = encord.start_upload_job, []

    def second_is_paused(*arguments, **named):
        calls.append(1)
        if len(calls) == 2:
            raise PAUSE
        return start(*arguments, **named)

    encord.start_upload_job = second_is_paused
    with pytest.raises(TaskDeferred) as again:
        task.go_on(context, None, paused_since=time.time() - 25 * 3600)
    assert again.value.kwargs["paused_since"] == pytest.approx(time.time(), abs=10)


def test_a_run_in_which_all_fails_for_one_cause_stops_for_good(task, context, folder, encord):
    entries = [write_manifest(folder, number, f"s3://media/bad-{number}.jpg") for number in range(9)]
    write_index(folder, ManifestIndex(tuple(entries), shards=1))
    with pytest.raises(EncordError, match="3 of the first 3 items failed for one cause") as caught:
        task.execute(context)
    assert not caught.value.transient
    assert len(encord.sent) == 3


def test_the_integration_says_when_to_stop(task, context, folder, encord):
    off = {"upload": {"stop_after_manifests": 0}}
    task.freeze_integration(folder, Integration.model_validate(INTEGRATION.model_dump() | off))
    entries = [write_manifest(folder, number, f"s3://media/bad-{number}.jpg") for number in range(9)]
    write_index(folder, ManifestIndex(tuple(entries), shards=1))
    assert task.execute(context)["done"] == 9


def test_a_second_try_comes_back_to_the_job_and_returns_the_same(task, context, folder, encord):
    encord.polls_until_done = 1
    deferred(task, context)
    first = task.execute(context)
    assert task.execute(context) == first == {"manifests": 1, "done": 1, "failed": 0, "cancelled": 0}
    assert len(encord.sent) == 1


def test_after_a_refusal_encord_itself_says_why(task, context, folder, encord):
    encord.polls_until_done = 1
    deferred(task, context)
    encord.raises["poll"] = [ConfigError("the key was revoked")]
    with pytest.raises(ConfigError, match="revoked"):
        task.resume(context, event("refused"))


def test_after_the_deadline_it_fails_for_good(task, context, folder):
    with pytest.raises(EncordError, match=r"upload job job-1: has not finished within 24 hours") as caught:
        task.resume(context, event("deadline"))
    assert not caught.value.transient


@pytest.mark.parametrize("odd", [None, {}, {"event": "exploded"}])
def test_an_event_that_is_none_is_an_error(task, context, folder, odd):
    with pytest.raises(EncordError, match="no event of an upload job"):
        task.resume(context, odd)


def test_a_job_cancelled_in_encord_is_counted(task, context, folder, encord):
    encord.polls_until_done = 1
    encord.cancel_upload_job("folder-1", deferred(task, context).trigger.job_id)
    assert task.resume(context, event("finished"))["cancelled"] == 1


def test_a_cleared_task_sends_again_what_was_cancelled_with_it(task, context, folder, encord):
    encord.polls_until_done = 1
    encord.cancel_upload_job("folder-1", deferred(task, context).trigger.job_id)
    encord.polls_until_done = 0
    assert task.execute(context) == {"manifests": 1, "done": 1, "failed": 0, "cancelled": 0}
    assert len(encord.sent) == 2


DOWN = EncordError("does not answer", transient=True)


@pytest.mark.parametrize("error", [DOWN, PAUSE])
def test_it_does_so_too_if_encord_does_not_answer_about_the_job_at_once(task, context, folder, encord, error):
    encord.polls_until_done = 1
    encord.cancel_upload_job("folder-1", deferred(task, context).trigger.job_id)
    encord.polls_until_done = 0
    encord.raises["poll"] = [error, error]
    wait = deferred(task, context)
    with pytest.raises(TaskDeferred) as again:
        task.resume(context, event("finished"), **wait.kwargs)
    assert task.resume(context, event("finished"), **again.value.kwargs)["done"] == 1
    assert len(encord.sent) == 2


def test_a_job_that_was_sent_or_seen_at_work_in_this_try_is_not_sent_again(task, context, folder, encord):
    encord.polls_until_done = 9
    sent = deferred(task, context)
    seen = deferred(task, context)
    encord.raises["poll"] = [DOWN]
    unseen = deferred(task, context)
    assert [wait.kwargs["resubmit_cancelled"] for wait in (sent, seen, unseen)] == [False, False, True]
    encord.cancel_upload_job("folder-1", "job-1")
    ended = task.resume(context, {**event("finished"), "was_pending": True}, **unseen.kwargs)
    assert ended["cancelled"] == 1


def test_a_job_whose_first_answer_is_late_is_one_of_this_try(task, context, folder, encord):
    encord.raises["poll"] = [DOWN]
    assert deferred(task, context).kwargs == {"resubmit_cancelled": False}


def running_in(context, count):
    asked = []

    def get_ti_count(**arguments):
        asked.append(arguments)
        return count

    context["ti"] = SimpleNamespace(
        dag_id="d", task_id="register", run_id="manual__1", map_index=3, get_ti_count=get_ti_count
    )
    return asked


def test_a_kill_by_a_person_cancels_the_job_and_ends_the_task(task, context, folder, encord):
    encord.polls_until_done = 1
    asked = running_in(context, 0)
    deferred(task, context)
    with pytest.raises(EncordError, match="this task was ended") as caught:
        task.on_kill()
    assert caught.value.transient
    assert "cancel" in encord.calls
    this_task = {"dag_id": "d", "map_index": 3, "task_ids": ["register"], "run_ids": ["manual__1"]}
    assert asked == [{**this_task, "states": ["running"]}]


def test_a_kill_by_a_worker_that_restarts_leaves_the_job_alone(task, context, folder, encord):
    encord.polls_until_done = 1
    running_in(context, 1)
    deferred(task, context)
    task.on_kill()
    assert "cancel" not in encord.calls


def test_a_kill_while_a_manifest_is_being_sent_does_not_tear_the_request(task, context, folder, encord):
    asked = running_in(context, 0)
    encord.raises["start"] = [EncordError("late", transient=True)]
    with pytest.raises(EncordError, match="late"):
        task.execute(context)
    task.on_kill()  # the record says `submitting`: there is no job id to cancel
    assert len(asked) == 1
    assert "cancel" not in encord.calls


def test_a_kill_while_a_manifest_is_being_sent_cancels_the_job_that_comes_of_it(
    task, context, folder, encord, monkeypatch
):
    running_in(context, 0)
    start = encord.start_upload_job

    def start_while_killed(*arguments, **named):
        task.on_kill()
        return start(*arguments, **named)

    monkeypatch.setattr(encord, "start_upload_job", start_while_killed)
    with pytest.raises(EncordError, match="this task was ended"):
        task.execute(context)
    assert encord.calls == ["start", "answer", "cancel"]
    assert folder.read_json("jobs/0000.json")["job_id"] == "job-1"
    again = RegisterOperator(
        task_id="register", integration=INTEGRATION.model_dump(mode="json"), shard=0, hold_s=0
    )
    monkeypatch.setattr(encord, "start_upload_job", start)
    assert again.execute(context)["done"] == 1


def test_a_kill_just_before_a_manifest_is_sent_sends_nothing(task, context, folder, encord, monkeypatch):
    running_in(context, 0)
    open_record = jobs.open_record

    def open_while_killed(*arguments):
        monkeypatch.setattr(jobs, "open_record", open_record)
        task.on_kill()
        return open_record(*arguments)

    monkeypatch.setattr(jobs, "open_record", open_while_killed)
    with pytest.raises(EncordError, match="this task was ended"):
        task.execute(context)
    assert encord.calls == []


def test_a_kill_before_or_after_the_work_asks_nobody(task, context, folder, encord):
    asked = running_in(context, 0)
    task.on_kill()
    task.execute(context)
    task.on_kill()
    assert asked == []


def test_a_kill_while_airflow_does_not_answer_leaves_the_job_alone(
    task, context, folder, encord, monkeypatch
):
    encord.polls_until_done = 1
    deferred(task, context)
    answer = threading.Event()
    monkeypatch.setattr(register, "ASK_AIRFLOW_S", 0.01)
    monkeypatch.setattr(task, "_count_running", lambda: answer.wait(5) and 0)
    task.on_kill()
    answer.set()
    assert "cancel" not in encord.calls


def test_it_is_mapped_over_shards_and_labelled():
    with DAG("streets", schedule=None):
        mapped = RegisterOperator.partial(
            task_id="register", integration={"name": "streets"}, map_index_template="{{ task.label }}"
        ).expand(shard=[0, 1, 2])
    assert mapped.operator_class is RegisterOperator
    assert RegisterOperator(task_id="one", integration={"name": "streets"}, shard=2).label == "shard 2"
