"""Diagnosis by Encord's words."""

from __future__ import annotations

import pytest

from cloud_sync.failures.words import PATTERNS, REMEDIES, diagnose_by_words


@pytest.mark.parametrize(
    ("said", "failure_class"),
    [
        ("Expected a video, got a file of type image/png: <url>", "wrong_type"),
        ("Expected an image, got a file of type application/forbidden", "wrong_type"),
        ("The object does not exist: <url>", "missing"),
        ("NoSuchKey: No such key", "missing"),
        ("404 Client Error", "missing"),
        ("The object store refused access to the object; check the integration's permissions", "forbidden"),
        ("An error occurred (AccessDenied): Access Denied", "forbidden"),
        ("The object is outside the integration 'Demo bucket': <url>", "forbidden"),
        ("The file is too large", "too_large"),
        ("This codec is not supported", "unsupported"),
        ("The image is truncated", "corrupt"),
    ],
)
def test_what_is_known(said, failure_class):
    diagnosis = diagnose_by_words(said)
    assert diagnosis.failure_class == failure_class
    assert diagnosis.reason == f"It lies outside the integration's bucket. Encord said: {said}"
    assert diagnosis.remedy == REMEDIES[diagnosis.failure_class]


def test_each_class_that_words_can_tell_has_a_remedy():
    assert set(REMEDIES) == {failure_class for _, failure_class in PATTERNS}


@pytest.mark.parametrize("said", ["", "Internal error", "It took 14030 ms", "Try again later"])
def test_what_is_not(said):
    assert diagnose_by_words(said) is None
