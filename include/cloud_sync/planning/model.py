"""The nouns of planning: the summary of a plan, and the reasons in it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol, Self

from cloud_sync.errors import StorageError
from cloud_sync.numbers import agreeing, counted
from cloud_sync.run_folder import FileRef, RunFolder
from cloud_sync.run_folder.files import DamagedFileError, Files

ANSWER_NAME = "approval.json"
PLAN_NAME = "plan.parquet"
REGISTER_NAME = "register.parquet"
SUMMARY_NAME = "plan.json"

# The files of the items that are to leave the dataset, if there are any, each with the reason.
UNLINK_NAME = "unlink.parquet"

# Title and metadata of each item of `register.parquet`, in its order; only where some item has any. All are
# texts, metadata as JSON.
METADATA_NAME = "metadata.parquet"
METADATA_COLUMNS = ("item_key", "title", "client_metadata", "video_metadata")

# What `plan.json` holds the digests of: all that the stages behind the plan go by.
CARRIED_OUT = (REGISTER_NAME, METADATA_NAME, UNLINK_NAME)

# What the name of a sidecar has behind the key of its object or the text of its group.
SIDECAR_SUFFIX = ".metadata.json"

# The mode of a run that ends with the plan.
PLAN_ONLY = "plan"

SENT_ACTIONS = frozenset({"register", "retry"})
UNLINK_ACTION = "unlink"

# The reasons of items that may have to leave the dataset: their objects are gone, or registered again.
REMOVED_REASON = "removed"
CHANGED_REASON = "changed"
# The reason of groups of which some files are gone, and those that are left tell.
FILE_MISSING = "file_missing"

# The reasons of objects that are not there any more.
GONE_REASONS = frozenset({REMOVED_REASON, "moved_to"})

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
    CHANGED_REASON: "registered already, but the object has changed since",
    "incomplete": "a group that is not complete yet",
    "grown": "registered already, but its group has more files now",
    FILE_MISSING: "registered already, but a file of its group is gone or no longer selected",
    "registered_otherwise": "files of its group are registered already, as other items",
    "unreadable_header": "its DICOM header does not tell its series",
    "sidecar": "holds the metadata of another object",
    "sidecar_missing": "has no sidecar, which metadata.sidecar requires",
    "bad_metadata": "its metadata cannot be used",
    REMOVED_REASON: "registered already, and gone from the storage",
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
        missing: How many more files of these items are registered and not among the objects.
    """

    action: str
    item_type: str | None
    reason: str
    objects: int
    total_bytes: int
    examples: tuple[str, ...]
    items: int = 0
    missing: int = 0

    @property
    def number(self) -> int:
        """What people are told: how many items, or objects where they are no items."""
        return self.items or self.objects

    @property
    def is_listed(self) -> bool:
        """False if the objects are not in the storage any more."""
        return self.reason not in GONE_REASONS

    @property
    def replaces(self) -> bool:
        """True if the items are registered anew, and those that they were before leave the dataset."""
        return self.reason == CHANGED_REASON and self.action in SENT_ACTIONS

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


def write_plan(folder: RunFolder, rows: Iterable[PlanRow], **counts: int) -> FileRef:
    """Write the plan's summary, with the digests of the plan's files, which are all written by now.

    So its own digest stands for the whole plan.

    Args:
        folder: The run folder.
        rows: The summary.
        counts: What the reference says of it.
    """
    digests = {name: folder.digest(name) for name in CARRIED_OUT if folder.exists(name)}
    folder.write_json(SUMMARY_NAME, {"rows": [asdict(row) for row in rows], "files": digests})
    return folder.ref(SUMMARY_NAME, **counts)


def read_plan_rows(folder: RunFolder) -> tuple[PlanRow, ...]:
    """Read the summary that `write_plan` wrote."""
    return tuple(PlanRow.from_json(row) for row in _read_summary(folder)["rows"])


def _read_summary(folder: RunFolder) -> dict[str, Any]:
    """Return the rows and digests. A run that began before digests were kept has none."""
    data: dict[str, Any] | list[Any] = folder.read_json(SUMMARY_NAME)
    return {"rows": data, "files": {}} if isinstance(data, list) else data


def planned_file(folder: RunFolder, name: str) -> Path | None:
    """Return where a file of the plan is, as it was written; None if the plan has none.

    Args:
        folder: The run folder.
        name: One of `CARRIED_OUT`.

    Raises:
        StorageError: It is not the one of this plan: what was planned is not what would be done.
    """
    digests: dict[str, str] = _read_summary(folder)["files"]
    if name in digests:
        return folder.verified(FileRef(name, digests[name], {}))
    if folder.exists(name):
        raise DamagedFileError(
            "is of another plan than the one of this run.",
            where=folder.address(name),
            remedy="Clear the run from its first task.",
        )
    return None


class Decision(StrEnum):
    """What became of a plan that needed approval."""

    ASKED = "asked"  # nobody has answered yet
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
        plan_sha256: Of the plan's summary, as it was shown.
    """

    decision: Decision
    above: tuple[str, ...]
    by: str
    at: str
    plan_sha256: str

    @property
    def told(self) -> str:
        """What people are told of it, behind "the plan was"."""
        if self.decision is Decision.ASKED:
            return "not answered for yet"
        if self.decision is Decision.EXPIRED:
            return "not answered for in time"
        return f"{self.decision} by {self.by or 'somebody'} at {self.at}"


def write_answer(folder: RunFolder, answer: Answer) -> None:
    """Keep the answer in the run folder."""
    folder.write_json(ANSWER_NAME, asdict(answer))


def read_answer(folder: RunFolder) -> Answer | None:
    """Return the answer to the plan that there is now; None if none was needed, or none is known."""
    if not folder.exists(ANSWER_NAME):
        return None
    data: dict[str, Any] = folder.read_json(ANSWER_NAME)
    shown = data.get("plan_sha256", "")
    if not folder.has(SUMMARY_NAME, shown):
        return None  # somebody has had the plan made anew since
    return Answer(Decision(data["decision"]), tuple(data["above"]), data["by"], data["at"], shown)


def read_unapproved(folder: RunFolder) -> Answer | None:
    """Return the answer to a plan that was refused or not answered for; None for any other plan."""
    answer = read_answer(folder)
    return None if answer is None or answer.decision is Decision.APPROVED else answer
