"""Which files are at fault for an item that was not registered, and what becomes of its files."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from cloud_sync.errors import CloudSyncError
from cloud_sync.failures.accounting import RefusedItem
from cloud_sync.failures.cases import Case
from cloud_sync.failures.model import MAY_PASS, Diagnosis, FailureClass, NextStep, Suspect

# The classes of files that look as they should: nobody knows then which file of a group is at fault.
HEALTHY = frozenset({FailureClass.TRANSIENT, FailureClass.REJECTED})


def suspects(one: RefusedItem, parse_url: Callable[[str], str], *, attempts: int) -> list[Suspect]:
    """Return the files to look at for an item that was not registered.

    Args:
        one: The item.
        parse_url: Turns an object URL into its key; a CloudSyncError if it is not of the bucket.
        attempts: In how many runs the item failed; 0 if that must not count against it.
    """
    return [
        Suspect(
            url=url,
            key=key_of(parse_url, url),
            item_type=one.item.item_type if one.item else "",
            encord_error=one.error_of(url).error,
            attempts=attempts,
            is_named=url in one.errors,
        )
        for url in one.suspects
    ]


def at_fault(found: Sequence[tuple[Suspect, Diagnosis]]) -> Sequence[tuple[Suspect, Diagnosis]]:
    """Return which of an item's suspects are at fault; if all look healthy, none can be left out."""
    return [one for one in found if one[1].failure_class not in HEALTHY] or found


def key_of(parse_url: Callable[[str], str], url: str) -> str | None:
    """Return the key that an object URL stands for; None if it is not of the bucket."""
    try:
        return parse_url(url)
    except CloudSyncError:  # Encord named a URL that is not of this bucket
        return None


def next_step_of(case: Case, diagnoses: Sequence[Diagnosis]) -> NextStep:
    """Return what becomes of an item's files as far as this run knows: the worst of them decides for all.

    The ledger may know more (`cloud_sync.failures.settle`).
    """
    if case.refused.item is None:  # Encord named a URL that was not sent
        return NextStep.NONE
    may_pass = all(one.failure_class in MAY_PASS for one in diagnoses)
    return NextStep.RETRIED if may_pass else NextStep.QUARANTINED
