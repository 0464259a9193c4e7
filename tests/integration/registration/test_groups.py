"""Items of several files, and the SDK's own dialect: the real SDK against the running dataset service."""

from __future__ import annotations

import hashlib
import json

import pyarrow.parquet as pq
import pytest

from cloud_sync.failures.settle import SettleContext, settle
from cloud_sync.ledger import Ledger
from cloud_sync.manifest.model import (
    ITEMS_NAME,
    ManifestEntry,
    ManifestIndex,
    items_of_manifests,
    write_index,
)
from cloud_sync.objects.stores import open_s3
from cloud_sync.planning.model import REGISTER_NAME
from cloud_sync.registration.folder import find_items
from cloud_sync.registration.jobs import JobStatus
from cloud_sync.registration.model import read_outcome
from cloud_sync.run_folder import sha256_of
from tests.integration.registration.conftest import BUCKET
from tests.integration.registration.test_register import HOLD_S, Dying, KilledError

GROUP = ("2.jpg", "0.jpg", "1.jpg")
OTHER = ("3.jpg", "4.jpg")


def children_by_name(desk) -> dict[str, list[str]]:
    folder = desk.user.get_storage_folder(desk.target().folder_uuid)
    return {item.name: [child.url for child in item.get_child_items()] for item in folder.list_items()}


@pytest.mark.parametrize("backing_folder", [True, False])
def test_a_group_is_registered_as_a_whole_or_not_at_all(open_desk, backing_folder):
    desk = open_desk(backing_folder=backing_folder)
    record = desk.registrar().advance(desk.manifest(GROUP, ("3.jpg", "bad.jpg"), "5.jpg"), hold_s=HOLD_S)
    outcome = read_outcome(desk.folder, 0)
    assert record.status is JobStatus.DONE
    assert (outcome.items, outcome.made, outcome.failed) == (3, 2, 1)
    [error] = outcome.unit_errors
    assert desk.url("bad.jpg") in error.urls
    assert children_by_name(desk) == {
        desk.url(GROUP[0]): [desk.url(key) for key in GROUP],
        "5.jpg": [],
    }
    assert len(desk.rows()) == 2


def test_what_is_skipped_is_found_by_its_whole_list(open_desk):
    desk = open_desk()
    desk.registrar().advance(desk.manifest(GROUP, "5.jpg"), hold_s=HOLD_S)
    desk.registrar().advance(desk.manifest(GROUP, OTHER, GROUP[::-1], "5.jpg", number=1), hold_s=HOLD_S)
    outcome = read_outcome(desk.folder, 1)
    assert (outcome.items, outcome.made) == (4, 2)  # another order is another group
    sent = list(items_of_manifests(desk.folder.path(ITEMS_NAME), [1]))
    found, missing = find_items(desk.client, desk.target().folder_uuid, sent)
    assert (len(found), missing) == (4, [])
    desk.manifest((*GROUP, "3.jpg"), GROUP[:2], number=2)
    grown = list(items_of_manifests(desk.folder.path(ITEMS_NAME), [2]))
    assert find_items(desk.client, desk.target().folder_uuid, grown) == ([], grown)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("call", ["start_upload_job", "poll_upload_job", "link_items"])
def test_groups_of_a_task_killed_at_any_call_are_finished_by_the_next(open_desk, call, after):
    desk = open_desk(backing_folder=False)
    entry = desk.manifest(GROUP, OTHER, "5.jpg", ("bad.jpg",))
    with pytest.raises(KilledError):
        desk.registrar(client=Dying(desk.client, call, after=after)).advance(entry, hold_s=HOLD_S)
    record = desk.registrar().advance(entry, hold_s=HOLD_S)
    assert (record.status, read_outcome(desk.folder, 0).failed) == (JobStatus.DONE, 1)
    assert len(desk.rows()) == len(children_by_name(desk)) == 3


# The SDK's own dialect


def typed_manifest(desk) -> ManifestEntry:
    for key, body in {"a.pdf": b"%PDF-1.7\n", "a.nii": b"\x5c\x01\0\0" + b"\0" * 340 + b"n+1\0"}.items():
        desk.s3.client().put_object(Bucket=BUCKET, Key=key, Body=body)
    content = {
        "imageGroups": [
            {"title": "sequence", "createVideo": True, "images": [{"url": desk.url(key)} for key in GROUP]}
        ],
        "pdf": [{"objectUrl": desk.url("a.pdf"), "title": "paper", "clientMetadata": {"n": None}}],
        "nifti": [{"objectUrl": desk.url("a.nii")}],
        "skipDuplicateUrls": True,
    }
    data = json.dumps(content).encode()
    digest = hashlib.sha256(data).hexdigest()
    name = f"manifests/0000-{digest[:12]}.json"
    desk.folder.write(name, data)
    return ManifestEntry(0, name, 3, 5, digest)


def test_a_manifest_in_the_sdks_own_dialect(open_desk):
    desk = open_desk()
    record = desk.registrar().advance(typed_manifest(desk), hold_s=HOLD_S)
    outcome = read_outcome(desk.folder, 0)
    assert (record.status, outcome.items, outcome.made, outcome.unit_errors) == (JobStatus.DONE, 3, 3, ())
    assert children_by_name(desk) == {
        "sequence": [desk.url(key) for key in GROUP],
        "paper": [],
        "a.nii": [],
    }
    found = {item.name: item.item_type for item in desk.client.folder_items(desk.target().folder_uuid)}
    assert found == {"sequence": "image_sequence", "paper": "pdf", "a.nii": "nifti"}


# Settled


class Folder:
    """The target's folder, as the settle operator opens it."""

    def __init__(self, desk) -> None:
        self.desk = desk
        self.linked: list[str] = []

    def find(self, items):
        return find_items(self.desk.client, self.desk.target().folder_uuid, items)

    def link(self, item_uuids) -> None:
        self.linked += item_uuids


def settle_run(desk, root, *entries):
    folder = desk.folder
    folder.write(REGISTER_NAME, b"the plan")
    digests = [sha256_of(folder.path(name)) for name in (REGISTER_NAME, ITEMS_NAME)]
    write_index(folder, ManifestIndex(entries, 1, *digests))
    base = desk.url("")
    store = {
        "endpoint_url": desk.s3.endpoint_url,
        "access_key_id": desk.s3.access_key_id,
        "secret_access_key": desk.s3.secret_access_key,
    }
    ledger, encord_folder = Ledger(root / "ledger"), Folder(desk)
    result = settle(
        folder,
        context=SettleContext("night", desk.name, desk.dataset, base, lambda url: url.removeprefix(base)),
        ledger=ledger,
        open_reader=lambda: open_s3(BUCKET, **store),
        encord_folder=encord_folder,
    )
    rows = pq.read_table(ledger.current().path).to_pylist()
    return result, {row["url"].removeprefix(base): row["state"] for row in rows}, encord_folder


def test_a_run_of_made_skipped_and_failed_groups_is_settled(open_desk, tmp_path):
    desk = open_desk()
    desk.registrar().advance(desk.manifest(GROUP, number=1), hold_s=HOLD_S)
    entry = desk.manifest(GROUP, OTHER, ("5.jpg", "bad.jpg"))
    desk.registrar().advance(entry, hold_s=HOLD_S)
    result, states, encord_folder = settle_run(desk, tmp_path, entry)
    assert (result.registered, result.already_registered, result.failed) == (1, 1, 1)
    [failure] = result.failures
    assert (failure.object_url, failure.failure_class) == (desk.url("bad.jpg"), "wrong_type")
    assert failure.reason == "Expected an image, got a file of type text/plain."
    assert states == {
        **dict.fromkeys((*GROUP, *OTHER), "registered"),
        **dict.fromkeys(("5.jpg", "bad.jpg"), "quarantined"),
    }
    assert len(encord_folder.linked) == 2
