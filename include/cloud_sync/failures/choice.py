"""Which of the listed failures are registered once more, and why the others are not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from cloud_sync.errors import CloudSyncError, ManifestError
from cloud_sync.failures.failure_list import ListedFailure
from cloud_sync.ledger import LedgerState
from cloud_sync.safe_url import without_secrets

EXAMPLES: Final = 5
SHOWN: Final = 5
SHOWN_CHARACTERS: Final = 200

CLASS_NOT_CHOSEN, REGISTERED, QUARANTINED = "class_not_chosen", "registered", "quarantined"
UNKNOWN_GROUP, UNKNOWN_TYPE = "unknown_group", "unknown_type"
OUTSIDE_PREFIX, NOT_IN_BUCKET = "outside_prefix", "not_in_bucket"

# What a person reads for each reason.
LEFT_OUT: Final[Mapping[str, str]] = {
    CLASS_NOT_CHOSEN: "of a failure class that was not chosen",
    REGISTERED: "registered since",
    QUARANTINED: "quarantined and not released by the form",
    UNKNOWN_GROUP: "of a group whose run folder is gone: the next sync sends it",
    UNKNOWN_TYPE: "of unknown type: neither the list nor types: of the integration tells it",
    OUTSIDE_PREFIX: "outside of the prefix, which no sync lists",
    NOT_IN_BUCKET: "not in the bucket, or of a group with a file that is not",
}


@dataclass(slots=True)
class LeftOut:
    """Counts files that are not sent, by reason, with a few examples."""

    counts: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)

    def add(self, reason: str, keys: Sequence[str]) -> None:
        """Count the files of one item."""
        self.counts[reason] += len(keys)
        examples = self.examples.setdefault(reason, [])
        examples += keys[: EXAMPLES - len(examples)]

    def to_json(self) -> dict[str, Any]:
        """Return the form that goes into the report."""
        return {
            reason: {"files": self.counts[reason], "examples": self.examples[reason]}
            for reason in LEFT_OUT
            if self.counts[reason]
        }


def by_key(
    listed: Iterable[ListedFailure], key_of: Callable[[str], str], *, file: str, bucket: str
) -> dict[str, ListedFailure]:
    """Return the rows by the keys of their objects; of several rows the last.

    Args:
        listed: The rows.
        key_of: Turns an object URL into its key; a CloudSyncError if it is not of the bucket.
        file: What to call the list in errors.
        bucket: The integration's bucket.

    Raises:
        ManifestError: A URL is not of the bucket; names the first ones.
    """
    found: dict[str, ListedFailure] = {}
    outside: list[ListedFailure] = []
    for row in listed:
        try:
            found[key_of(row.object_url)] = row
        except CloudSyncError:
            outside.append(row)
    if outside:
        shown = ", ".join(f"{_shown(row.object_url)} (line {row.line})" for row in outside[:SHOWN])
        more = f" and {len(outside) - SHOWN:,} more" if len(outside) > SHOWN else ""
        raise ManifestError(
            f"holds object URLs that are none of the bucket {bucket}: {shown}{more}.",
            where=file,
            remedy="Remove them, or choose the integration of their bucket. Nothing was sent.",
        )
    return found


def of_classes(
    rows: Mapping[str, ListedFailure], classes: Collection[str], left_out: LeftOut
) -> dict[str, ListedFailure]:
    """Return the rows of these failure classes, and those that name none; the others are counted."""
    chosen = {}
    for key, row in rows.items():
        if row.failure_class and row.failure_class not in classes:
            left_out.add(CLASS_NOT_CHOSEN, [key])
        else:
            chosen[key] = row
    return chosen


def reason_to_leave_out(states: Collection[str | None], *, release_quarantine: bool) -> str | None:
    """Return why an item is not sent, by what the ledger knows of its files; None if it is sent."""
    if set(states) == {LedgerState.REGISTERED}:
        return REGISTERED
    if LedgerState.QUARANTINED in states and not release_quarantine:
        return QUARANTINED
    return None


def _shown(url: str) -> str:
    return repr(without_secrets(url)[:SHOWN_CHARACTERS])
