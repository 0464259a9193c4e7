"""A storage folder in memory that behaves as Encord does for the register stage."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from cloud_sync.manifest.build import ITEMS_SCHEMA
from cloud_sync.manifest.items import GROUPED_TYPES
from cloud_sync.manifest.model import ITEMS_NAME, ManifestEntry, SentItem
from cloud_sync.registration.model import CANCELLED, DONE, ERROR, PENDING, FolderItem, JobState, UnitError
from cloud_sync.run_folder import RunFolder
from tests.unit.tables import an_object


@dataclass
class FakeEncord:
    """Registers what it is sent; URLs with `bad` in them are refused, known ones are skipped.

    Attributes:
        polls_until_done: How many polls a job answers PENDING first.
        raises: What the next call of a method raises, by the method's name.
        refuses: How often a file is still refused for a reason that passes, by the end of its URL.
    """

    polls_until_done: int = 0
    raises: dict[str, list[Exception]] = field(default_factory=dict)
    refuses: dict[str, int] = field(default_factory=dict)
    items: dict[str, FolderItem] = field(default_factory=dict)
    files: dict[str, tuple[str, ...]] = field(default_factory=dict)
    linked: set[str] = field(default_factory=set)
    sent: list[bytes] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    jobs: dict[str, JobState] = field(default_factory=dict)
    waits: dict[str, int] = field(default_factory=dict)
    is_backing_folder: bool = False
    asked: list[str] = field(default_factory=list)
    moved: dict[str, tuple[str, FolderItem]] = field(default_factory=dict)

    def _called(self, name: str) -> None:
        self.calls.append(name)
        if queue := self.raises.get(name):
            raise queue.pop(0)

    def start_upload_job(
        self, folder_uuid: str, manifest: Path, *, encord_integration_uuid: str | None, ignore_errors: bool
    ) -> str:
        self._called("start")
        assert folder_uuid == "folder-1"
        assert encord_integration_uuid == "credential-1"
        content = manifest.read_bytes()
        self.sent.append(content)
        job_id = f"job-{len(self.sent)}"
        self.jobs[job_id] = self._process(list(items_of(json.loads(content))), ignore_errors)
        self.waits[job_id] = self.polls_until_done
        self._called("answer")  # the job is made, its answer is lost
        return job_id

    def _process(self, items: list[SentItem], ignore_errors: bool) -> JobState:
        known = {(item.item_type, self.files[item.uuid]) for item in self.items.values()}
        bad = [item for item in items if any("bad" in url for url in item.object_urls) or self._refused(item)]
        errors = tuple(
            UnitError(item.object_urls, "not an image", f"unit-{item.object_urls[0]}", "Processing")
            for item in bad
        )
        if bad and not ignore_errors:
            return JobState(ERROR, 0, 0, len(bad), 0, (), errors, ("a unit failed",))
        new = [item for item in items if (item.item_type, item.object_urls) not in known and item not in bad]
        made = tuple(self.hold(item) for item in new)
        return JobState(DONE, 0, len(made), len(bad), 0, made, errors, ())

    def _refused(self, item: SentItem) -> bool:
        for end, times in self.refuses.items():
            if times and any(url.endswith(end) for url in item.object_urls):
                self.refuses[end] -= 1
                return True
        return False

    def hold(self, item: SentItem) -> str:
        """Put an item into the folder and return its uuid."""
        uuid, urls = f"item-{len(self.items) + len(self.moved) + 1}", item.object_urls
        single = item.item_type not in GROUPED_TYPES
        name = item.title or urls[0].rsplit("/", 1)[-1]
        self.items[uuid] = FolderItem(
            uuid, name, urls[0] if single else None, item.item_type, None if single else len(urls)
        )
        self.files[uuid] = urls
        return uuid

    def poll_upload_job(self, folder_uuid: str, job_id: str, hold_s: float = 0) -> JobState:
        self._called("poll")
        if self.waits[job_id] > 0:
            self.waits[job_id] -= 1
            return JobState(PENDING, 3, 0, 0, 0, (), (), ())
        return self.jobs[job_id]

    def cancel_upload_job(self, folder_uuid: str, job_id: str) -> int:
        self._called("cancel")
        self.waits[job_id] = 0
        self.jobs[job_id] = JobState(CANCELLED, 0, 0, 0, 3, (), (), ())
        return 3

    def folder_items(
        self, folder_uuid: str, *, unlinked_only: bool = False, linked_only: bool = False
    ) -> Iterator[FolderItem]:
        self._called("items")
        for item in self.items.values():
            is_linked = self.is_backing_folder or item.uuid in self.linked
            if not ((unlinked_only and item.uuid in self.linked) or (linked_only and not is_linked)):
                yield item

    def child_urls(self, item_uuids: Iterable[str]) -> Iterator[tuple[str, tuple[str | None, ...]]]:
        for uuid in item_uuids:
            self.asked.append(uuid)
            yield uuid, self.files[uuid]

    def dataset_items(self, dataset_uuid: str) -> set[str]:
        self._called("rows")
        return self.linked

    def link_items(self, dataset_uuid: str, uuids: Iterable[str]) -> int:
        self._called("link")
        wanted = list(uuids)
        self.linked.update(wanted)
        return len(wanted)

    def ensure_folder(self, name_or_uuid: str) -> str:
        self._called("folder")
        return f"folder {name_or_uuid!r}"

    def unlink_items(self, dataset_uuid: str, uuids: Iterable[str]) -> int:
        self._called("unlink")
        leaving = self.linked & set(uuids)
        self.linked -= leaving
        return len(leaving)

    def move_items(self, folder_uuid: str, new_folder_uuid: str, uuids: Iterable[str]) -> int:
        self._called("move")
        for uuid in (moved := list(uuids)):
            self.moved[uuid] = (new_folder_uuid, self.items.pop(uuid))
            self.linked.discard(uuid)
        return len(moved)


def items_of(manifest: dict[str, Any]) -> Iterator[SentItem]:
    """Read images and image groups as Encord does."""
    for entry in manifest.get("images", ()):
        yield SentItem(0, "image", (entry["objectUrl"],), entry.get("title"))
    for entry in manifest.get("image_groups", ()):
        urls = tuple(url for name, url in entry.items() if name.startswith("objectUrl_"))
        yield SentItem(0, "image_sequence" if entry["createVideo"] else "image_group", urls, entry["title"])


def write_manifest(folder: RunFolder, number: int, *urls: str | Sequence[str]) -> ManifestEntry:
    """Write a manifest as the build stage does, and its items; return its entry.

    Args:
        folder: The run folder.
        number: The manifest's number.
        urls: A text is an image; several are an image group, whose title is the first URL.
    """
    groups = [one for one in urls if not isinstance(one, str)]
    content = {
        "images": [{"objectUrl": url} for url in urls if isinstance(url, str)],
        "image_groups": [
            {"title": one[0], "createVideo": False} | {f"objectUrl_{n}": url for n, url in enumerate(one)}
            for one in groups
        ],
        "skip_duplicate_urls": True,
    }
    data = json.dumps({key: value for key, value in content.items() if value != []}).encode()
    digest = hashlib.sha256(data).hexdigest()
    name = f"manifests/{number:04}-{digest[:12]}.json"
    folder.write(name, data)
    files = len(urls) + sum(len(group) - 1 for group in groups)
    _add_items(folder, number, content)
    return ManifestEntry(number=number, name=name, items=len(urls), files=files, sha256=digest)


def _add_items(folder: RunFolder, number: int, content: dict[str, Any]) -> None:
    rows = [
        an_object(url)
        | {"url": url, "item_type": item.item_type, "item_key": item.object_urls[0]}
        | {"position": position, "title": item.title, "manifest": number}
        for item in items_of(content)
        for position, url in enumerate(item.object_urls)
    ]
    path = folder.path(ITEMS_NAME)
    before = pq.read_table(path).to_pylist() if path.exists() else []
    kept = [row for row in before if row["manifest"] != number]
    pq.write_table(pa.Table.from_pylist(kept + rows, ITEMS_SCHEMA), path)
