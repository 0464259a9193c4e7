"""What the SDK puts on the wire, answered in memory: the real SDK runs, no socket is opened."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import requests

NOW = datetime(2026, 1, 2, tzinfo=UTC).isoformat()
FOLDER = str(UUID(int=1))
DATASET = str(UUID(int=2))
CREDENTIAL = str(UUID(int=3))
JOB = str(UUID(int=4))
FOLDER_PATH = f"/v2/public/storage/folders/{FOLDER}"
JOBS_PATH = f"{FOLDER_PATH}/data-upload-jobs"


@dataclass
class Clock:
    """A clock that moves only while somebody sleeps; set in the place of a module's `time`.

    Attributes:
        now: What it shows.
        slept: How long each sleep was.
    """

    now: float = 1_800_000_000.0
    slept: list[float] = field(default_factory=list)

    def time(self) -> float:
        return self.now

    monotonic = time

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@dataclass
class Sent:
    """One request of the SDK."""

    method: str
    path: str
    query: dict[str, list[str]]
    body: Any
    headers: dict[str, str]
    timeout_s: tuple[float, float]
    at: float = 0.0


@dataclass
class Wire:
    """Answers requests by method and path; what nobody answers is a 404.

    An answer is JSON for status 200, a status and JSON, an exception to raise, or a function of the
    request that gives one of them.
    """

    answers: list[tuple[str, str, Any]] = field(default_factory=list)
    sent: list[Sent] = field(default_factory=list)
    clock: Clock = field(default_factory=Clock)

    def on(self, method: str, path: str, answer: Any) -> None:
        self.answers.insert(0, (method, path, answer))

    def send(self, request: requests.PreparedRequest, **settings: Any) -> requests.Response:
        url = urlsplit(request.url)
        body = json.loads(request.body) if request.body else None
        timeout = settings["timeout"]
        query = parse_qs(url.query)
        sent = Sent(request.method, url.path, query, body, dict(request.headers), timeout, self.clock.now)
        self.sent.append(sent)
        answer = next(
            (a for m, p, a in self.answers if m == sent.method and re.fullmatch(p, sent.path)), None
        )
        if isinstance(answer, Callable):
            answer = answer(sent)
        if isinstance(answer, Exception):
            raise answer
        return _response(request, (404, {"message": "unknown"}) if answer is None else answer)

    def paths(self) -> list[str]:
        return [f"{sent.method} {sent.path.removeprefix('/v2/public/')}" for sent in self.sent]


def _response(request: requests.PreparedRequest, answer: Any) -> requests.Response:
    status, content, *headers = answer if isinstance(answer, tuple) else (200, answer)
    response = requests.Response()
    response.status_code = status
    response.request, response.url = request, request.url
    response._content = content if isinstance(content, bytes) else json.dumps(content).encode()
    response.headers.update(*headers)
    return response


def folder(name: str = "Folder", uuid: str = FOLDER) -> dict[str, Any]:
    """Return a storage folder as Encord answers."""
    return {
        "uuid": uuid,
        "parent": None,
        "name": name,
        "description": "",
        "clientMetadata": None,
        "owner": "a@example.com",
        "createdAt": NOW,
        "lastEditedAt": NOW,
        "userRole": "admin",
        "syncedDatasetHash": None,
        "pathToRoot": [],
    }


def dataset(title: str, uuid: str = DATASET, backing_folder: str | None = FOLDER) -> dict[str, Any]:
    """Return a dataset as Encord lists it."""
    return {
        "datasetUuid": uuid,
        "title": title,
        "description": "",
        "createdAt": NOW,
        "lastEditedAt": NOW,
        "userRole": None,
        "storageLocation": 1,
        "backingFolderUuid": backing_folder,
    }


def job_state(status: str = "PENDING", **changes: Any) -> dict[str, Any]:
    """Return the state of an upload job as Encord answers."""
    state = {
        "status": status,
        "itemsWithNames": [],
        "errors": [],
        "unitsPendingCount": 0,
        "unitsDoneCount": 0,
        "unitsErrorCount": 0,
        "unitsCancelledCount": 0,
        "unitErrors": [],
    }
    return state | changes


def item(number: int, url: str | None = None) -> dict[str, Any]:
    """Return a storage item as Encord answers: every field must be present, if only as null."""
    from encord.orm.storage import StorageItem

    fields = dict.fromkeys(StorageItem.model_fields)
    return fields | {
        "uuid": str(UUID(int=1000 + number)),
        "parent": FOLDER,
        "item_type": "image",
        "name": f"{number}.jpg",
        "description": "",
        "client_metadata": "{}",
        "owner": "a@example.com",
        "created_at": NOW,
        "last_edited_at": NOW,
        "is_tombstone": False,
        "is_placeholder": False,
        "backed_data_units_count": 0,
        "storage_location": "s3",
        "url": url,
    }
