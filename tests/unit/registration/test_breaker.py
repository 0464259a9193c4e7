"""The circuit breaker: stops what fails for one cause, and nothing else."""

from __future__ import annotations

import uuid

import pytest

from cloud_sync.registration import breaker
from cloud_sync.registration.breaker import (
    Breaker,
    BreakerRule,
    BreakerTrippedError,
    cause_of,
    cause_of_unit,
    judge,
)
from cloud_sync.registration.model import BREAKER_NAME, Outcome, UnitError, outcome_name, tripped
from cloud_sync.run_folder import RunFolder

RULE = BreakerRule(after_manifests=3, at_share=0.9)


def denied(number):
    url = f"https://b.s3.eu-central-1.amazonaws.com/in/{number}.jpg"
    return UnitError((url,), f"Access denied to {url} (request {uuid.uuid4()})", f"unit-{number}", "Reading")


def another(number):
    return UnitError(
        (f"s3://b/{number}.jpg",), "x" * (number % 20 + 1) + " is odd", f"unit-{number}", "Reading"
    )


def outcome(number=0, items=10, errors=(), **changes):
    fields = {
        "manifest_number": number,
        "manifest": f"manifests/{number:04}-abc.json",
        "job_id": "job",
        "status": "done",
        "items": items,
        "made": items - len(errors),
        "done": items - len(errors),
        "failed": len(errors),
        "cancelled": 0,
        "unit_errors": tuple(errors),
        "job_errors": (),
        "linked": 0,
        "submitted_at": "2026-11-24T12:00:00+00:00",
        "finished_at": "2026-11-24T12:01:00+00:00",
    }
    return Outcome(**{**fields, **changes})


def failing(count, *, manifests=3, items=10, error=denied):
    """Return outcomes of which so many items have failed."""
    errors = [error(n) for n in range(count)]
    return [outcome(n, items, errors[n * items : (n + 1) * items]) for n in range(manifests)]


@pytest.mark.parametrize(
    ("outcomes", "trips"),
    [
        (failing(30), True),
        (failing(27), True),
        (failing(26), False),
        (failing(0), False),
        (failing(20, manifests=2), False),
        (failing(30, error=another), False),
        (failing(30) + [outcome(n) for n in range(3, 6)], False),
        ([], False),
        ([outcome(n, status="cancelled", errors=[denied(0)] * 10) for n in range(5)], False),
        ([outcome(n, status="failed", job_errors=("No access to the bucket.",)) for n in range(3)], True),
        ([outcome(n, status="failed", job_errors=(f"Item {n} is odd.",)) for n in range(3)], True),
        ([outcome(n, status="failed", job_errors=("abc"[n],)) for n in range(3)], False),
        (
            [
                outcome(n, status="failed", errors=[denied(n)], job_errors=("a unit failed",))
                for n in range(3)
            ],
            False,
        ),
        ([outcome(n, status="failed") for n in range(3)], False),
        ([outcome(n, items=1, errors=[denied(n)] * 5) for n in range(3)], True),
    ],
)
def test_it_trips_when_most_of_the_first_manifests_fail_for_one_cause(outcomes, trips):
    assert (judge(outcomes, RULE) is not None) == trips


def test_zero_manifests_switch_it_off():
    assert judge(failing(30), BreakerRule(0, 0.1)) is None


def test_it_says_the_cause_the_counts_and_an_example():
    trip = judge([*failing(28), outcome(9, status="cancelled")], RULE)
    assert (trip.failed, trip.sent, trip.manifests) == (28, 30, 3)
    assert trip.cause == "Access denied to … (request …)"
    assert str(trip).startswith("28 of the first 30 items failed for one cause, so nothing more is sent: Acc")
    assert "in/0.jpg" in trip.example


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Could not access s3://b/a.jpg", "Could not access s3://b/x/y%20z.png"),
        ("Object raw/2026/a.mp4 is 17 bytes", "Object raw/2025/b.mp4 is 1,803 bytes"),
        ("no a.jpg", "no b.jpeg"),
        (
            "unit 3a6e0804-2bd2-4672-b79d-d97027f9071a failed",
            "unit 00000000-0000-4000-8000-000000000000 failed",
        ),
        ("request TX00A1B2C3D4E5 denied", "request TX9988776655FF denied"),
        ("took 3.5 s", "took 12 s"),
        ("two  blanks", "two blanks"),
    ],
)
def test_texts_that_differ_by_names_and_numbers_are_one_cause(one, other):
    assert cause_of(one) == cause_of(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [("Access denied", "Not found"), ("Not a video: s3://b/a.mp4", "Too large: s3://b/a.mp4"), ("a", "")],
)
def test_texts_that_say_other_things_are_other_causes(one, other):
    assert cause_of(one) != cause_of(other)


def test_a_key_of_any_form_is_no_part_of_the_cause():
    causes = {
        cause_of_unit(UnitError((f"s3://b/raw/my%20{name}",), f"cannot read my {name} today", "u", "Reading"))
        for name in ("own clip", "other clip")
    }
    assert causes == {"cannot read … today"}


def test_a_key_of_a_letter_leaves_the_words_alone():
    assert cause_of_unit(UnitError(("s3://b/a",), "Access denied", "u", "Reading")) == "Access denied"


@pytest.fixture
def folder(tmp_path):
    return RunFolder(tmp_path)


def write(folder, outcomes):
    for one in outcomes:
        folder.write_json(outcome_name(one.manifest_number), one.to_json())


def test_what_was_written_by_all_tasks_counts_and_is_told_to_all(folder):
    first, second = Breaker(folder, RULE), Breaker(folder, RULE)
    write(folder, failing(20, manifests=2))
    first.check()
    write(folder, failing(30))
    with pytest.raises(BreakerTrippedError, match="30 of the first 30 items failed") as caught:
        first.check()
    assert not caught.value.transient
    assert "trigger a new run" in caught.value.remedy
    assert tripped(folder).failed == 30
    for number in range(3, 9):
        write(folder, [outcome(number, items=1000)])
    with pytest.raises(BreakerTrippedError, match="30 of the first 30"):
        second.check()


def test_two_that_trip_together_say_the_same(folder, monkeypatch):
    first, second = Breaker(folder, RULE), Breaker(folder, RULE)
    write(folder, failing(30))
    told = []

    def judge_late(outcomes, rule):
        """Judge while the other task finds the same, by outcomes that came a moment later."""
        monkeypatch.setattr(breaker, "judge", judge)
        own = judge(outcomes, rule)
        write(folder, [outcome(3, errors=[denied(n) for n in range(90, 100)])])
        told.append(message_of(second))
        return own

    monkeypatch.setattr(breaker, "judge", judge_late)
    told.append(message_of(first))
    assert "40 of the first 40" in told[0]
    assert told[0] == told[1]


def message_of(one):
    with pytest.raises(BreakerTrippedError) as caught:
        one.check()
    return caught.value.message


def test_what_a_killed_task_left_half_written_is_written_anew(folder):
    folder.write(BREAKER_NAME, b"")
    write(folder, failing(30))
    assert message_of(Breaker(folder, RULE)) == str(tripped(folder))


def test_each_outcome_is_read_once(folder, monkeypatch):
    reads = []
    read_json = RunFolder.read_json
    monkeypatch.setattr(
        RunFolder, "read_json", lambda self, name: reads.append(name) or read_json(self, name)
    )
    write(folder, failing(0, manifests=4))
    looking = Breaker(folder, RULE)
    for _ in range(5):
        looking.check()
    assert sorted(reads) == [outcome_name(n) for n in range(4)]


class TestOfVeryManyOutcomes:
    MANY = 150

    @pytest.fixture
    def reads(self, monkeypatch):
        reads, read = [], breaker._read
        monkeypatch.setattr(breaker, "_read", lambda folder, name: reads.append(name) or read(folder, name))
        return reads

    def test_each_task_reads_a_few_while_they_look_good(self, folder, reads):
        write(folder, [outcome(n, errors=[denied(n)] * (n % 10)) for n in range(self.MANY)])
        Breaker(folder, RULE).check()
        assert len(reads) < 2 * breaker.SAMPLED

    def test_it_trips_when_the_later_ones_fail_for_one_cause(self, folder):
        write(folder, [outcome(n, errors=[denied(n)] * (10 if n >= 15 else 0)) for n in range(self.MANY)])
        assert "1,350 of the first 1,500" in message_of(Breaker(folder, RULE))

    def test_a_few_that_look_bad_are_no_reason_to_stop(self, folder, reads):
        step = self.MANY // breaker.SAMPLED
        write(folder, [outcome(n, errors=[denied(n)] * (0 if n % step else 10)) for n in range(self.MANY)])
        Breaker(folder, RULE).check()
        assert len(reads) == self.MANY


def test_switched_off_it_reads_nothing(folder):
    write(folder, failing(30))
    Breaker(folder, BreakerRule(0)).check()
    assert not folder.exists(BREAKER_NAME)


def test_switched_off_it_keeps_to_what_another_task_has_found(folder):
    write(folder, failing(30))
    with pytest.raises(BreakerTrippedError):
        Breaker(folder, RULE).check()
    with pytest.raises(BreakerTrippedError):
        Breaker(folder, BreakerRule(0)).check()


def test_damaged_files_stop_nobody(folder):
    write(folder, failing(0))
    folder.write(outcome_name(0), b"{")
    folder.write(outcome_name(1), b"{}")
    Breaker(folder, RULE).check()
    for damaged in (b"{", b"[]", b'{"cause": "x"}'):
        folder.write(BREAKER_NAME, damaged)
        assert tripped(folder) is None
        Breaker(folder, RULE).check()
