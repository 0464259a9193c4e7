"""The transport, below the real SDK: how often each request is made, when, and what that costs."""

from __future__ import annotations

import itertools
import random

import pytest
import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import MaxRetryError, NewConnectionError

from cloud_sync.errors import CloudSyncError, EncordError
from cloud_sync.registration import client as client_module
from cloud_sync.registration.client import EncordClient
from cloud_sync.registration.errors import EncordRefusedError
from cloud_sync.registration.pacing import SharedPace
from tests.unit.registration.keys import ed25519_key
from tests.unit.registration.wire import (
    CREDENTIAL,
    DATASET,
    FOLDER,
    FOLDER_PATH,
    JOB,
    JOBS_PATH,
    item,
    job_state,
)

KEY = ed25519_key()
LOST = requests.exceptions.ConnectionError("dropped")
LATE = requests.exceptions.ReadTimeout("late")
HALF = (200, b'{"result": [')
REFUSED = requests.exceptions.ConnectionError(
    MaxRetryError(None, "/", NewConnectionError(None, "connection refused"))
)


@pytest.fixture
def client(wire):
    pace = SharedPace(wall=wire.clock.time, steady=wire.clock.monotonic)
    return EncordClient(domain="https://api.example.com", ssh_private_key=KEY, pace=pace)


@pytest.fixture
def manifest(tmp_path):
    path = tmp_path / "0000-abc.json"
    path.write_text('{"images": [{"objectUrl": "s3://b/1.jpg"}], "skip_duplicate_urls": true}')
    return path


def a_read(client, manifest):
    client.check()


def a_start(client, manifest):
    return client.start_upload_job(FOLDER, manifest, encord_integration_uuid=CREDENTIAL, ignore_errors=True)


def a_new_folder(client, manifest):
    client.ensure_folder("new")


def a_cancel(client, manifest):
    client.cancel_upload_job(FOLDER, JOB)


def a_link(client, manifest):
    client.link_items(DATASET, [JOB])


def a_poll(client, manifest):
    client.poll_upload_job(FOLDER, JOB)


CALLS = {
    a_read: ("GET", ".*/cloud-integrations"),
    a_start: ("POST", JOBS_PATH),
    a_new_folder: ("POST", "/v2/public/storage/folders"),
    a_cancel: ("POST", f"{JOBS_PATH}/{JOB}/cancel"),
    a_link: ("POST", "/public"),
    a_poll: ("GET", f"{JOBS_PATH}/{JOB}"),
}


def legacy(answer):
    """Let the dataset be found, so that the linking itself gets the answer."""
    row = {"dataset_hash": DATASET, "title": "S", "description": "", "dataset_type": "AWS"}
    return lambda sent: {"status": 200, "response": row} if sent.body["query_type"] == "dataset" else answer


@pytest.fixture
def attempts(wire, client, manifest):
    return lambda call, answer: _attempts(wire, client, manifest, call, answer)


def _attempts(wire, client, manifest, call, answer):
    """Make a call that gets always the same answer; return the times of its requests and the error."""
    method, path = CALLS[call]
    wire.on("GET", "/v2/public/storage/folders", {"results": [], "nextPageToken": None})
    wire.on(method, path, legacy(answer) if call is a_link else answer)
    with pytest.raises(CloudSyncError) as caught:
        call(client, manifest)
    made = [
        one for one in wire.sent if one.method == method and (call is not a_link or "link" in str(one.body))
    ]
    return [one.at for one in made if one.path.endswith(path.rsplit("/", 1)[-1])], caught.value


BY_CHANCE = [(503, b"<html>"), (500, {"message": "boom"}), (502, b""), (504, b""), (408, b"")]
UNCLEAR = [*BY_CHANCE, LOST, LATE, HALF, (200, b"<html>")]
LASTING = [(status, {"message": "no"}) for status in (400, 401, 403, 404, 405, 409, 413, 422)]


@pytest.mark.parametrize("answer", UNCLEAR, ids=str)
@pytest.mark.parametrize(
    ("call", "times"), [(a_read, 5), (a_cancel, 5), (a_link, 5), (a_start, 1), (a_new_folder, 1), (a_poll, 1)]
)
def test_what_may_pass_is_tried_five_times_where_that_does_no_harm(attempts, call, times, answer):
    made, error = attempts(call, answer)
    assert (len(made), error.transient) == (times, True)


@pytest.mark.parametrize("answer", LASTING, ids=str)
@pytest.mark.parametrize("call", CALLS)
def test_what_will_not_pass_is_tried_once(wire, attempts, call, answer):
    if call is a_link and answer[0] != 413:
        answer = {"status": answer[0], "response": ["AUTHORISATION_ERROR"], "payload": None}
    made, _ = attempts(call, answer)
    assert len(made) == 1
    assert wire.clock.slept == []


@pytest.mark.parametrize(("call", "times"), [(a_read, 5), (a_start, 5), (a_link, 5), (a_poll, 1)])
def test_without_a_connection_nothing_was_sent_so_everything_may_be_tried_again(attempts, call, times):
    made, error = attempts(call, REFUSED)
    assert len(made) == times
    assert isinstance(error, EncordRefusedError)
    assert error.transient


@pytest.mark.parametrize("call", [a_read, a_start, a_new_folder, a_cancel, a_link])
def test_too_many_requests_is_a_clear_no_and_waited_out(attempts, call):
    made, error = attempts(call, (429, {"message": "slow"}, {"Retry-After": "10"}))
    assert len(made) == 5
    assert all(later - sooner >= 10 for sooner, later in itertools.pairwise(made))
    assert isinstance(error, EncordRefusedError)
    assert error.retry_after_s == 10


@pytest.mark.parametrize("status", [429, 503])
def test_a_pause_longer_than_a_call_may_wait_is_an_error_at_once(wire, attempts, status):
    made, error = attempts(a_read, (status, {"message": "slow"}, {"Retry-After": "5000"}))
    assert (len(made), error.retry_after_s, wire.clock.slept) == (1, 5000, [])


@pytest.mark.parametrize("call", [a_start, a_poll])
def test_no_call_is_made_before_a_long_pause_is_over(wire, client, manifest, call):
    wire.on("POST", JOBS_PATH, JOB)
    wire.on("GET", f"{JOBS_PATH}/{JOB}", job_state("DONE"))
    client.pace.refused(90)
    with pytest.raises(EncordRefusedError, match="a pause that is not over yet") as caught:
        call(client, manifest)
    assert (wire.sent, caught.value.retry_after_s, caught.value.transient) == ([], 90, True)
    wire.clock.now += 90
    call(client, manifest)


def test_a_short_pause_is_waited_out_by_a_call_but_not_by_a_poll(wire, client, manifest):
    wire.on("GET", f"{JOBS_PATH}/{JOB}", job_state("DONE"))
    wire.on("GET", ".*/cloud-integrations", {"result": []})
    client.pace.refused(20)
    began = wire.clock.now
    with pytest.raises(EncordRefusedError):
        client.poll_upload_job(FOLDER, JOB)
    assert client.check() == 0
    assert wire.clock.now - began >= 20


def test_a_poll_with_time_to_spare_waits_the_pause_out(wire, client, monkeypatch):
    monkeypatch.setattr(client_module, "time", wire.clock)
    wire.on("GET", f"{JOBS_PATH}/{JOB}", job_state("DONE"))
    client.pace.refused(4)
    assert client.poll_upload_job(FOLDER, JOB, hold_s=5).finished
    assert wire.clock.slept == [4]


def test_a_503_slows_what_other_clients_of_the_file_do(wire, tmp_path):
    clock = wire.clock
    first, second = (
        EncordClient(
            domain="https://api.example.com",
            ssh_private_key=KEY,
            pace=SharedPace(tmp_path / "pace.json", wall=clock.time, steady=clock.monotonic),
        )
        for _ in range(2)
    )
    wire.on("GET", f"{JOBS_PATH}/{JOB}", (503, b"", {"Retry-After": "40"}))
    with pytest.raises(EncordError):
        first.poll_upload_job(FOLDER, JOB)
    wire.on("GET", f"{JOBS_PATH}/{JOB}", job_state("DONE"))
    with pytest.raises(EncordRefusedError) as caught:
        second.poll_upload_job(FOLDER, JOB)
    assert caught.value.retry_after_s == 40
    assert len(wire.sent) == 1


def test_a_service_that_hangs_shows_after_some_minutes(wire, attempts):
    def hang(sent):
        wire.clock.now += 120
        return LATE

    began = wire.clock.now
    made, _ = attempts(a_read, hang)
    assert len(made) == 3
    assert wire.clock.now - began < 400


def test_one_bad_page_of_many_is_asked_for_again_alone(wire, client):
    bad = iter([LOST, (502, b"<html>"), HALF])

    def page(sent):
        number = int(sent.query.get("pageToken", ["0"])[0])
        if number == 7 and (answer := next(bad, None)):
            return answer
        return {"results": [item(number)], "nextPageToken": str(number + 1) if number < 9 else None}

    wire.on("GET", f"{FOLDER_PATH}/items", page)
    assert len(list(client.folder_items(FOLDER))) == 10
    assert len(wire.sent) == 1 + 10 + 3


@pytest.mark.parametrize("seed", range(5))
def test_thirty_percent_of_faults_cost_less_than_twice_the_requests(wire, client, seed):
    chance = random.Random(seed)
    faults = [*UNCLEAR, (429, b"", {"Retry-After": "1"}), (429, b""), REFUSED]
    wire.on(
        "GET",
        f"{JOBS_PATH}.*|.*/cloud-integrations",
        lambda _: chance.choice(faults) if chance.random() < 0.3 else {"result": []},
    )
    answered = 0
    for _ in range(300):
        try:
            client.check()
            answered += 1
        except EncordError:
            pass
    assert answered >= 295
    assert len(wire.sent) < 2 * 300


def test_the_sessions_of_others_in_the_process_stay_as_they_are(client):
    from encord.http import querier

    with querier.create_new_session(max_retries=3, backoff_factor=1.5, connect_retries=3) as session:
        assert type(session.get_adapter("https://x")) is HTTPAdapter
        assert session.get_adapter("https://x").max_retries.status == 3


def test_the_sdk_is_joined_once_however_many_clients_there_are(client):
    from encord.http import querier

    before = querier.create_new_session
    EncordClient(domain="https://api.example.com", ssh_private_key=KEY)
    assert querier.create_new_session is before
