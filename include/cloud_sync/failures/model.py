"""The nouns of this room: one file that was not registered, and why."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class FailureClass(StrEnum):
    """Why a file was not registered, found by asking the store rather than by reading messages."""

    TRANSIENT = "transient"
    MISSING = "missing"
    FORBIDDEN = "forbidden"
    WRONG_TYPE = "wrong_type"
    UNSUPPORTED = "unsupported"
    CORRUPT = "corrupt"
    TOO_LARGE = "too_large"
    REJECTED = "rejected"


MAY_PASS: Final = frozenset({FailureClass.TRANSIENT, FailureClass.FORBIDDEN})
"""Tried again by the next run; the others are quarantined. Access that is granted later changes no etag, so
only another try can notice it."""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What is wrong with a file, and what a person can do about it.

    Attributes:
        failure_class: The class.
        reason: What is wrong.
        remedy: What to do.
        looked_at: False if the class is only a guess, because the store did not show the file.
    """

    failure_class: FailureClass
    reason: str
    remedy: str
    looked_at: bool = True


@dataclass(frozen=True, slots=True)
class Suspect:
    """A failed file, before it is looked at.

    Attributes:
        url: Its object URL.
        key: Its key; None if the URL is not one of this bucket.
        item_type: What its item was to be; empty for a URL that was not sent.
        encord_error: What Encord said; if it did not name the file, what is known instead.
        attempts: In how many runs its item failed, this one included; 0 if that must not count against it.
        is_named: True if Encord refused this very file, False if it only was not registered.
    """

    url: str
    key: str | None
    item_type: str
    encord_error: str
    attempts: int
    is_named: bool = True


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the store says of an object.

    Attributes:
        refusal: Why nothing is known of its content: `missing`, `no_bucket`, `forbidden`, `archived`,
            `unreachable` or `other` as the store said; `connection` if it said so of whatever is asked;
            `unasked` if there were no requests left to ask it, `unopened` if the store could not be opened.
        size_bytes: Its size.
        mime: Its type by the first bytes.
        whole: False if its end is missing.
        alike: How many objects a refusal was found for by asking only some of them, this one included;
            0 if each was asked.
        asked: How many of those were asked.
        detail: What the store said, or why it could not be opened: a sentence without its first capital.
        remedy: What to do about that.
    """

    refusal: str | None = None
    size_bytes: int = 0
    mime: str = ""
    whole: bool = True
    alike: int = 0
    asked: int = 0
    detail: str = ""
    remedy: str = ""


class NextStep(StrEnum):
    """What becomes of a file that was not registered."""

    RETRIED = "The next sync that lists it tries it again."
    QUARANTINED = "Quarantined: no sync sends it until it changes or is released."
    NONE = "Nothing sends it again by itself."


@dataclass(frozen=True, slots=True)
class Failure:
    """One row of the failure CSV; the fields are its columns, in order. Times are ISO 8601, UTC.

    Attributes:
        key: The object's key; empty if the URL is not one of the integration's bucket.
        next_step: A value of `NextStep`. Files of one item share it.
    """

    object_url: str
    item_type: str
    title: str
    failure_class: str
    reason: str
    remedy: str
    attempts: int
    first_failed_at: str
    last_failed_at: str
    upload_job_id: str
    unit_id: str
    manifest: str
    integration: str
    dataset: str
    run_id: str
    key: str
    next_step: str
