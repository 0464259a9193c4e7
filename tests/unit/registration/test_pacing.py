"""The pace: a pause that one process was told of holds for all, and nothing wrong with it stops anybody."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_sync.registration import pacing
from cloud_sync.registration.pacing import SharedPace
from cloud_sync.retry_after import LONGEST_PAUSE_S, retry_after_s
from tests.unit.registration.wire import Clock

DAY_S = 86_400.0


class Machine:
    """A process with clocks of its own, which was started now."""

    def __init__(self, path, wall=None, draw=lambda low, high: high):
        self.wall = wall or Clock()
        self.steady = Clock(now=0.0)
        self.pace = SharedPace(path, wall=self.wall.time, steady=self.steady.monotonic, draw=draw)

    def passes(self, seconds):
        self.wall.now += seconds
        self.steady.now += seconds


@pytest.fixture
def path(tmp_path):
    return tmp_path / "pace" / "encord_default.json"


def test_without_a_refusal_nobody_waits(path):
    assert Machine(path).pace.wait_s() == 0
    assert not path.exists()


def test_a_refusal_holds_back_every_process_until_it_is_over(path):
    wall = Clock()
    first, second = Machine(path, wall), Machine(path, wall)
    first.pace.refused(30)
    assert (first.pace.wait_s(), second.pace.wait_s()) == (30, 30)
    wall.now += 29
    assert second.pace.wait_s() == 1
    wall.now += 1
    assert second.pace.wait_s() == 0


def test_a_shorter_pause_does_not_end_a_longer_one(path):
    machine = Machine(path)
    machine.pace.refused(30)
    machine.pace.refused(5)
    assert Machine(path).pace.wait_s() == 30


def test_without_a_word_from_encord_the_pauses_grow_and_shrink_again(path):
    machine, pauses = Machine(path), []
    for _ in range(8):
        machine.pace.refused(None)
        pauses.append(machine.pace.wait_s())
        machine.passes(pauses[-1])
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60]
    for _ in range(6):
        machine.pace.answered()
    machine.pace.refused(None)
    assert machine.pace.wait_s() == 4


def test_requests_that_were_under_way_when_the_pause_began_do_not_count(path):
    machine = Machine(path)
    for _ in range(10):
        machine.pace.refused(None)
    machine.pace.answered()
    machine.passes(1)
    machine.pace.refused(None)
    assert machine.pace.wait_s() == 2


def test_answers_without_a_refusal_before_write_nothing(path):
    Machine(path).pace.answered()
    assert not path.parent.exists()


def test_those_who_wait_do_not_come_back_at_once():
    pace = SharedPace()
    spread = {pace.spread_s(20) for _ in range(20)}
    assert len(spread) > 1
    assert all(20 <= wait_s <= 22 for wait_s in spread)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b'{"not_before": 1}', b"\xff"]
    + [json.dumps({"not_before": odd, "written_at": 1.8e9, "refusals": 1}).encode() for odd in ("x", 1e400)],
)
def test_a_file_that_is_none_sets_no_pace_and_is_written_anew(path, content):
    path.parent.mkdir()
    path.write_bytes(content)
    machine = Machine(path)
    assert machine.pace.wait_s() == 0
    machine.pace.answered()
    machine.pace.refused(7)
    assert Machine(path).pace.wait_s() == 7


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path):
    (tmp_path / "pace").write_text("a file where the folder should be")
    machine = Machine(tmp_path / "pace" / "a.json")
    machine.pace.refused(7)
    machine.pace.answered()
    assert machine.pace.wait_s() == 7  # by its own clock


def test_a_full_disk_is_no_error(path, monkeypatch):
    machine = Machine(path)
    machine.pace.refused(3)
    no_space = pacing.StorageError("cannot be written: no space left.", transient=True)
    monkeypatch.setattr(pacing.RunFolder, "write_json", lambda *_: (_ for _ in ()).throw(no_space))
    machine.pace.refused(9)
    assert machine.pace.wait_s() == 9


def test_who_holds_the_lock_for_ever_stops_nobody(path, monkeypatch):
    path.parent.mkdir()
    monkeypatch.setattr(pacing, "LOCK_PAUSE_S", 0)
    with path.with_suffix(".lock").open("ab") as held:
        pacing.fcntl.flock(held, pacing.fcntl.LOCK_EX)
        Machine(path).pace.refused(5)
    assert Machine(path).pace.wait_s() == 5


@pytest.mark.parametrize("days", [-1, 1])
def test_a_clock_moved_by_a_day_stops_nobody_for_a_day_nor_shortens_the_own_pause(path, days):
    machine = Machine(path)
    machine.pace.refused(30)
    machine.wall.now += days * DAY_S
    assert machine.pace.wait_s() == 30
    assert Machine(path, machine.wall).pace.wait_s() == 0
    machine.steady.now += 30
    assert machine.pace.wait_s() == 0
    machine.pace.refused(20)
    assert Machine(path, machine.wall).pace.wait_s() == 20


def test_a_file_that_asks_for_too_long_is_not_believed(path):
    path.parent.mkdir()
    now = Clock().now
    path.write_text(json.dumps({"not_before": now + DAY_S, "written_at": now, "refusals": 1}))
    assert Machine(path).pace.wait_s() == 0


@given(
    events=st.lists(
        st.one_of(
            st.tuples(st.just("refused"), st.one_of(st.none(), st.floats(-10, 1e6))),
            st.tuples(st.just("answered"), st.none()),
            st.tuples(st.just("passes"), st.floats(0, 2000)),
        ),
        max_size=30,
    ),
    share=st.floats(0, 1),
)
def test_no_wait_is_ever_longer_than_the_longest_and_none_shorter_than_asked(events, share):
    machine = Machine(None, draw=lambda low, high: low + share * (high - low))
    not_before = 0.0
    for name, value in events:
        if name == "passes":
            machine.passes(value)
        elif name == "answered":
            machine.pace.answered()
        else:
            machine.pace.refused(value)
            asked_s = min(max(value or 0, 0), LONGEST_PAUSE_S)
            not_before = max(not_before, machine.steady.now + asked_s)
        assert not_before - machine.steady.now - 1e-3 <= machine.pace.wait_s() <= LONGEST_PAUSE_S


NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


def in_http(moment):
    return format_datetime(moment, usegmt=True)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"Retry-After": ""}, None),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "-5"}, None),
        ({"Retry-After": "0"}, 0),
        ({"Retry-After": " 17 "}, 17),
        ({"Retry-After": "1.5"}, 1.5),
        ({"Retry-After": "7200"}, 7200),
        ({"Retry-After": "86400"}, LONGEST_PAUSE_S),
        ({"Retry-After": in_http(NOW + timedelta(seconds=40)), "Date": in_http(NOW)}, 40),
        ({"Retry-After": in_http(NOW - timedelta(days=1)), "Date": in_http(NOW)}, 0),
        ({"Retry-After": in_http(NOW + timedelta(days=1)), "Date": in_http(NOW)}, LONGEST_PAUSE_S),
        ({"x-ms-retry-after-ms": "1500", "Retry-After": "2"}, 1.5),
        ({"X-Ms-Retry-After-Ms": "soon", "Retry-After": "2"}, 2),
        ({"Retry-After": "Tue, 99 Nov 2026 12:00:00 GMT"}, None),
        ({"Retry-After": "Wed, 21 Oct 2015 07:28:00 +99999999999999"}, None),
    ],
)
def test_both_forms_of_retry_after_are_read(headers, seconds):
    assert retry_after_s(headers) == seconds


def test_a_date_without_the_answers_own_date_is_held_against_this_machines_clock():
    soon = in_http(datetime.now(UTC) + timedelta(seconds=60))
    assert retry_after_s({"Retry-After": soon}) == pytest.approx(60, abs=5)
