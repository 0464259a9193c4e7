"""A process that is killed between any two requests leaves what was there, or what was to be there."""

from __future__ import annotations

from itertools import count
from typing import Any

import obstore
import pytest

from cloud_sync.ledger import Ledger
from cloud_sync.registration.jobs import JobRecord, record_name, set_aside
from cloud_sync.run_folder import RunFolder
from tests.unit.places import in_memory
from tests.unit.test_ledger import night, rows

REQUESTS = ("get", "put", "delete", "list", "list_with_delimiter")


class KilledError(BaseException):
    """The end of the process: nothing that follows reaches the store."""


class Process:
    """Lets through a number of requests, and then none."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.left = float("inf")
        for name in REQUESTS:
            monkeypatch.setattr(obstore, name, self.counted(getattr(obstore, name)))

    def counted(self, request: Any) -> Any:
        def counted(*args: Any, **options: Any) -> Any:
            self.left -= 1
            if self.left < 0:
                raise KilledError
            return request(*args, **options)

        return counted


@pytest.fixture
def process(monkeypatch) -> Process:
    return Process(monkeypatch)


def folders() -> tuple[RunFolder, RunFolder]:
    """Return a folder, and the same as another process sees it: an hour later, so that leases have ended."""
    one = in_memory()
    return one, one.below("")


def test_a_commit(process):
    for requests in count():
        one, other = folders()
        before = night(Ledger(one.files), 1, ["a.jpg"])
        one.files._bucket.check()
        process.left = requests
        try:
            night(Ledger(one.files), 2, ["b.jpg"])
        except KilledError:
            killed = True
        else:
            killed = False
        process.left = float("inf")
        other.files._bucket._ahead_s += 3600
        found = Ledger(other.files).current()
        assert found == before or set(rows(found)) == {"a.jpg", "b.jpg"}
        assert {"a.jpg", "c.jpg"} <= set(rows(night(Ledger(other.files), 3, ["c.jpg"])))
        if not killed:
            break
    assert requests > 5


def test_setting_records_aside(process):
    record = {"number": 0, "manifest": "manifests/0000-aa.json", "items": 1, "status": "planned"}
    for requests in count():
        one, other = folders()
        one.write_json(record_name(0), record)
        process.left = requests
        try:
            set_aside(one, [])
        except KilledError:
            killed = True
        else:
            killed = False
        process.left = float("inf")
        places = other.names("jobs/*.json") + other.names("superseded/jobs/*.json")
        assert places
        assert all(JobRecord.from_json(other.read_json(name)).number == 0 for name in places)
        set_aside(other, [])
        assert other.names("jobs/*.json") == []
        if not killed:
            break
    assert requests > 3
