"""A storage folder in memory that behaves as Encord does for the register stage."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from cloud_sync.manifest.model import ManifestEntry
from cloud_sync.registration.model import CANCELLED, DONE, ERROR, PENDING, FolderItem, JobState, UnitError
from cloud_sync.registration.register import object_urls
from cloud_sync.run_folder import RunFolder


@dataclass
class FakeEncord:
    """Registers what it is sent; URLs with `bad` in them are refused, known ones are skipped.

    Attributes:
        polls_until_done: How many polls a job answers PENDING first.
        raises: What the next call of a method raises, by the method's name.
    """

    polls_until_done: int = 0
    raises: dict[str, list[Exception]] = field(default_factory=dict)
    items: dict[str, FolderItem] = field(default_factory=dict)
    linked: set[str] = field(default_factory=set)
    sent: list[bytes] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    jobs: dict[str, JobState] = field(default_factory=dict)
    waits: dict[str, int] = field(default_factory=dict)

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
        self.jobs[job_id] = self._process(list(object_urls(json.loads(content))), ignore_errors)
        self.waits[job_id] = self.polls_until_done
        self._called("answer")  # the job is made, its answer is lost
        return job_id

    def _process(self, urls: list[str], ignore_errors: bool) -> JobState:
        known = {item.url for item in self.items.values()}
        bad = [url for url in urls if "bad" in url]
        errors = tuple(UnitError((url,), "not an image", f"unit-{url}", "Processing") for url in bad)
        if bad and not ignore_errors:
            return JobState(ERROR, 0, 0, len(bad), 0, (), errors, ("a unit failed",))
        made = []
        for url in urls:
            if url not in known and url not in bad:
                uuid = f"item-{len(self.items) + 1}"
                self.items[uuid] = FolderItem(uuid, url.rsplit("/", 1)[-1], url)
                made.append(uuid)
        return JobState(DONE, 0, len(made), len(bad), 0, tuple(made), errors, ())

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

    def folder_items(self, folder_uuid: str, *, unlinked_only: bool = False) -> Iterator[FolderItem]:
        self._called("items")
        yield from (i for i in self.items.values() if not (unlinked_only and i.uuid in self.linked))

    def link_items(self, dataset_uuid: str, uuids: Iterable[str]) -> int:
        self._called("link")
        wanted = list(uuids)
        self.linked.update(wanted)
        return len(wanted)


def write_manifest(folder: RunFolder, number: int, *urls: str) -> ManifestEntry:
    """Write a manifest of images as the build stage does, and return its entry."""
    content = {"images": [{"objectUrl": url} for url in urls], "skip_duplicate_urls": True}
    data = json.dumps(content).encode()
    digest = hashlib.sha256(data).hexdigest()
    name = f"manifests/{number:04}-{digest[:12]}.json"
    folder.write(name, data)
    return ManifestEntry(number=number, name=name, items=len(urls), files=len(urls), sha256=digest)
