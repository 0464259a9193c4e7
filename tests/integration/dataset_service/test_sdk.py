"""The unmodified SDK against the service as a process and a real store."""

from __future__ import annotations

import time
import uuid
from datetime import UTC, datetime, timedelta

import pytest
from encord.exceptions import (
    AuthenticationError,
    AuthorisationError,
    InvalidArgumentsError,
    ResourceExistsError,
    ResourceNotFoundError,
)
from encord.orm.dataset import DataLinkDuplicatesBehavior, DatasetAccessSettings, LongPollingStatus
from encord.orm.storage import (
    CustomerProvidedVideoMetadata,
    DataUploadImage,
    DataUploadItems,
    DataUploadVideo,
    FoldersSortBy,
    StorageItemType,
    StorageLocationName,
)

from tests.servers import free_ports

from .conftest import BUCKET, PICTURES


def sums(state) -> tuple[int, int, int, int]:
    return (
        state.units_pending_count,
        state.units_done_count,
        state.units_error_count,
        state.units_cancelled_count,
    )


def test_encord_integrations_by_title_and_uuid(service):
    user = service.client()
    (only,) = user.get_cloud_integrations()
    assert only.title == service.encord_integration
    assert user.get_cloud_integrations(filter_integration_uuids=[only.id]) == [only]
    assert user.get_cloud_integrations(filter_integration_titles=["other"]) == []
    assert user.get_cloud_integrations([only.id], ["other"]) == []
    with pytest.raises(AuthorisationError):
        user.get_cloud_integrations(include_org_access=True)


def test_a_stranger_is_turned_away_in_both_protocols(service):
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
    from encord import EncordUserClient

    key = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    user = EncordUserClient.create_with_ssh_private_key(key.decode(), domain=service.url)
    with pytest.raises(AuthenticationError, match="not registered"):
        user.get_cloud_integrations()
    with pytest.raises(AuthenticationError):
        user.get_dataset(str(uuid.uuid4()))


def test_datasets_are_found_by_their_filters(service):
    user = service.client()
    made = user.create_dataset("Filters 100%", 1, "about filters", create_backing_folder=False)
    assert made["backing_folder_uuid"] is None
    hour = timedelta(hours=1)
    now = datetime.now(UTC)
    for found in (
        {"title_eq": "Filters 100%"},
        {"title_like": "filters%"},
        {"desc_eq": "about filters"},
        {"desc_like": "%FILTERS%"},
        {"title_eq": "Filters 100%", "created_after": now - hour, "edited_before": now + hour},
    ):
        (listed,) = user.get_datasets(**found)
        assert listed["dataset"].dataset_hash == made["dataset_hash"]
    assert user.get_datasets(title_eq="Filters 100%", created_before=now - hour) == []
    dataset = user.get_dataset(made["dataset_hash"], include_data_rows=False)
    assert (dataset.title, dataset.description, dataset.backing_folder_uuid) == (
        "Filters 100%",
        "about filters",
        None,
    )


def test_an_unknown_dataset_is_not_found(service):
    with pytest.raises(ResourceNotFoundError, match="does not exist"):
        service.client().get_dataset(str(uuid.uuid4()))
    with pytest.raises(AuthorisationError):
        service.client().get_storage_folder(uuid.uuid4())


def test_good_objects_are_registered_and_bad_ones_reported(desk):
    url = desk.s3.url
    content = {
        "videos": [
            {"objectUrl": url(BUCKET, "clips/phone.mp4"), "title": "phone", "clientMetadata": {"site": 3}},
            {"objectUrl": url(BUCKET, "bad/text.mp4")},
        ],
        "images": [
            {"objectUrl": url(BUCKET, "odd/with%20space%20%26%20%C3%BCmlaut%2B.jpg")},
            {"objectUrl": url(BUCKET, "bad/empty.jpg")},
            {"objectUrl": url(BUCKET, "bad/truncated.jpg")},
            {"objectUrl": url(BUCKET, "bad/missing.jpg")},
            {"objectUrl": url("private", "secret.jpg")},
            {"objectUrl": "https://media.s3.eu-west-1.amazonaws.com/pictures/00.jpg"},
            {"objectUrl": "http://169.254.169.254/media/pictures/00.jpg"},
            {"objectUrl": url(BUCKET, "pictures/00 .jpg")},
        ],
    }
    state = desk.upload(content)
    assert (state.status, sums(state)) == (LongPollingStatus.DONE, (0, 2, 8, 0))
    errors = {error.object_urls[0].rpartition("/")[2]: error.error for error in state.unit_errors}
    assert errors["text.mp4"].startswith("Expected a video, got a file of type text/plain")
    assert "empty" in errors["empty.jpg"]
    assert "truncated" in errors["truncated.jpg"]
    assert "does not exist" in errors["missing.jpg"]
    assert "outside the integration" in errors["secret.jpg"]
    assert "whitespace" in errors["00 .jpg"]
    for error in state.unit_errors:
        assert error.object_urls[0] in error.error
    assert sorted(desk.names()) == ["phone", "with space & ümlaut+.jpg"]
    phone = next(item for item in desk.folder.list_items() if item.name == "phone")
    assert (phone.item_type, phone.mime_type) == (StorageItemType.VIDEO, "video/mp4")
    assert (phone.url, phone.client_metadata) == (url(BUCKET, "clips/phone.mp4"), {"site": 3})
    assert phone.storage_location == StorageLocationName.S3_COMPATIBLE
    assert {row.backing_item_uuid for row in desk.rows()} == {
        item.item_uuid for item in state.items_with_names
    }


def test_one_error_refuses_all_unless_errors_are_ignored(desk):
    content = desk.pictures(0, 5)
    content["images"].append({"objectUrl": desk.s3.url(BUCKET, "bad/missing.jpg")})
    state = desk.upload(content, ignore_errors=False)
    assert (state.status, sums(state)) == (LongPollingStatus.ERROR, (0, 0, 1, 5))
    assert desk.names() == []
    assert desk.rows() == []
    state = desk.upload(content, ignore_errors=True)
    assert (state.status, sums(state)) == (LongPollingStatus.DONE, (0, 5, 1, 0))
    assert len(desk.names()) == len(desk.rows()) == 5


def test_duplicates_are_skipped_when_asked(desk):
    desk.upload(desk.pictures(0, 3))
    state = desk.upload(desk.pictures(0, 5, skip_duplicate_urls=True))
    assert (sums(state), len(state.items_with_names)) == ((0, 5, 0, 0), 2)
    assert len(desk.names()) == len(desk.rows()) == 5
    desk.upload(desk.pictures(0, 1))
    assert len(desk.names()) == 6


def test_the_typed_form_with_supplied_metadata(desk):
    metadata = CustomerProvidedVideoMetadata(
        fps=30, duration=2.5, width=64, height=48, file_size=9, mime_type="video/mp4"
    )
    state = desk.upload(
        DataUploadItems(
            videos=[
                DataUploadVideo(
                    object_url=desk.s3.url(BUCKET, "clips/not-read.mp4"), title="v", video_metadata=metadata
                )
            ],
            images=[
                DataUploadImage(
                    object_url=desk.s3.url(BUCKET, "pictures/00.jpg"), client_metadata={"a": {"b": None}}
                )
            ],
            skip_duplicate_urls=True,
        ),
        ignore_errors=False,
    )
    assert state.status == LongPollingStatus.DONE
    video, picture = desk.user.get_storage_items([item.item_uuid for item in state.items_with_names])
    assert (video.fps, video.duration, video.width, video.height, video.file_size) == (30, 2.5, 64, 48, 9)
    assert picture.client_metadata == {"a": {"b": None}}
    assert desk.user.get_storage_item(picture.uuid).name == "00.jpg"
    settings = DatasetAccessSettings(fetch_client_metadata=True)
    rows = desk.user.get_dataset(desk.dataset_hash, settings).list_data_rows(title_eq="00.jpg")
    assert [dict(row.client_metadata) for row in rows] == [{"a": {"b": None}}]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"vidoes": []}, "vidoes: is not a known top-level key"),
        ({"image_groups": [{"objectUrl_0": "s3://media/a"}]}, r"image_groups\[0\]: title: Field required"),
        ({"scenes": [{"title": "s", "scene": {}}]}, "scenes: is not supported"),
        ({"images": [{"title": "no url"}]}, r"images\[0\]: objectUrl: Field required"),
        ({}, "holds no items"),
    ],
)
def test_a_wrong_manifest_is_refused_at_once(desk, content, message):
    with pytest.raises(InvalidArgumentsError, match=message):
        desk.upload(content)


def test_an_unknown_encord_integration_is_refused(desk):
    with pytest.raises(InvalidArgumentsError, match="is unknown"):
        desk.folder.add_private_data_to_folder_start(str(uuid.uuid4()), desk.pictures(0, 1))


def test_lists_go_on_past_the_first_page(desk):
    desk.upload(desk.pictures())
    ascending = [item.name for item in desk.folder.list_items(page_size=7)]
    assert ascending == [f"{n:02}.jpg" for n in range(PICTURES)]
    assert [item.name for item in desk.folder.list_items(page_size=7, desc=True)] == ascending[::-1]
    by_age = [item.name for item in desk.folder.list_items(page_size=4, order=FoldersSortBy.CREATED_AT)]
    assert sorted(by_age) == ascending
    assert [item.name for item in desk.folder.list_items(search="1", page_size=5)] == [
        name for name in ascending if "1" in name
    ]
    assert list(desk.folder.list_items(item_types=[StorageItemType.VIDEO])) == []
    assert len(list(desk.folder.list_items(is_in_dataset=True, page_size=9))) == PICTURES
    assert list(desk.folder.list_items(is_in_dataset=False)) == []
    bare = next(iter(desk.folder.list_items(include_client_metadata=False)))
    assert bare.client_metadata == {}


def test_folders_in_folders(service):
    user = service.client()
    top = user.create_storage_folder("Tree top", "the top", {"a": 1})
    children = [user.create_storage_folder(f"child {n:02}", parent_folder=top) for n in range(7)]
    leaf = user.create_storage_folder("leaf", parent_folder=children[0].uuid)
    assert (top.description, top.client_metadata) == ("the top", {"a": 1})
    assert [each.name for each in top.list_subfolders(page_size=3)] == [f"child {n:02}" for n in range(7)]
    assert [each.name for each in leaf.path_to_root] == ["leaf", "child 00", "Tree top"]
    assert leaf.parent_uuid == children[0].uuid
    assert [each.uuid for each in user.list_storage_folders(search="tree TOP")] == [top.uuid]
    assert list(user.list_storage_folders(search="leaf")) == []
    assert [each.uuid for each in user.find_storage_folders(search="leaf")] == [leaf.uuid]
    assert [each.name for each in top.find_subfolders(search="leaf")] == ["leaf"]


def test_folders_of_datasets_are_told_apart(desk):
    title = desk.folder.name
    assert [f.uuid for f in desk.user.list_storage_folders(search=title, dataset_synced=True)] == [
        desk.folder.uuid
    ]
    assert list(desk.user.list_storage_folders(search=title, dataset_synced=False)) == []
    (element,) = desk.folder.path_to_root
    assert str(element.synced_dataset_hash) == desk.dataset_hash


def test_items_of_a_free_folder_are_linked(desk):
    free = desk.user.create_storage_folder("free")
    job = free.add_private_data_to_folder_start(desk.integration, desk.pictures(0, 3), ignore_errors=True)
    state = free.add_private_data_to_folder_get_result(job)
    uuids = [item.item_uuid for item in state.items_with_names]
    assert desk.rows() == []
    assert len(list(free.list_items(is_in_dataset=False))) == 3
    dataset = desk.user.get_dataset(desk.dataset_hash)
    assert [row.backing_item_uuid for row in dataset.link_items(uuids[:2])] == uuids[:2]
    assert [row.backing_item_uuid for row in dataset.link_items(uuids)] == uuids[2:]
    with pytest.raises(ResourceExistsError):
        dataset.link_items(uuids, DataLinkDuplicatesBehavior.FAIL)
    assert len(dataset.link_items(uuids, DataLinkDuplicatesBehavior.DUPLICATE)) == 3
    assert len(desk.rows()) == 6
    with pytest.raises(AuthorisationError):
        dataset.link_items([uuid.uuid4()])


def test_the_legacy_upload_to_a_dataset(desk):
    dataset = desk.user.get_dataset(desk.dataset_hash)
    content = desk.pictures(0, 2)
    content["images"].append({"objectUrl": desk.s3.url(BUCKET, "bad/missing.jpg")})
    job = dataset.add_private_data_to_dataset_start(desk.integration, content, ignore_errors=True)
    state = dataset.add_private_data_to_dataset_get_result(job, timeout_seconds=20)
    assert (state.status, sums(state)) == (LongPollingStatus.DONE, (0, 2, 1, 0))
    assert len(state.data_unit_errors) == 1
    named = {info.data_hash: info.backing_item_uuid for info in state.data_hashes_with_titles}
    assert {row.uid: row.backing_item_uuid for row in desk.rows()} == named
    assert dataset.add_private_data_to_dataset_get_result(job, timeout_seconds=0).status == state.status
    with pytest.raises(InvalidArgumentsError, match="folder of its own"):
        dataset.add_private_data_to_dataset_start(desk.integration, content, folder=desk.folder)


def test_the_legacy_upload_needs_a_folder_where_the_dataset_has_none(desk):
    made = desk.user.create_dataset("no folder", 4, create_backing_folder=False)
    dataset = desk.user.get_dataset(made["dataset_hash"])
    with pytest.raises(InvalidArgumentsError, match="name one"):
        dataset.add_private_data_to_dataset_start(desk.integration, desk.pictures(0, 1))
    for _ in range(2):
        job = dataset.add_private_data_to_dataset_start(
            desk.integration, desk.pictures(0, 2, skip_duplicate_urls=True), folder=desk.folder
        )
        assert dataset.add_private_data_to_dataset_get_result(job).status == LongPollingStatus.DONE
    assert len(dataset.list_data_rows()) == len(desk.names()) == len(desk.rows()) == 2


def test_a_poll_without_patience_answers_at_once(desk):
    started = time.monotonic()
    job = desk.folder.add_private_data_to_folder_start(desk.integration, desk.pictures(), ignore_errors=True)
    desk.folder.add_private_data_to_folder_get_result(job, timeout_seconds=0)
    assert time.monotonic() - started < 2
    with pytest.raises(ResourceNotFoundError):
        desk.folder.add_private_data_to_folder_get_result(uuid.uuid4(), timeout_seconds=0)


def test_a_taken_port_is_a_clear_message(service, s3, tmp_path):
    import subprocess
    import sys

    port = service.url.rpartition(":")[2]
    command = [sys.executable, "-m", "cloud_sync.dataset_service", "serve"]
    done = subprocess.run(
        [*command, "--config", str(service.config), "--port", port],
        env=service.environment,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        f"Error: 127.0.0.1:{port}: cannot be listened on: Address already in use. "
        "Choose another with --host or --port, or end what uses it."
    ]
    assert free_ports(1)
