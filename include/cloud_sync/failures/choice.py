"""Which of the listed failures are registered once more, and why the others are not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Self

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
    """Counts files that are not sent, by reason, with a few examples.

    Attributes:
        counts: Files by reason.
        examples: Keys of a few of them, by reason.
        classes: How many of them have each failure class, by reason; only of what the form left out.
        quarantined: How many of them the ledger has quarantined, by reason.
    """

    counts: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)
    classes: dict[str, Counter[str]] = field(default_factory=dict)
    quarantined: Counter[str] = field(default_factory=Counter)

    def add(
        self, reason: str, keys: Sequence[str], *, failure_class: str = "", is_quarantined: bool = False
    ) -> None:
        """Count the files of one item."""
        self.counts[reason] += len(keys)
        examples = self.examples.setdefault(reason, [])
        examples += keys[: EXAMPLES - len(examples)]
        if failure_class:
            self.classes.setdefault(reason, Counter())[failure_class] += len(keys)
        if is_quarantined:
            self.quarantined[reason] += len(keys)

    def why(self, reason: str) -> str:
        """Return what a person reads of a reason: `quarantined and not released by the form (2 corrupt)`."""
        classes = sorted(self.classes.get(reason, {}).items())
        named = ", ".join(f"{count:,} {name}" for name, count in classes)
        return f"{LEFT_OUT[reason]} ({named})" if named else LEFT_OUT[reason]

    @property
    def remedy(self) -> str:
        """What to change in the form so that it leaves nothing out; empty if it left nothing out."""
        classes = sorted(self.classes.get(CLASS_NOT_CHOSEN, {}))
        changes = [f"add {' and '.join(classes)} to failure_classes"] if classes else []
        if self.quarantined.total():
            changes.append("tick release_quarantine")
        return f"To send what the form left out, {' and '.join(changes)}." if changes else ""

    def to_json(self) -> dict[str, Any]:
        """Return the form that goes into the report."""
        return {reason: self._to_json(reason) for reason in LEFT_OUT if self.counts[reason]}

    def _to_json(self, reason: str) -> dict[str, Any]:
        found: dict[str, Any] = {"files": self.counts[reason], "examples": self.examples[reason]}
        if reason in self.classes:
            found["classes"] = dict(sorted(self.classes[reason].items()))
        if self.quarantined[reason]:
            found["quarantined"] = self.quarantined[reason]
        return found

    @classmethod
    def from_json(cls, data: Mapping[str, Mapping[str, Any]]) -> Self:
        """Inverse of `to_json`."""
        return cls(
            Counter({reason: one["files"] for reason, one in data.items()}),
            {reason: list(one["examples"]) for reason, one in data.items()},
            {reason: Counter(one["classes"]) for reason, one in data.items() if "classes" in one},
            Counter({reason: one["quarantined"] for reason, one in data.items() if "quarantined" in one}),
        )


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
    rows: Mapping[str, ListedFailure],
    classes: Collection[str],
    left_out: LeftOut,
    *,
    states_of: Callable[[Collection[str]], Mapping[str, str]],
) -> dict[str, ListedFailure]:
    """Return the rows of these failure classes, and those that name none; the others are counted.

    Args:
        rows: The rows, by the keys of their objects.
        classes: The classes that were chosen.
        left_out: Counts the others.
        states_of: Says what the ledger knows of some keys; asked only about the others, if there are any.
    """
    others = {key for key, row in rows.items() if row.failure_class and row.failure_class not in classes}
    states = states_of(others) if others else {}
    for key in rows:
        if key not in others:
            continue
        if states.get(key) == LedgerState.REGISTERED:
            left_out.add(REGISTERED, [key])
        else:
            is_quarantined = states.get(key) == LedgerState.QUARANTINED
            failure_class = rows[key].failure_class
            left_out.add(CLASS_NOT_CHOSEN, [key], failure_class=failure_class, is_quarantined=is_quarantined)
    return {key: row for key, row in rows.items() if key not in others}


def reason_to_leave_out(states: Collection[str | None], *, release_quarantine: bool) -> str | None:
    """Return why an item is not sent, by what the ledger knows of its files; None if it is sent."""
    if set(states) == {LedgerState.REGISTERED}:
        return REGISTERED
    if LedgerState.QUARANTINED in states and not release_quarantine:
        return QUARANTINED
    return None


def _shown(url: str) -> str:
    return repr(without_secrets(url)[:SHOWN_CHARACTERS])
