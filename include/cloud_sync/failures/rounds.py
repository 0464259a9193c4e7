"""Retry rounds: which items of a run are sent once more in the same run, and when."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from itertools import chain, islice

from cloud_sync.failures.accounting import FolderReader, RefusedItem
from cloud_sync.failures.diagnose import REQUESTS_AT_MOST, ObjectReader, open_and_diagnose
from cloud_sync.failures.faults import HEALTHY, suspects
from cloud_sync.failures.model import Diagnosis, FailureClass
from cloud_sync.failures.sendings import Sending, account, read_sendings
from cloud_sync.failures.settle import Settlement
from cloud_sync.manifest.model import SentItem, read_rounds, skipped_name
from cloud_sync.run_folder import RunFolder

FEW_ITEMS = 100  # so few may always be sent again
MOST_DOUBLINGS = 30  # beyond that the power is only a large number


def items_to_retry(
    folder: RunFolder,
    *,
    of_round: int,
    parse_url: Callable[[str], str],
    open_reader: Callable[[], ObjectReader],
    encord_folder: FolderReader,
    diagnosis_requests: int = REQUESTS_AT_MOST,
) -> list[SentItem]:
    """Return the items that were refused although all their files look healthy, as they stand last.

    A file that the store did not show does not: nobody knows whether it would fail again. Nothing of a
    manifest whose upload job was cancelled is among them: a person did not want it now. Nor is what was
    never sent.

    Args:
        folder: The run folder.
        of_round: The round to choose for, from 1. What an earlier try of it sent does not count.
        parse_url: Turns an object URL into its key; a CloudSyncError if it is not of the bucket.
        open_reader: Opens the object store; called only if something was refused.
        encord_folder: Read only if the counts leave a doubt.
        diagnosis_requests: How many requests may be made to find out what is wrong with the failed files.
    """
    sendings = (read_sendings(folder) or [])[:of_round]
    if not any(sending.ended for sending in sendings):
        return []
    found = account(sendings, encord_folder, believe_done=True)
    refused = [one for one in found.refused if _may_be_retried(one)]
    if not refused:
        return []
    looked_at = [suspects(one, parse_url, attempts=1) for one in refused]
    diagnoses = iter(
        open_and_diagnose(open_reader, chain.from_iterable(looked_at), requests_at_most=diagnosis_requests)
    )
    chosen = []
    for one, of_item in zip(refused, looked_at, strict=True):
        healthy = [_is_healthy(diagnosis) for diagnosis in islice(diagnoses, len(of_item))]
        if one.item is not None and healthy and all(healthy):
            chosen.append(one.item)
    return chosen


def why_not_at_once(sendings: Sequence[Sending], items: Collection[SentItem], *, at_share: float) -> str:
    """Return why a round is no use: so much has failed that it would only fail again. Empty if it is of use.

    Items without an error of their own do not count if their whole manifest was refused: small manifests may
    be what they need.

    Args:
        sendings: What the run has sent before the round.
        items: What would be sent again.
        at_share: Of what share of the items that the build stage sent it is too much; never of a few.
    """
    refused = {
        outcome.manifest_number: {url for error in outcome.unit_errors for url in error.urls}
        for sending in sendings
        for _, outcome in sending.ended
        if outcome.status == "failed"
    }
    failed = sum(
        item.manifest not in refused or not refused[item.manifest].isdisjoint(item.object_urls)
        for item in items
    )
    sent = sendings[0].items if sendings else 0
    if failed <= FEW_ITEMS or failed < at_share * sent:
        return ""
    return f"{failed:,} of the {sent:,} items that this run sent failed although their files look healthy."


def missing_round(folder: RunFolder, settlement: Settlement, *, rounds: int) -> int:
    """Return the first retry round that was due and neither sent anything nor said why not; 0 if none.

    None is due if nothing failed that looks healthy, or while manifests have no outcome.

    Args:
        folder: The run folder.
        settlement: What the run came to.
        rounds: How many rounds it may have.
    """
    may_pass = any(row.failure_class in HEALTHY for row in settlement.failures)
    if settlement.waiting or not may_pass:
        return 0
    following = len(read_rounds(folder)) + 1
    return 0 if following > rounds or folder.exists(skipped_name(following)) else following


def round_wait_s(
    of_round: int,
    *,
    first_wait_s: float,
    longest_wait_s: float,
    failed_s_ago: float = 0.0,
    retry_after_s: float = 0.0,
    draw: Callable[[float, float], float] = random.uniform,
) -> float:
    """Return how long to wait before a round: exponential backoff with full jitter.

    Args:
        of_round: The round, from 1.
        first_wait_s: The longest wait before the first round; it doubles with each round.
        longest_wait_s: The longest wait before any round.
        failed_s_ago: How long ago the last failure was; that much of the drawn wait is over.
        retry_after_s: How long Encord or the store has asked to be left alone from now on; kept in full.
        draw: Draws a number between two.

    Returns:
        Seconds from now on.
    """
    longest_s = min(longest_wait_s, first_wait_s * 2.0 ** min(of_round - 1, MOST_DOUBLINGS))
    return max(draw(0.0, longest_s) - failed_s_ago, retry_after_s, 0.0)


def seconds_since_failure(sendings: Sequence[Sending], *, now: float) -> float:
    """Return how long ago the last upload job with a failure ended; 0 if a clock was moved back since.

    Args:
        sendings: What the run has sent before the round.
        now: Seconds since 1970 UTC.
    """
    ended = [
        datetime.fromisoformat(outcome.finished_at).timestamp()
        for sending in sendings
        for _, outcome in sending.ended
        if outcome.failed or outcome.status != "done"
    ]
    return max(0.0, now - max(ended)) if ended else 0.0


def _is_healthy(diagnosis: Diagnosis) -> bool:
    return diagnosis.failure_class is FailureClass.TRANSIENT and diagnosis.looked_at


def _may_be_retried(one: RefusedItem) -> bool:
    return one.item is not None and one.outcome.status != "cancelled"
