"""Diagnosis: the class of a failure comes from what the store says of the object."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cloud_sync.errors import ConfigError
from cloud_sync.failures.diagnose import (
    ATTEMPTS_BEFORE_REJECTED,
    RULES,
    classify,
    diagnose,
    open_and_diagnose,
)
from cloud_sync.failures.inquiry import gather
from cloud_sync.failures.model import Diagnosis, Evidence, FailureClass, Suspect
from cloud_sync.manifest.items import MANIFEST_KEYS
from cloud_sync.media.sniff import sniff
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
        "Allow the connection to read it. The credential stored in Encord needs to read it, too.",
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
        Evidence(refusal="no_bucket"),
        FailureClass.TRANSIENT,
        "The store could not be asked about the object.",
        "Check storage.bucket and the endpoint of the connection.",
    ),
    (
        IMAGE,
        Evidence("forbidden", detail="the store refused access.", remedy="Take the role Viewer."),
        FailureClass.FORBIDDEN,
        "The object cannot be read: the store refused access.",
        "Take the role Viewer. The credential stored in Encord needs to read it, too.",
    ),
    (
        IMAGE,
        Evidence("connection", alike=9, asked=8, detail="the token has expired.", remedy="Renew it."),
        FailureClass.TRANSIENT,
        "The store could not be asked about the object (like 8 others of this cause; 8 of them were asked "
        "about): the token has expired.",
        "Renew it.",
    ),
    (
        IMAGE,
        Evidence("archived", detail="the object is in an archive.", remedy="Restore it."),
        FailureClass.FORBIDDEN,
        "The object cannot be read: the object is in an archive.",
        "Restore it.",
    ),
    (
        IMAGE,
        Evidence("other", detail="it is odd.", remedy="Make it even."),
        FailureClass.TRANSIENT,
        "The object could not be looked at: it is odd. Encord said: no image",
        "Make it even.",
    ),
    (
        IMAGE,
        Evidence(refusal="forbidden", alike=10_000, asked=200),
        FailureClass.FORBIDDEN,
        "The object cannot be read (like 9,999 others of this cause; 200 of them were asked about).",
        "Allow the connection to read it. The credential stored in Encord needs to read it, too.",
    ),
    (
        IMAGE,
        Evidence(refusal="unasked"),
        FailureClass.TRANSIENT,
        "Not looked at: other failures took all requests of failures.diagnosis_requests. "
        "Encord said: no image",
        "Nothing: the next run tries it again.",
    ),
    (
        replace(IMAGE, attempts=ATTEMPTS_BEFORE_REJECTED),
        Evidence(refusal="other"),
        FailureClass.TRANSIENT,
        "The object could not be looked at. Encord said: no image",
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
        "The object looks healthy. It failed in 3 runs. Encord said: no image",
        "Give Encord's support the upload job and unit ids of this row.",
    ),
]


@pytest.mark.parametrize(("suspect", "found", "failure_class", "reason", "remedy"), CASES)
def test_class_reason_and_remedy(suspect, found, failure_class, reason, remedy):
    looked_at = found.refusal in (None, "missing", "forbidden", "archived")
    assert classify(suspect, found) == Diagnosis(failure_class, reason, remedy, looked_at)


def test_every_class_has_been_shown():
    assert {case[2] for case in CASES} == set(FailureClass)


def test_encords_silence_is_told():
    silent = classify(replace(IMAGE, encord_error=""), Evidence(size_bytes=1, mime="image/png"))
    assert silent.reason == "The object looks healthy. Encord said: nothing"


HEADS = {
    "video": MP4,
    "image": JPEG,
    "dicom": b"\0" * 128 + b"DICM" + b"\0" * 8,
    "audio": b"fLaC" + b"\0" * 40,
    "text": b"Dear all,\n",
    "pdf": b"%PDF-1.7\n",
    "nifti": b"\x5c\x01\0\0" + b"\0" * 340 + b"n+1\0",
}
FITTING = {
    "image_group": "image",
    "image_sequence": "image",
    "dicom_series": "dicom",
    **{kind: kind for kind in ("video", "image", "audio", "text", "pdf", "nifti")},
}
EXPECTED = {
    "video": "a video",
    "image": "an image",
    "image_group": "an image",
    "image_sequence": "an image",
    "dicom_series": "a DICOM file",
    "audio": "an audio file",
    "text": "a text file",
    "pdf": "a PDF file",
    "nifti": "a NIfTI file",
}


def test_every_item_type_has_a_rule():
    assert set(RULES) == set(MANIFEST_KEYS)


@pytest.mark.parametrize("item_type", MANIFEST_KEYS)
@pytest.mark.parametrize("content", HEADS)
def test_what_is_expected_by_type(item_type, content):
    suspect = replace(IMAGE, item_type=item_type)
    said = classify(suspect, gather(FakeStore({"a.jpg": HEADS[content]}), "a.jpg"))
    if FITTING[item_type] == content:
        assert said.failure_class is FailureClass.TRANSIENT
    else:
        assert said.failure_class is FailureClass.WRONG_TYPE
        mime = sniff(HEADS[content])
        assert said.reason == f"Expected {EXPECTED[item_type]}, got a file of type {mime}."


@pytest.mark.parametrize(
    ("item_type", "mime", "failure_class"),
    [
        ("image_group", "image/tiff", FailureClass.TRANSIENT),
        ("image_sequence", "image/tiff", FailureClass.UNSUPPORTED),
        ("audio", "audio/mp4", FailureClass.UNSUPPORTED),
        ("audio", "audio/ogg", FailureClass.UNSUPPORTED),
        ("text", "application/json", FailureClass.TRANSIENT),
        ("text", "text/csv", FailureClass.TRANSIENT),
        ("nifti", "application/gzip", FailureClass.WRONG_TYPE),
        ("nifti", "application/nifti+gzip", FailureClass.TRANSIENT),
        ("pdf", "application/zip", FailureClass.WRONG_TYPE),
    ],
)
def test_formats_of_a_kind(item_type, mime, failure_class):
    said = classify(replace(IMAGE, item_type=item_type), Evidence(size_bytes=9, mime=mime))
    assert said.failure_class is failure_class


@pytest.mark.parametrize(
    ("item_type", "size_bytes", "failure_class"),
    [
        ("dicom_series", 25_000_000, FailureClass.TRANSIENT),
        ("dicom_series", 25_000_001, FailureClass.TOO_LARGE),
        ("image_group", LARGE, FailureClass.TOO_LARGE),
        ("pdf", LARGE, FailureClass.TRANSIENT),
    ],
)
def test_limits_are_those_of_one_file(item_type, size_bytes, failure_class):
    mime = {"dicom_series": "application/dicom", "image_group": "image/png", "pdf": "application/pdf"}
    found = Evidence(size_bytes=size_bytes, mime=mime[item_type])
    assert classify(replace(IMAGE, item_type=item_type), found).failure_class is failure_class


def test_a_file_that_encord_did_not_name_is_never_rejected():
    bystander = replace(IMAGE, attempts=9, is_named=False, encord_error="The upload job was cancelled.")
    said = classify(bystander, Evidence(size_bytes=9, mime="image/jpeg"))
    assert said.failure_class is FailureClass.TRANSIENT
    assert said.reason == "The object looks healthy. The upload job was cancelled."


def test_a_url_that_was_not_sent_is_not_judged_by_its_type():
    said = classify(replace(IMAGE, item_type=""), Evidence(size_bytes=LARGE, mime="text/plain"))
    assert said.failure_class is FailureClass.TRANSIENT


def test_of_a_file_that_lies_in_no_store_encords_words_decide():
    said = "Expected an image, got a file of type text/plain: <url>"
    elsewhere = replace(IMAGE, key=None, encord_error=said)
    nothing = Evidence(refusal="other")
    assert classify(elsewhere, nothing).failure_class is FailureClass.WRONG_TYPE
    assert classify(replace(elsewhere, key="a.jpg"), nothing).failure_class is FailureClass.TRANSIENT
    assert classify(replace(elsewhere, is_named=False), nothing).failure_class is FailureClass.TRANSIENT
    assert classify(replace(elsewhere, encord_error="Oops"), nothing).reason == (
        "The object could not be looked at. Encord said: Oops"
    )


def test_suspects_are_kept_apart():
    keys = [f"{n}.jpg" for n in range(64)]
    store = FakeStore({key: JPEG if n % 2 else "missing" for n, key in enumerate(keys)})
    found = diagnose(store, [replace(IMAGE, url=f"https://b/{key}", key=key) for key in keys])
    assert [one.failure_class for one in found] == [FailureClass.MISSING, FailureClass.TRANSIENT] * 32


def test_what_there_are_no_requests_for_is_tried_again():
    found = diagnose(FakeStore({}), [replace(IMAGE, key=f"{n}.jpg") for n in range(20)], requests_at_most=15)
    assert [one.failure_class for one in found].count(FailureClass.MISSING) == 15
    assert [one.reason.startswith("Not looked at: ") for one in found].count(True) == 5


def test_a_store_that_cannot_be_opened_makes_all_transient_and_says_why():
    def refuse():
        raise ConfigError("the connection does not exist.", where="aws", remedy="Make it.")

    suspects = [IMAGE, replace(IMAGE, attempts=9, key=None, encord_error="Oops")]
    assert [one.reason for one in open_and_diagnose(refuse, suspects)] == [
        f"Not looked at, because the store could not be opened: the connection does not exist. {said}"
        for said in ("Encord said: no image", "Encord said: Oops")
    ]
    assert {one.remedy for one in open_and_diagnose(refuse, suspects)} == {"Make it."}
    assert open_and_diagnose(lambda: FakeStore({}), [IMAGE])[0].failure_class is FailureClass.MISSING


def test_no_suspects():
    assert diagnose(FakeStore({}), []) == []
