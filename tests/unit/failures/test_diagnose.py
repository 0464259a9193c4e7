"""Diagnosis: the class of a failure comes from what the store says of the object."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cloud_sync.failures.diagnose import (
    ATTEMPTS_BEFORE_REJECTED,
    READS_IN_FLIGHT,
    Evidence,
    Suspect,
    classify,
    diagnose,
    gather,
)
from cloud_sync.failures.model import Diagnosis, FailureClass
from tests.unit.failures.fakes import JPEG, MP4, FakeStore

URL = "https://b/a.jpg"
IMAGE = Suspect(url=URL, key="a.jpg", item_type="image", encord_error="no image", attempts=1)
VIDEO = replace(IMAGE, item_type="video")
LARGE = 1_000_000_001

CASES = [
    (
        IMAGE,
        Evidence(refusal="missing"),
        FailureClass.MISSING,
        "The object is not in the bucket any more.",
        "Nothing, if it was deleted on purpose; otherwise upload it again.",
    ),
    (
        IMAGE,
        Evidence(refusal="forbidden"),
        FailureClass.FORBIDDEN,
        "The object cannot be read.",
        "Allow s3:GetObject on it for the Airflow connection and for the credential stored in Encord.",
    ),
    (
        IMAGE,
        Evidence(refusal="unreachable"),
        FailureClass.TRANSIENT,
        "The store could not be asked about the object.",
        "Nothing: the next run tries it again.",
    ),
    (
        IMAGE,
        Evidence(refusal="other"),
        FailureClass.TRANSIENT,
        "The object could not be looked at. Encord said: no image",
        "Nothing: the next run tries it again.",
    ),
    (
        IMAGE,
        Evidence(size_bytes=0),
        FailureClass.CORRUPT,
        "The object is empty.",
        "Upload it again, or delete it.",
    ),
    (
        VIDEO,
        Evidence(size_bytes=9, mime="text/plain"),
        FailureClass.WRONG_TYPE,
        "Expected a video, got a file of type text/plain.",
        "Give it the right extension, or leave it out with select.exclude.",
    ),
    (
        IMAGE,
        Evidence(size_bytes=9, mime="video/mp4"),
        FailureClass.WRONG_TYPE,
        "Expected an image, got a file of type video/mp4.",
        "Give it the right extension, or leave it out with select.exclude.",
    ),
    (
        VIDEO,
        Evidence(size_bytes=9, mime="video/x-msvideo"),
        FailureClass.UNSUPPORTED,
        "Encord does not support video/x-msvideo.",
        "Convert it, or leave it out with select.exclude.",
    ),
    (
        IMAGE,
        Evidence(size_bytes=9, mime="image/jpeg", whole=False),
        FailureClass.CORRUPT,
        "The file is cut off: its end is missing.",
        "Upload it again.",
    ),
    (
        VIDEO,
        Evidence(size_bytes=LARGE, mime="video/mp4"),
        FailureClass.TOO_LARGE,
        "The object has 1,000,000,001 bytes, Encord takes 1,000,000,000.",
        "Split or compress it, or leave it out with select.maximum_size.",
    ),
    (
        IMAGE,
        Evidence(size_bytes=9, mime="image/jpeg"),
        FailureClass.TRANSIENT,
        "The object looks healthy. Encord said: no image",
        "Nothing: the next run tries it again.",
    ),
    (
        replace(IMAGE, attempts=ATTEMPTS_BEFORE_REJECTED),
        Evidence(size_bytes=9, mime="image/jpeg"),
        FailureClass.REJECTED,
        "The object looks healthy. It failed 3 times. Encord said: no image",
        "Give Encord's support the upload job and unit ids of this row.",
    ),
]


@pytest.mark.parametrize(("suspect", "found", "failure_class", "reason", "remedy"), CASES)
def test_class_reason_and_remedy(suspect, found, failure_class, reason, remedy):
    assert classify(suspect, found) == Diagnosis(failure_class, reason, remedy)


def test_every_class_has_been_shown():
    assert {case[2] for case in CASES} == set(FailureClass)


def test_the_reason_does_not_carry_the_files_own_url():
    said = classify(replace(IMAGE, encord_error=f"cannot read {URL}: 404"), Evidence(1, 1, "image/png"))
    assert URL not in said.reason
    said = classify(
        replace(IMAGE, encord_error=f"cannot read {URL}"), Evidence(size_bytes=1, mime="image/png")
    )
    assert said.reason == "The object looks healthy. Encord said: cannot read <url>"
    silent = classify(replace(IMAGE, encord_error=""), Evidence(size_bytes=1, mime="image/png"))
    assert silent.reason.endswith("Encord said: nothing")


def test_a_file_that_encord_did_not_name_is_never_rejected():
    bystander = replace(IMAGE, attempts=9, is_named=False, encord_error="The upload job was cancelled.")
    said = classify(bystander, Evidence(size_bytes=9, mime="image/jpeg"))
    assert said.failure_class is FailureClass.TRANSIENT
    assert said.reason == "The object looks healthy. The upload job was cancelled."


def test_a_url_that_was_not_sent_is_not_judged_by_its_type():
    said = classify(replace(IMAGE, item_type=""), Evidence(size_bytes=LARGE, mime="text/plain"))
    assert said.failure_class is FailureClass.TRANSIENT


@pytest.mark.parametrize(
    ("content", "evidence", "calls"),
    [
        (JPEG, Evidence(size_bytes=len(JPEG), mime="image/jpeg"), ["head", "range", "tail"]),
        (JPEG[:-2], Evidence(None, len(JPEG) - 2, "image/jpeg", False), ["head", "range", "tail"]),
        (MP4, Evidence(size_bytes=len(MP4), mime="video/mp4"), ["head", "range"]),
        (b"", Evidence(size_bytes=0, mime="application/octet-stream"), ["head"]),
        ("forbidden", Evidence(refusal="forbidden"), ["head"]),
        ("unreachable", Evidence(refusal="unreachable"), ["head"]),
        ("missing", Evidence(refusal="missing"), ["head"]),
    ],
)
def test_few_small_requests_gather_the_evidence(content, evidence, calls):
    store = FakeStore({"a.jpg": content})
    found = gather(store, "a.jpg")
    assert replace(found, mime=evidence.mime if not found.size_bytes else found.mime) == evidence
    assert [call for call, _ in store.calls] == calls


def test_a_url_of_no_key_is_not_asked_for():
    store = FakeStore({})
    assert gather(store, None) == Evidence(refusal="other")
    assert store.calls == []


def test_many_suspects_are_looked_at_side_by_side_and_kept_apart():
    keys = [f"{n}.jpg" for n in range(64)]
    store = FakeStore({key: JPEG if n % 2 else "missing" for n, key in enumerate(keys)}, delay_s=0.01)
    suspects = [replace(IMAGE, url=f"https://b/{key}", key=key) for key in keys]
    found = diagnose(store, suspects)
    assert list(found) == [suspect.url for suspect in suspects]
    assert [found[s.url].failure_class for s in suspects] == [
        FailureClass.MISSING,
        FailureClass.TRANSIENT,
    ] * 32
    assert 1 < store.most_at_once <= READS_IN_FLIGHT


def test_no_suspects():
    assert diagnose(FakeStore({}), []) == {}
