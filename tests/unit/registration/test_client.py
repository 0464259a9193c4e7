"""The client through the real SDK: what it sends, how often, and what it makes of the answers."""

from __future__ import annotations

import json
import traceback
from threading import Thread
from uuid import UUID

import pytest
import requests

from cloud_sync.errors import CloudSyncError, ConfigError, EncordError, ManifestError
from cloud_sync.registration import client as client_module
from cloud_sync.registration.client import EncordClient
from cloud_sync.registration.connection import Timeouts
from cloud_sync.registration.errors import EncordRefusedError, ManifestRefusedError
from cloud_sync.registration.model import DatasetRef, FolderItem, UnitError
from cloud_sync.registration.pacing import SharedPace
from tests.unit.registration.keys import ed25519_key, wrong_keys
from tests.unit.registration.wire import (
    CREDENTIAL,
    DATASET,
    FOLDER,
    FOLDER_PATH,
    JOB,
    JOBS_PATH,
    dataset,
    folder,
    item,
    job_state,
)

KEY = ed25519_key()
JOB_PATH = f"{JOBS_PATH}/{JOB}"


@pytest.fixture
def client(wire):
    return EncordClient(
        domain="https://api.example.com/",
        ssh_private_key=KEY,
        user_agent_suffix="encord-cloud-sync/0.1.0",
        pace=SharedPace(wall=wire.clock.time, steady=wire.clock.monotonic),
    )


@pytest.fixture
def manifest(tmp_path):
    path = tmp_path / "0003-abc.json"
    path.write_text(json.dumps({"images": [{"objectUrl": "s3://b/1.jpg"}], "skip_duplicate_urls": True}))
    return path


# The key and the domain


@pytest.mark.parametrize("text", [text for text, _ in wrong_keys().values()], ids=list(wrong_keys()))
def test_a_wrong_key_never_reaches_the_sdk(wire, monkeypatch, text):
    monkeypatch.setenv("ENCORD_SSH_KEY", KEY)  # what the SDK would fall back to
    monkeypatch.setattr("encord.configs.SshConfig.from_ssh_private_key", lambda *_, **__: pytest.fail("seen"))
    with pytest.raises(ConfigError):
        EncordClient(ssh_private_key=text)


def test_requests_are_signed_name_the_project_and_have_our_timeouts(wire, client):
    wire.on("GET", ".*/cloud-integrations", {"result": []})
    assert client.check() == 0
    sent = wire.sent[0]
    assert sent.headers["User-Agent"].endswith("encord-cloud-sync/0.1.0")
    assert "Signature" in sent.headers
    assert sent.timeout_s == (Timeouts().connect_s, Timeouts().request_s)


# Names


def test_an_encord_integration_by_title(wire, client):
    wire.on("GET", ".*/cloud-integrations", {"result": [{"integrationUuid": CREDENTIAL, "title": "AWS"}]})
    assert client.find_encord_integration("AWS") == (CREDENTIAL, "AWS")
    assert wire.sent[0].query["filterIntegrationTitles"] == ["AWS"]


def test_an_encord_integration_by_uuid(wire, client):
    wire.on("GET", ".*/cloud-integrations", {"result": [{"integrationUuid": CREDENTIAL, "title": "AWS"}]})
    assert client.find_encord_integration(CREDENTIAL) == (CREDENTIAL, "AWS")
    assert wire.sent[0].query["filterIntegrationUuids"] == [CREDENTIAL]


def test_an_unknown_encord_integration_names_near_ones(wire, client):
    everything = {"result": [{"integrationUuid": CREDENTIAL, "title": "AWS prod"}]}
    answers = lambda sent: {"result": []} if "filterIntegrationTitles" in sent.query else everything  # noqa: E731
    wire.on("GET", ".*/cloud-integrations", answers)
    with pytest.raises(ConfigError, match=r"Encord integration 'AWS'.*Near titles: 'AWS prod'"):
        client.find_encord_integration("AWS")


def test_a_dataset_by_title(wire, client):
    wire.on("GET", ".*/datasets/list", {"result": [dataset("Streets")]})
    assert client.find_dataset("Streets") == DatasetRef(DATASET, "Streets", FOLDER)
    assert wire.sent[0].query["titleEq"] == ["Streets"]


def test_a_dataset_by_hash_without_its_rows(wire, client):
    row = {"dataset_hash": DATASET, "title": "Streets", "description": "", "dataset_type": "AWS"}
    wire.on("POST", "/public", {"status": 200, "response": {**row, "backing_folder_uuid": FOLDER}})
    assert client.find_dataset(DATASET) == DatasetRef(DATASET, "Streets", FOLDER)
    assert wire.sent[0].body["values"]["payload"]["dataset_access_settings"]["fetch_rows"] is False


def test_an_unknown_dataset_names_near_ones(wire, client):
    answers = lambda sent: {"result": [] if "titleEq" in sent.query else [dataset("Streets")]}  # noqa: E731
    wire.on("GET", ".*/datasets/list", answers)
    with pytest.raises(ConfigError, match=r"dataset 'Street': .* Near titles: 'Streets'"):
        client.find_dataset("Street")


def test_a_title_of_two_datasets_names_their_hashes(wire, client):
    other = str(UUID(int=9))
    wire.on("GET", ".*/datasets/list", {"result": [dataset("Streets"), dataset("Streets", other)]})
    with pytest.raises(ConfigError, match=f"{DATASET}, {other}"):
        client.find_dataset("Streets")


def test_a_folder_is_made_once(wire, client):
    there = []
    wire.on("GET", "/v2/public/storage/folders", lambda _: {"results": there, "nextPageToken": None})
    wire.on("POST", "/v2/public/storage/folders", lambda s: there.append(folder(s.body["name"])) or there[0])
    assert client.ensure_folder("cloud-sync a") == FOLDER
    assert client.ensure_folder("cloud-sync a") == FOLDER
    assert [sent.method for sent in wire.sent] == ["GET", "POST", "GET"]


def test_a_folder_whose_name_only_begins_so_is_another(wire, client):
    wire.on(
        "GET", "/v2/public/storage/folders", {"results": [folder("cloud-sync ab")], "nextPageToken": None}
    )
    assert client.find_folder("cloud-sync a") is None


def test_two_folders_of_one_name_are_an_error(wire, client):
    two = [folder("a"), folder("a", str(UUID(int=8)))]
    wire.on("GET", "/v2/public/storage/folders", {"results": two, "nextPageToken": None})
    with pytest.raises(ConfigError, match="2 have this title"):
        client.ensure_folder("a")


def test_a_folder_is_found_on_the_second_page(wire, client):
    def page(sent):
        if "pageToken" in sent.query:
            return {"results": [folder("a")], "nextPageToken": None}
        return {"results": [folder("ab", str(UUID(int=8)))], "nextPageToken": "2"}

    wire.on("GET", "/v2/public/storage/folders", page)
    assert client.find_folder("a") == FOLDER


# Upload jobs


def start(client, manifest, **changes):
    return client.start_upload_job(
        FOLDER, manifest, **{"encord_integration_uuid": CREDENTIAL, "ignore_errors": True, **changes}
    )


def test_a_job_sends_what_is_on_disk_under_its_name(wire, client, manifest):
    wire.on("POST", JOBS_PATH, JOB)
    assert start(client, manifest) == JOB
    assert wire.sent[-1].body == {
        "externalFiles": json.loads(manifest.read_text()),
        "integrationHash": CREDENTIAL,
        "ignoreErrors": True,
        "fileName": "0003-abc.json",
    }


TYPED = {
    "videos": [{"objectUrl": "s3://b/1.mp4", "clientMetadata": {"site": None, "n": 1.5}}],
    "imageGroups": [
        {"title": "group", "createVideo": True, "images": [{"url": "s3://b/1.jpg"}, {"url": "s3://b/2.jpg"}]}
    ],
    "dicomSeries": [{"title": "series", "dicomFiles": [{"url": "s3://b/1.dcm", "title": None}]}],
    "nifti": [{"objectUrl": "s3://b/1.nii.gz"}],
    "pdf": [{"objectUrl": "s3://b/1.pdf", "title": "Öl.pdf"}],
    "skipDuplicateUrls": False,
}


def holds(whole, part):
    """Whether all that stands in one JSON value stands in the other, nulls aside where a key is optional."""
    if isinstance(part, dict):
        return all(holds(whole[key], value) if key in whole else value is None for key, value in part.items())
    if isinstance(part, list):
        return len(whole) == len(part) and all(map(holds, whole, part))
    return whole == part


def test_a_manifest_in_the_sdks_own_dialect_is_sent_whole_as_that(wire, client, tmp_path):
    wire.on("POST", JOBS_PATH, JOB)
    path = tmp_path / "0003-abc.json"
    path.write_text(json.dumps(TYPED))
    assert start(client, path, ignore_errors=False) == JOB
    body = wire.sent[-1].body
    assert body["integrationHash"] == CREDENTIAL
    assert body["ignoreErrors"] is False
    assert "externalFiles" not in body
    assert holds(body["dataItems"], TYPED)
    assert body["dataItems"]["videos"][0]["clientMetadata"] == {"site": None, "n": 1.5}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"pdfs": [], "skipDuplicateUrls": True}, "pdfs: Extra inputs"),
        ({"pdf": [{"objectUrl": "u", "titel": "t"}], "skipDuplicateUrls": True}, "pdf.0.titel: Extra"),
        (
            {"imageGroups": [{"title": "t", "objectUrl_0": "u"}], "skipDuplicateUrls": True},
            "imageGroups.0.images: Field required",
        ),
        (
            {"dicomSeries": [{"title": "t", "dicomFiles": [{"url": "u", "title": None, "x": 1}]}]}
            | {"skipDuplicateUrls": True},
            "dicomSeries.0.dicomFiles.0.x: Extra",
        ),
        ({"pdf": [{"objectUrl": "u"}], "skipDuplicateUrls": "yes"}, "Expected `bool | null`, got `str`"),
        ([], "Expected `object`, got `array`"),
        (b"{", "is not a manifest: Input data was truncated"),
    ],
)
def test_what_the_sdk_would_drop_is_refused_before_anything_is_sent(wire, client, tmp_path, content, said):
    path = tmp_path / "0003-abc.json"
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    with pytest.raises(ManifestError) as caught:
        start(client, path)
    assert str(caught.value).startswith(f"{path}: ")
    assert said in str(caught.value)
    assert caught.value.remedy
    assert wire.sent == []


@pytest.fixture
def started(client, manifest):
    return lambda: start(client, manifest)


@pytest.mark.parametrize(
    ("answer", "kind", "transient"),
    [
        ((400, {"message": "videos: bad"}), ManifestRefusedError, False),
        ((401, {"message": "no"}), ConfigError, False),
        ((403, {"message": "no"}), ConfigError, False),
        ((404, {"message": "no"}), EncordRefusedError, False),
        ((409, {"message": "there is one"}), EncordRefusedError, False),
        ((413, {"message": "too big"}), ManifestRefusedError, False),
        ((422, {"detail": [{"loc": ["body"], "msg": "bad"}]}), ManifestRefusedError, False),
        ((429, {"message": "slow"}, {"Retry-After": "170"}), EncordRefusedError, True),
        ((500, {"message": "boom"}), EncordError, True),
        ((503, b"<html>"), EncordError, True),
        ((504, b""), EncordError, True),
        (requests.exceptions.ConnectionError("dropped"), EncordError, True),
        (requests.exceptions.ReadTimeout("late"), EncordError, True),
        ("no uuid", EncordError, False),
        ((200, b"<html>"), EncordError, True),
    ],
)
def test_a_job_is_sent_once_whatever_the_answer(wire, started, answer, kind, transient):
    wire.on("POST", JOBS_PATH, answer)
    with pytest.raises(CloudSyncError) as caught:
        started()
    assert (type(caught.value), caught.value.transient) == (kind, transient)
    assert wire.paths().count(f"POST storage/folders/{FOLDER}/data-upload-jobs") == 1
    if isinstance(answer, tuple) and answer[0] == 429:
        assert caught.value.retry_after_s == 170


def test_a_folder_that_cannot_be_looked_up_leaves_no_job(wire, client, manifest):
    wire.on("GET", FOLDER_PATH, (503, {"message": "busy"}))
    with pytest.raises(EncordRefusedError) as caught:
        start(client, manifest)
    assert caught.value.transient
    assert not [sent for sent in wire.sent if sent.method == "POST"]


@pytest.mark.parametrize("status", [400, 413])
def test_a_refused_look_up_of_the_folder_is_not_about_the_manifest(wire, started, status):
    wire.on("GET", FOLDER_PATH, (status, {"message": "no"}))
    with pytest.raises(EncordRefusedError) as caught:
        started()
    assert not isinstance(caught.value, ManifestRefusedError)


def test_a_poll_is_one_request_that_the_service_need_not_hold(wire, client):
    wire.on("GET", JOB_PATH, job_state("PENDING", unitsPendingCount=3))
    for _ in range(2):
        assert client.poll_upload_job(FOLDER, JOB).pending == 3
    job_path = f"GET storage/folders/{FOLDER}/data-upload-jobs/{JOB}"
    assert wire.paths() == [job_path, job_path]
    assert wire.sent[-1].query == {"timeoutSeconds": ["0"]}
    assert wire.sent[-1].timeout_s == (Timeouts().connect_s, Timeouts().poll_s)


def test_a_state_is_read_whole_and_its_texts_are_cleaned(wire, client):
    error = {
        "objectUrls": ["s3://b/bad.jpg"],
        "error": "cannot read https://b.s3.amazonaws.com/bad.jpg?X-Amz-Signature=secret",
        "subtaskUuid": JOB,
        "actionDescription": "Processing image",
    }
    wire.on(
        "GET",
        JOB_PATH,
        job_state(
            "DONE",
            unitsDoneCount=1,
            unitsErrorCount=1,
            itemsWithNames=[{"itemUuid": FOLDER, "name": "1.jpg"}],
            unitErrors=[error],
            errors=["one\nfailed"],
        ),
    )
    state = client.poll_upload_job(FOLDER, JOB)
    assert (state.finished, state.done, state.failed, state.item_uuids) == (True, 1, 1, (FOLDER,))
    assert state.job_errors == ("one failed",)
    text = "cannot read https://b.s3.amazonaws.com/bad.jpg"
    assert state.unit_errors == (UnitError(("s3://b/bad.jpg",), text, JOB, "Processing image"),)


def test_a_signed_url_of_a_unit_loses_its_signature(wire, client):
    signed = "https://key:pass@b.s3.amazonaws.com/bad%20one.jpg?X-Amz-Signature=cafe#part"
    error = {
        "objectUrls": [signed, "s3://b/fine.jpg"],
        "error": "no",
        "subtaskUuid": JOB,
        "actionDescription": "Processing image",
    }
    wire.on("GET", JOB_PATH, job_state("DONE", unitsErrorCount=1, unitErrors=[error]))
    urls = client.poll_upload_job(FOLDER, JOB).unit_errors[0].urls
    assert urls == ("https://b.s3.amazonaws.com/bad%20one.jpg", "s3://b/fine.jpg")


def test_a_hold_asks_again_at_growing_intervals_and_ends(wire, client, monkeypatch):
    clock = [0.0]
    slept = []
    monkeypatch.setattr(client_module.time, "monotonic", lambda: clock[0])

    def sleep(seconds):
        slept.append(seconds)
        clock[0] += seconds

    monkeypatch.setattr(client_module.time, "sleep", sleep)
    wire.on("GET", JOB_PATH, job_state("PENDING"))
    assert not client.poll_upload_job(FOLDER, JOB, hold_s=5).finished
    assert slept == [0.5, 1.0, 2.0, 1.5]
    slept.clear()
    wire.on("GET", JOB_PATH, lambda _: job_state("DONE" if slept else "PENDING"))
    assert client.poll_upload_job(FOLDER, JOB, hold_s=5).finished
    assert slept == [0.5]


@pytest.mark.parametrize("status", [429, 500, 503, 504, None])
def test_a_poll_that_fails_is_not_repeated(wire, client, status):
    dropped = requests.exceptions.ConnectionError("dropped")
    answer = (status, {"message": "busy"}, {"Retry-After": "600"}) if status else dropped
    wire.on("GET", JOB_PATH, answer)
    with pytest.raises(EncordError) as caught:
        client.poll_upload_job(FOLDER, JOB)
    assert caught.value.transient
    assert caught.value.retry_after_s == (600 if status else None)
    assert len(wire.sent) == 1


def test_an_unknown_state_is_permanent(wire, client):
    wire.on("GET", JOB_PATH, job_state("EXPLODED"))
    with pytest.raises(EncordError, match="not one that the installed SDK understands") as caught:
        client.poll_upload_job(FOLDER, JOB)
    assert not caught.value.transient


def test_a_cancel(wire, client):
    wire.on("POST", f"{JOB_PATH}/cancel", {"unitsCancelledCount": 4})
    assert client.cancel_upload_job(FOLDER, JOB) == 4


# Items


def test_items_are_streamed_over_all_pages(wire, client):
    def page(sent):
        assert sent.query["pageSize"] == ["1000"]
        number = int(sent.query.get("pageToken", ["0"])[0])
        return {
            "results": [item(number, f"s3://b/{number}.jpg")],
            "nextPageToken": str(number + 1) if number < 2 else None,
        }

    wire.on("GET", f"{FOLDER_PATH}/items", page)
    found = list(client.folder_items(FOLDER))
    assert [one.url for one in found] == ["s3://b/0.jpg", "s3://b/1.jpg", "s3://b/2.jpg"]
    assert found[0] == FolderItem(str(UUID(int=1000)), "0.jpg", "s3://b/0.jpg", "image", None)
    assert "isInDataset" not in wire.sent[-1].query


def test_only_unlinked_items_can_be_asked_for(wire, client):
    wire.on("GET", f"{FOLDER_PATH}/items", {"results": [], "nextPageToken": None})
    assert list(client.folder_items(FOLDER, unlinked_only=True)) == []
    assert wire.sent[-1].query["isInDataset"] == ["False"]


def test_a_group_has_its_type_its_frames_and_no_url(wire, client):
    group = item(0) | {"item_type": "imageGroup", "frame_count": 7}
    wire.on("GET", f"{FOLDER_PATH}/items", {"results": [group], "nextPageToken": None})
    [found] = client.folder_items(FOLDER)
    assert (found.url, found.item_type, found.frame_count) == (None, "image_group", 7)


def test_the_files_of_groups_are_asked_for_one_group_a_request(wire, client):
    numbers = range(1002)
    groups = {str(UUID(int=1000 + n)): item(n) | {"item_type": "dicomSeries"} for n in numbers}

    def children(sent):
        uuid = sent.path.split("/")[-2]
        urls = [f"s3://b/{uuid}/2.dcm", f"s3://b/{uuid}/10.dcm", None]
        return {"results": [item(n, url) for n, url in enumerate(urls)], "nextPageToken": None}

    wire.on(
        "POST", ".*/items/get-bulk", lambda sent: {"results": [groups[u] for u in sent.body["itemUuids"]]}
    )
    wire.on("GET", f"{FOLDER_PATH}/items/.*/child-items", children)
    found = list(client.child_urls(iter(groups)))
    assert [uuid for uuid, _ in found] == list(groups)
    assert all(urls == (f"s3://b/{uuid}/2.dcm", f"s3://b/{uuid}/10.dcm", None) for uuid, urls in found)
    assert sum(sent.method == "POST" for sent in wire.sent) == 2
    assert len(wire.sent) == len(groups) + 2


def test_no_groups_cost_no_request(wire, client):
    assert list(client.child_urls([])) == []
    assert wire.sent == []


def test_a_group_that_cannot_be_asked_is_an_error(wire, client):
    wire.on("POST", ".*/items/get-bulk", {"results": [item(0) | {"item_type": "imageGroup"}]})
    wire.on("GET", f"{FOLDER_PATH}/items/.*/child-items", (500, {"message": "boom"}))
    with pytest.raises(EncordError) as caught:
        list(client.child_urls([str(UUID(int=1000))]))
    assert caught.value.transient


def test_items_are_linked_in_batches_and_duplicates_skipped(wire, client):
    def legacy(sent):
        if sent.body["query_type"] == "dataset":
            row = {"dataset_hash": DATASET, "title": "S", "description": "", "dataset_type": "AWS"}
            return {"status": 200, "response": row}
        return {"status": 200, "response": []}

    wire.on("POST", "/public", legacy)
    assert client.link_items(DATASET, (str(UUID(int=n)) for n in range(1001))) == 1001
    payloads = [sent.body["values"]["payload"] for sent in wire.sent if sent.body["query_type"] != "dataset"]
    assert [len(payload["item_uuids"]) for payload in payloads] == [1000, 1]
    assert {payload["duplicates_behavior"] for payload in payloads} == {"SKIP"}


# Secrets, threads


def test_no_error_carries_the_key_or_a_query(wire, client, manifest):
    secret = "".join(KEY.splitlines()[1:-1])
    url = "https://x.example.com/a?X-Amz-Signature=cafe"
    for answer in ((400, {"message": f"see {url} and {KEY}"}), requests.exceptions.ConnectionError(url)):
        wire.on("POST", JOBS_PATH, answer)
        with pytest.raises(EncordError) as caught:
            start(client, manifest)
        shown = "".join(traceback.format_exception(caught.value))
        assert "cafe" not in shown
        assert not [line for line in KEY.splitlines()[1:-1] if line in shown]
        assert secret not in shown


def test_threads_may_share_a_client(wire, client):
    wire.on("GET", JOB_PATH, job_state("DONE"))
    states = []
    threads = [Thread(target=lambda: states.append(client.poll_upload_job(FOLDER, JOB))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [state.finished for state in states] == [True] * 8
