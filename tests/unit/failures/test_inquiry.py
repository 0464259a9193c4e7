"""Asking the store: few requests, many side by side, and an end to them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest

from cloud_sync.failures.inquiry import (
    FIRST_IN_FLIGHT,
    MOST_IN_FLIGHT,
    OUTAGE,
    PAUSES_AT_MOST,
    PAUSES_S,
    Inquiry,
    Pauses,
    gather,
)
from cloud_sync.failures.model import Evidence
from cloud_sync.media.sniff import HEAD_BYTES
from cloud_sync.objects.errors import ObjectStoreError
from tests.unit.failures.fakes import JPEG, MP4, FakeStore, refused

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
        ("forbidden", refused("forbidden"), ["start", "listed"]),
        ("hidden", Evidence(refusal="missing"), ["start", "listed"]),
        ("no_bucket", refused("no_bucket"), ["start"]),
        ("unreachable", refused("unreachable"), ["start"]),
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
    assert set(inquiry.ask(keys(500)).values()) == {refused("unreachable")}
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


class Time:
    """A clock that only sleeping moves; for many threads."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += max(0.0, seconds)

    def pauses(self) -> Pauses:
        return Pauses(clock=lambda: self.now, sleep=self.sleep)


@dataclass
class BusyStore(FakeStore):
    """Answers one request with a pause, and makes no other before it is over, as `Attempts` does."""

    time: Time = field(default_factory=Time)
    pause_s: float = 90.0
    at: int = 20
    until: float = 0.0

    def _content(self, call: str, key: str) -> bytes:
        if self.time.now < self.until:
            self.refuse(self.until - self.time.now, is_sent=False)
        if len(self.calls) == self.at:
            self.calls.append((call, key))
            self.until = self.time.now + self.pause_s
            self.refuse(self.pause_s, is_sent=True)
        return super()._content(call, key)

    def refuse(self, pause_s: float, *, is_sent: bool) -> None:
        raise ObjectStoreError(
            "busy.", reason="unreachable", transient=True, retry_after_s=pause_s, is_sent=is_sent
        )


def test_a_pause_is_waited_out_and_then_all_is_asked_about():
    store = BusyStore({})
    inquiry = Inquiry(store, 1000, store.time.pauses())
    found = inquiry.ask(keys(200))
    assert set(found.values()) == {Evidence(refusal="missing")}
    assert (len(found), inquiry.ended) == (200, None)
    assert len(store.calls) == 201  # the one that was answered with a pause was made again


def test_requests_that_were_not_sent_count_for_no_budget():
    store = BusyStore({})
    assert len(Inquiry(store, 51, store.time.pauses()).ask(keys(50))) == 50


def test_a_pause_that_is_too_long_ends_the_inquiry_and_what_was_not_sent_was_not_asked():
    store = BusyStore({}, pause_s=PAUSES_S + 1)
    inquiry = Inquiry(store, 1000, store.time.pauses())
    found = inquiry.ask(keys(200))
    assert inquiry.ended == "unreachable"
    assert store.time.slept == []
    assert len(found) == len(store.calls) == 21
    assert [one.refusal for one in found.values()].count("unreachable") == 1


def test_pauses_that_follow_each_other_are_waited_out_up_to_a_bound():
    time = Time()
    pauses = time.pauses()
    assert [pauses.wait_out(PAUSES_S / 4) for _ in range(5)] == [True] * 4 + [False]
    assert time.now == PAUSES_S


def test_the_same_pause_counts_once_however_many_wait():
    pauses = Pauses(clock=lambda: 0.0, sleep=lambda seconds: None)
    assert all(pauses.wait_out(PAUSES_S) for _ in range(64))


def test_a_request_that_is_always_answered_with_a_pause_is_given_up():
    class AlwaysBusy(BusyStore):
        def _content(self, call: str, key: str) -> bytes:
            self.calls.append((call, key))
            self.refuse(1.0, is_sent=True)
            raise AssertionError

    store = AlwaysBusy({})
    assert set(Inquiry(store, 1000, store.time.pauses()).ask(["a"]).values()) == {
        Evidence(refusal="unreachable", detail="busy.")
    }
    assert len(store.calls) == 1 + PAUSES_AT_MOST


def test_a_store_that_refuses_whoever_asks_is_not_asked_about_every_object():
    store = FakeStore(dict.fromkeys(keys(500), "connection"), delay_s=0.001)
    inquiry = Inquiry(store, 1000)
    assert set(inquiry.ask(keys(500)).values()) == {refused("connection")}
    assert inquiry.ended == "connection"
    assert len(store.calls) < OUTAGE + FIRST_IN_FLIGHT
