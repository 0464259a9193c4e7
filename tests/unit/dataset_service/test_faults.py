"""Fault switches: which request they strike, how often, and that nothing else changes."""

from __future__ import annotations

import time

import pytest
from pydantic import TypeAdapter

from cloud_sync.dataset_service.faults import FaultRule, FaultsMiddleware, FaultyReader
from cloud_sync.dataset_service.reader import FetchError
from tests.unit.dataset_service.memory import JPEG, MemoryReader


class Service:
    """An application that counts what reaches it."""

    def __init__(self) -> None:
        self.reached: list[str] = []

    async def __call__(self, scope, receive, send) -> None:
        self.reached.append(scope["path"])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ok"})


class Connection:
    """What uvicorn's request cycle is to the middleware."""

    def __init__(self) -> None:
        self.sent: list[dict] = []
        self.transport = self
        self.disconnected = False
        self.aborted = False

    async def send(self, message) -> None:
        self.sent.append(message)

    def abort(self) -> None:
        self.aborted = True


@pytest.fixture
def service() -> Service:
    return Service()


def middleware(service, *rules) -> FaultsMiddleware:
    return FaultsMiddleware(service, [TypeAdapter(FaultRule).validate_python(rule) for rule in rules])


async def request(app, path="/v2/public/x", method="GET") -> Connection:
    connection = Connection()
    await app({"type": "http", "path": path, "method": method}, None, connection.send)
    return connection


def status(connection: Connection) -> int:
    return connection.sent[0]["status"]


async def test_a_refusal_strikes_as_often_as_it_says(service):
    rule = {"fault": "refuse", "status": 429, "retry_after_s": 2, "after": 1, "times": 2}
    app = middleware(service, rule)
    answers = [await request(app) for _ in range(5)]
    assert [status(answer) for answer in answers] == [200, 429, 429, 200, 200]
    assert (b"retry-after", b"2") in answers[1].sent[0]["headers"]
    assert len(service.reached) == 3


async def test_a_rule_strikes_only_its_paths_and_methods(service):
    app = middleware(service, {"fault": "refuse", "status": 503, "path": "upload-jobs$", "methods": ["POST"]})
    assert status(await request(app, "/f/data-upload-jobs", "POST")) == 503
    assert status(await request(app, "/f/data-upload-jobs", "GET")) == 200
    assert status(await request(app, "/f/data-upload-jobs/1", "POST")) == 200


async def test_a_lost_answer_does_the_work_and_hangs_up(service):
    app = middleware(service, {"fault": "lose_answer", "times": 1})
    lost = await request(app)
    assert (lost.sent, lost.aborted, lost.disconnected) == ([], True, True)
    assert service.reached == ["/v2/public/x"]
    assert status(await request(app)) == 200


async def test_a_delay_comes_before_the_answer_and_joins_other_faults(service):
    app = middleware(
        service, {"fault": "delay", "delay_s": 0.05}, {"fault": "refuse", "status": 500, "path": "/x$"}
    )
    started = time.monotonic()
    assert status(await request(app)) == 500
    assert time.monotonic() - started >= 0.05
    assert status(await request(app, "/y")) == 200


class TestFailedFetches:
    def reader(self, *urls: str, **rule) -> FaultyReader:
        rule = TypeAdapter(FaultRule).validate_python({"fault": "fail_fetch", **rule})
        return FaultyReader(MemoryReader(dict.fromkeys(urls, JPEG)), [rule])

    def failures(self, reader: FaultyReader, url: str, fetches: int) -> list[str]:
        failed = []
        for _ in range(fetches):
            try:
                assert reader.size(url) == len(JPEG)
            except FetchError as error:
                failed.append(str(error))
        return failed

    def test_each_matching_object_fails_as_often_as_it_says_and_no_other(self):
        reader = self.reader("s3://b/a.jpg", "s3://b/c.jpg", "s3://b/d.png", url=r"\.jpg$", times=2)
        for url in ("s3://b/a.jpg", "s3://b/c.jpg"):
            assert self.failures(reader, url, 4) == [f"The object store could not be reached: {url}"] * 2
        assert self.failures(reader, "s3://b/d.png", 2) == []
        assert reader.read("s3://b/a.jpg", 0, 4) == JPEG[:4]

    def test_an_object_that_is_not_there_is_told_by_its_own_reason_afterwards(self):
        reader = self.reader(url="gone")
        said = self.failures(reader, "s3://b/gone.jpg", 2)
        assert [one.partition(":")[0] for one in said] == [
            "The object store could not be reached",
            "The object does not exist",
        ]

    def test_what_the_reader_may_do_stays_as_it_is(self):
        reader = FaultyReader(MemoryReader(storage_location="s3Compatible", writable=False), [])
        assert (reader.storage_location, reader.writable) == ("s3Compatible", False)
