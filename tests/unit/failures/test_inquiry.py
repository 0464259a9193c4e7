"""Asking the store: few requests, many side by side, and an end to them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cloud_sync.failures.inquiry import FIRST_IN_FLIGHT, MOST_IN_FLIGHT, OUTAGE, Inquiry, gather
from cloud_sync.failures.model import Evidence
from cloud_sync.media.sniff import HEAD_BYTES
from tests.unit.failures.fakes import JPEG, MP4, FakeStore

LONG_JPEG = JPEG[:-2] + b"x" * HEAD_BYTES + JPEG[-2:]


@pytest.mark.parametrize(
    ("content", "evidence", "calls"),
    [
        (JPEG, Evidence(size_bytes=len(JPEG), mime="image/jpeg"), ["start"]),
        (JPEG[:-2], Evidence(None, len(JPEG) - 2, "image/jpeg", False), ["start"]),
        (LONG_JPEG, Evidence(size_bytes=len(LONG_JPEG), mime="image/jpeg"), ["start", "tail"]),
        (LONG_JPEG[:-2], Evidence(None, len(LONG_JPEG) - 2, "image/jpeg", False), ["start", "tail"]),
        (MP4, Evidence(size_bytes=len(MP4), mime="video/mp4"), ["start"]),
        (MP4 + b"x" * HEAD_BYTES, Evidence(size_bytes=len(MP4) + HEAD_BYTES, mime="video/mp4"), ["start"]),
        (b"", Evidence(size_bytes=0, mime=""), ["start"]),
        ("forbidden", Evidence(refusal="forbidden"), ["start"]),
        ("no_bucket", Evidence(refusal="no_bucket"), ["start"]),
        ("unreachable", Evidence(refusal="unreachable"), ["start"]),
        ("missing", Evidence(refusal="missing"), ["start"]),
    ],
)
def test_one_or_two_small_requests_gather_the_evidence(content, evidence, calls):
    store = FakeStore({"a.jpg": content})
    found = gather(store, "a.jpg")
    assert replace(found, mime=found.mime if found.size_bytes else "") == evidence
    assert [call for call, _ in store.calls] == calls


def test_a_url_of_no_key_is_not_asked_for():
    store = FakeStore({})
    assert gather(store, None) == Evidence(refusal="other")
    assert store.calls == []


def keys(count: int) -> list[str]:
    return [f"{n}.jpg" for n in range(count)]


def test_a_store_that_takes_its_time_is_asked_about_many_at_once():
    store = FakeStore(dict.fromkeys(keys(200), JPEG), delay_s=0.02)
    found = Inquiry(store, 1000).ask(keys(200))
    assert list(found) == keys(200)
    assert FIRST_IN_FLIGHT < store.most_at_once <= MOST_IN_FLIGHT


@pytest.mark.parametrize("budget", [0, 1, 30])
def test_no_request_is_made_beyond_the_budget(budget):
    store = FakeStore(dict.fromkeys(keys(60), LONG_JPEG))
    inquiry = Inquiry(store, budget)
    found = inquiry.ask(keys(60))
    assert len(store.calls) == budget
    assert len(found) <= budget // 2
    assert inquiry.ended == "unasked"
    assert inquiry.ask(["more.jpg"]) == {}


def test_a_store_that_is_gone_is_not_waited_for_again_and_again():
    store = FakeStore(dict.fromkeys(keys(500), "unreachable"), delay_s=0.001)
    inquiry = Inquiry(store, 1000)
    assert set(inquiry.ask(keys(500)).values()) == {Evidence(refusal="unreachable")}
    assert inquiry.ended == "unreachable"
    assert OUTAGE <= len(store.calls) < OUTAGE + FIRST_IN_FLIGHT


def test_a_store_that_fails_now_and_then_is_asked_on():
    store = FakeStore({key: JPEG if n % 8 else "unreachable" for n, key in enumerate(keys(200))})
    inquiry = Inquiry(store, 1000)
    assert len(inquiry.ask(keys(200))) == 200
    assert inquiry.ended is None


def test_a_mistake_in_a_reader_is_not_hidden():
    class Broken(FakeStore):
        def read_start(self, key, length):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        Inquiry(Broken({}), 10).ask(keys(30))
