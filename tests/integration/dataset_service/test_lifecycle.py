"""Kills, restarts, held polls, cancellation and faults, on processes of their own."""

from __future__ import annotations

import contextlib
import signal
import socket
import threading
import time
from collections import Counter

import pytest
from encord.exceptions import RateLimitExceededError, RequestException
from encord.http.constants import RequestsSettings
from encord.orm.dataset import LongPollingStatus

from tests.servers import S3Server, running_dataset_service

from .conftest import BUCKET, desk_at, jpeg

MANY = 300
HOLD_S = 1.0


@pytest.fixture(scope="module")
def many(s3) -> list[str]:
    client, picture = s3.client(), jpeg()
    keys = [f"many/{n:03}.jpg" for n in range(MANY)]
    for key in keys:
        client.put_object(Bucket=BUCKET, Key=key, Body=picture)
    return [s3.url(BUCKET, key) for key in keys]


@pytest.mark.parametrize("ignore_errors", [True, False])
def test_a_kill_in_the_middle_of_a_job_neither_loses_nor_doubles(tmp_path, s3, many, ignore_errors):
    with running_dataset_service(tmp_path, s3, [BUCKET], workers=1) as service:
        desk = desk_at(service, s3, "kills")
        content = {"images": [{"objectUrl": url} for url in many], "skip_duplicate_urls": True}
        job = desk.folder.add_private_data_to_folder_start(
            desk.integration, content, ignore_errors=ignore_errors
        )
        caught_in_the_middle = 0
        for _ in range(3):
            state = wait_for_progress(desk.folder, job)
            caught_in_the_middle += state.status == LongPollingStatus.PENDING
            service.kill()
            service.start()
        state = desk.folder.add_private_data_to_folder_get_result(job, timeout_seconds=60)
        assert caught_in_the_middle
        assert (state.status, state.units_done_count) == (LongPollingStatus.DONE, MANY)
        registered = Counter(item.url for item in desk.folder.list_items(page_size=100))
        assert registered == Counter(many)
        assert len({row.backing_item_uuid for row in desk.rows()}) == len(desk.rows()) == MANY
        assert len(state.items_with_names) == MANY


def wait_for_progress(folder, job):
    """Poll until the job has done more than at the first look, or has ended."""
    first = state = folder.add_private_data_to_folder_get_result(job, timeout_seconds=0)
    while state.status == LongPollingStatus.PENDING and state.units_done_count == first.units_done_count:
        time.sleep(0.01)
        state = folder.add_private_data_to_folder_get_result(job, timeout_seconds=0)
    return state


@pytest.fixture
def silent_store():
    """A store that takes connections and never answers, so that jobs stay pending."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(64)
        yield S3Server(f"http://127.0.0.1:{listening.getsockname()[1]}", "id", "secret")


@pytest.fixture
def stuck(tmp_path, silent_store):
    """A desk with a job that does not end by itself."""
    with running_dataset_service(tmp_path, silent_store, [BUCKET], hold_s=HOLD_S) as service:
        desk = desk_at(service, silent_store, "stuck")
        job = desk.folder.add_private_data_to_folder_start(
            desk.integration, desk.pictures(0, 3), ignore_errors=True
        )
        yield desk, job


def test_polls_are_held_and_let_go_by_the_clock(stuck):
    desk, job = stuck

    def poll(timeout_s: float) -> float:
        started = time.monotonic()
        path = f"storage/folders/{desk.folder.uuid}/data-upload-jobs/{job}"
        state = request_once(desk, path, timeout_s)
        assert (state.status, state.units_pending_count) == (LongPollingStatus.PENDING, 3)
        return time.monotonic() - started

    assert poll(0) < HOLD_S
    assert poll(3600) >= HOLD_S


def request_once(desk, path: str, timeout_s: float):
    """One poll of the SDK's client, without the loop around it."""
    from encord.orm.storage import GetUploadJobParams, UploadLongPollingState

    parameters = GetUploadJobParams(timeout_seconds=int(timeout_s))
    return desk.user._api_client.get(path, params=parameters, result_type=UploadLongPollingState)


def test_cancelling_lets_a_held_poll_go(stuck):
    desk, job = stuck
    states = []
    poll = threading.Thread(
        target=lambda: states.append(
            desk.folder.add_private_data_to_folder_get_result(job, timeout_seconds=60)
        )
    )
    poll.start()
    time.sleep(0.3)
    assert desk.folder.add_data_to_folder_job_cancel(job).units_cancelled_count == 3
    poll.join(10)
    assert not poll.is_alive()
    assert states[0].status == LongPollingStatus.CANCELLED
    assert (states[0].units_cancelled_count, states[0].items_with_names) == (3, [])
    assert desk.names() == []


def test_a_stop_waits_neither_for_held_polls_nor_for_slow_stores(tmp_path, silent_store):
    with running_dataset_service(tmp_path, silent_store, [BUCKET], hold_s=60) as service:
        desk = desk_at(service, silent_store, "stop")
        job = desk.folder.add_private_data_to_folder_start(desk.integration, desk.pictures(0, 3))

        def poll() -> None:
            with contextlib.suppress(RequestException):
                request_once(desk, f"storage/folders/{desk.folder.uuid}/data-upload-jobs/{job}", 60)

        held = threading.Thread(target=poll)
        held.start()
        time.sleep(0.5)
        started = time.monotonic()
        service.stop(grace_s=10)
        assert time.monotonic() - started < 2.5
        # uvicorn cleans up and then ends by the signal, as the shell's convention wants it.
        assert service.process.returncode == -signal.SIGTERM
        held.join(30)
        assert "Traceback" not in service.log.read_text()
        service.start()
        state = desk.folder.add_private_data_to_folder_get_result(job, timeout_seconds=0)
        assert (state.status, state.units_pending_count) == (LongPollingStatus.PENDING, 3)


def test_faults_strike_only_where_they_are_asked_for(tmp_path, s3):
    faults = [
        {"fault": "refuse", "status": 429, "retry_after_s": 1, "path": "cloud-integrations", "times": 1},
        {"fault": "lose_answer", "path": "/datasets$", "methods": ["POST"], "times": 1},
        {"fault": "refuse", "status": 429, "retry_after_s": 7, "path": "/storage/search"},
    ]
    with running_dataset_service(tmp_path, s3, [BUCKET], faults=faults) as service:
        user = service.client()
        started = time.monotonic()
        assert len(user.get_cloud_integrations()) == 1
        assert time.monotonic() - started >= 1
        with pytest.raises(RequestException):
            user.create_dataset("lost", 4)
        assert [found["dataset"].title for found in user.get_datasets()] == ["lost"]
        hasty = service.client(requests_settings=RequestsSettings(max_retries=0))
        with pytest.raises(RateLimitExceededError) as caught:
            list(hasty.find_storage_folders(search="x"))
        assert caught.value.retry_after == 7
