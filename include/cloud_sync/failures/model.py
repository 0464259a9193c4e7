"""The noun of this room: one file that was not registered, and why."""

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
    """What is wrong with a file, and what a person can do about it."""

    failure_class: FailureClass
    reason: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Failure:
    """One row of the failure CSV; the fields are its columns, in order. Times are ISO 8601, UTC."""

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
