"""The nouns of planning: the summary of a plan, and the reasons in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol, Self

from cloud_sync.errors import StorageError
from cloud_sync.numbers import agreeing, counted
from cloud_sync.run_folder import RunFolder
from cloud_sync.run_folder.files import Files

ANSWER_NAME = "approval.json"
PLAN_NAME = "plan.parquet"
REGISTER_NAME = "register.parquet"
SUMMARY_NAME = "plan.json"

# The files of the items that are to leave the dataset, if there are any.
UNLINK_NAME = "unlink.parquet"

# Title and metadata of each item of `register.parquet`, in its order; only where some item has any. All are
# texts, metadata as JSON.
METADATA_NAME = "metadata.parquet"
METADATA_COLUMNS = ("item_key", "title", "client_metadata", "video_metadata")

# What the name of a sidecar has behind the key of its object or the text of its group.
SIDECAR_SUFFIX = ".metadata.json"

# The mode of a run that ends with the plan.
PLAN_ONLY = "plan"

SENT_ACTIONS = frozenset({"register", "retry"})
UNLINK_ACTION = "unlink"

# The reasons of objects that are not there any more.
GONE_REASONS = frozenset({"removed", "moved_to"})

# The reasons of what a person gave, instead of a plan: a manifest, or a failure list.
GIVEN = "given"
ASKED_FOR = "asked_for"

# What a person reads for each reason in the plan.
REASONS: Mapping[str, str] = {
    GIVEN: "stands in the given manifest",
    ASKED_FOR: "failed before, and is asked for by the failure list",
    "new": "new since the last run",
    "failed_before": "failed before, and is tried again",
    "changed_since_failure": "failed before, and the object has changed since",
    "full_pass": "a full pass was asked for",
    "registered": "registered already",
    "not_included": "matches no pattern of select.include",
    "excluded": "matches a pattern of select.exclude",
    "unknown_type": "its extension stands under no type",
    "unused_sidecar": "named like a sidecar, but metadata.sidecar is not set",
    "too_large": "larger than select.maximum_size",
    "quarantined": "failed before for a lasting reason, and has not changed since",
    "too_young": "younger than select.minimum_age",
    "changed": "registered already, but the object has changed since",
    "incomplete": "a group that is not complete yet",
    "grown": "registered already, but its group has more files now",
    "file_missing": "registered already, but a file of its group is gone or no longer selected",
    "registered_otherwise": "files of its group are registered already, as other items",
    "unreadable_header": "its DICOM header does not tell its series",
    "sidecar": "holds the metadata of another object",
    "sidecar_missing": "has no sidecar, which metadata.sidecar requires",
    "bad_metadata": "its metadata cannot be used",
    "removed": "registered already, and gone from the storage",
    "moved_to": "registered already, and now under a new key",
    "moved": "holds what is registered under a key that is gone",
}


class ObjectReader(Protocol):
    """What planning needs of an object store (`cloud_sync.objects.model.ObjectStore`)."""

    def read_range(self, key: str, start: int, length: int) -> bytes:
        """Return up to `length` bytes from offset `start`."""


def is_of_one_object(error: StorageError) -> bool:
    """Tell whether a store's error says something of the object that was read.

    One that passes, a refusal of whoever asks, and a bucket that is not there hold for all objects: what is
    in them is then not known, and a plan would take every one of them for bad.
    """
    is_of_all = error.transient or getattr(error, "is_general", False)
    return not is_of_all and getattr(error, "reason", None) != "no_bucket"


@dataclass(frozen=True, slots=True)
class Sources:
    """Where planning finds more than the listing says.

    Attributes:
        open_reader: Opens the store; called only when something has to be read.
        cache_folder: What was read of DICOM files before; beside the ledger.
        tables_folder: Holds the metadata tables.
    """

    open_reader: Callable[[], ObjectReader]
    cache_folder: Path | Files
    tables_folder: Path | Files


@dataclass(frozen=True, slots=True)
class PlanRow:
    """One line of the plan's summary.

    Attributes:
        action: `register`, `retry`, `unlink`, `hold`, `skip` or `report`.
        item_type: Such as `video`; None if the extension is unknown.
        reason: A key of `REASONS`.
        objects: How many objects.
        total_bytes: Their size together.
        examples: A few of their keys, the first of each item, with details of the reason in parentheses.
        items: How many items the objects are; objects that are no part of any count for none.
    """

    action: str
    item_type: str | None
    reason: str
    objects: int
    total_bytes: int
    examples: tuple[str, ...]
    items: int = 0

    @property
    def number(self) -> int:
        """What people are told: how many items, or objects where they are no items."""
        return self.items or self.objects

    @property
    def is_listed(self) -> bool:
        """False if the objects are not in the storage any more."""
        return self.reason not in GONE_REASONS

    @property
    def unit(self) -> str:
        """What `number` counts, and of how many objects the items are if that differs."""
        noun = "item" if self.items else "object"
        unit = agreeing(self.number, noun)
        return f"{unit} of {counted(self.objects, 'object')}" if self.number < self.objects else unit

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Inverse of `dataclasses.asdict` after a round trip through JSON."""
        return cls(**{**data, "examples": tuple(data["examples"])})


def read_plan_rows(folder: RunFolder) -> tuple[PlanRow, ...]:
    """Read the summary that `make_plan` wrote."""
    rows: list[dict[str, Any]] = folder.read_json(SUMMARY_NAME)
    return tuple(PlanRow.from_json(row) for row in rows)


class Decision(StrEnum):
    """What became of a plan that needed approval."""

    APPROVED = "approved"
    REFUSED = "refused"
    EXPIRED = "expired"  # nobody answered in time


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a plan that needed approval.

    Attributes:
        decision: What it was.
        above: The limits that the plan was above, each as a sentence.
        by: Who answered; empty if nobody did.
        at: When, ISO 8601 in UTC.
    """

    decision: Decision
    above: tuple[str, ...]
    by: str
    at: str

    @property
    def told(self) -> str:
        """What people are told of it, behind "the plan was"."""
        if self.decision is Decision.EXPIRED:
            return "not answered for in time"
        return f"{self.decision} by {self.by or 'somebody'} at {self.at}"


def write_answer(folder: RunFolder, answer: Answer) -> None:
    """Keep the answer in the run folder."""
    folder.write_json(ANSWER_NAME, asdict(answer))


def read_answer(folder: RunFolder) -> Answer | None:
    """Return the answer; None if none was needed, or none is known."""
    if not folder.exists(ANSWER_NAME):
        return None
    data: dict[str, Any] = folder.read_json(ANSWER_NAME)
    return Answer(Decision(data["decision"]), tuple(data["above"]), data["by"], data["at"])


def read_unapproved(folder: RunFolder) -> Answer | None:
    """Return the answer to a plan that was refused, or not answered for in time; None for any other plan."""
    answer = read_answer(folder)
    return None if answer is None or answer.decision is Decision.APPROVED else answer
