"""The circuit breaker: stops submitting when most of what was sent fails for one cause.

A revoked permission or a wrong region lets every item of a million fail, each after Encord has tried. The
first manifests are enough to see that.
"""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from urllib.parse import unquote

from cloud_sync.errors import EncordError, StorageError
from cloud_sync.registration.model import BREAKER_NAME, Outcome, Trip, UnitError, tripped
from cloud_sync.run_folder import RunFolder

log = logging.getLogger(__name__)

OUTCOMES = "outcomes/*.json"
LOCK_NAME = "breaker.lock"
SAMPLED = 50  # of more outcomes about so many are looked at first, evenly spread
SUSPECT = 0.75  # of the share that stops a run: a sample that shows so much has all outcomes read
REMEDY = (
    "Remove the cause, then trigger a new run: it sends what is not registered. To send on regardless, set "
    "upload.stop_after_manifests: 0."
)

SHORTEST_NAME = 5  # a shorter one may stand in any word
# What differs between two items that fail for one cause, the widest first.
URL = re.compile(r"\b[a-z][a-z0-9+.-]*://[^\s\"'<>]+", re.IGNORECASE)
UUID = re.compile(r"\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b", re.IGNORECASE)
PATH = re.compile(r"[^\s\"'<>]*/[^\s\"'<>]*")
FILE = re.compile(r"[^\s\"'<>/]+\.[a-z][a-z0-9]{1,4}\b", re.IGNORECASE)
TOKEN = re.compile(r"\b(?=[a-z]*[0-9])[a-z0-9_-]{8,}\b", re.IGNORECASE)
NUMBER = re.compile(r"\d+(?:[.,]\d+)*")


class BreakerTrippedError(EncordError):
    """Most of what was sent fails for one cause, so nothing more is sent."""


@dataclass(frozen=True, slots=True)
class BreakerRule:
    """When to stop.

    Attributes:
        after_manifests: Not before so many manifests were answered; 0 never, but what another task has
            found holds.
        at_share: Share of the items that have to fail for one cause, over 0 and at most 1.
    """

    after_manifests: int = 3
    at_share: float = 0.9


@dataclass(slots=True)
class Breaker:
    """Asked before each submission; looks at the outcomes of the run, those of other tasks, too.

    Attributes:
        folder: The run folder.
        rule: When to stop.
    """

    folder: RunFolder
    rule: BreakerRule
    _seen: dict[str, Outcome] = field(default_factory=dict)

    def check(self) -> None:
        """Return if the run may go on submitting.

        Raises:
            BreakerTrippedError: It may not, now or since another task found so. Permanent.
        """
        trip = tripped(self.folder) or self._found()
        if trip is not None:
            raise BreakerTrippedError(str(trip), where=self.folder.address(), remedy=REMEDY)

    def _found(self) -> Trip | None:
        """Return what the outcomes say now; of several tasks that find it at one time, what the first found.

        So all say it in the same words, which is one cause for those who are told.
        """
        trip = self._judge() if self.rule.after_manifests else None
        if trip is None:
            return None
        with self.folder.locked(LOCK_NAME):
            if (first := tripped(self.folder)) is not None:
                return first
            self.folder.write_json(BREAKER_NAME, asdict(trip))
        return trip

    def _judge(self) -> Trip | None:
        """Judge the run by all of its outcomes; of very many, only if a few among them look bad.

        Each task that goes on after a wait begins with none in memory. If it read all, a run would read
        about half the square of what it writes.
        """
        names = self.folder.names(OUTCOMES)
        if len(names) > SAMPLED:
            looks_bad = BreakerRule(after_manifests=1, at_share=SUSPECT * self.rule.at_share)
            if judge(self._outcomes(names[:: len(names) // SAMPLED]), looks_bad) is None:
                return None
        return judge(self._outcomes(names), self.rule)

    def _outcomes(self, names: Sequence[str]) -> list[Outcome]:
        """Return the outcomes of these names; each file is read once."""
        for name in names:
            if name not in self._seen and (outcome := _read(self.folder, name)):
                self._seen[name] = outcome
        return [self._seen[name] for name in names if name in self._seen]


def _read(folder: RunFolder, name: str) -> Outcome | None:
    try:
        return Outcome.from_json(folder.read_json(name))
    except (StorageError, ValueError, TypeError, KeyError):  # settle says what is wrong with it
        return None


def judge(outcomes: Iterable[Outcome], rule: BreakerRule) -> Trip | None:
    """Return the one cause for which so many items failed that nothing more should be sent; None if none.

    Of a manifest whose job failed as a whole, or that Encord refused, all items failed for what Encord says
    of the job. Cancelled ones say nothing.
    """
    judged = [one for one in outcomes if one.status != "cancelled"]
    sent = sum(one.items for one in judged)
    if not rule.after_manifests or len(judged) < rule.after_manifests or not sent:
        return None
    if sum(map(_most_failed, judged)) < rule.at_share * sent:
        return None  # no need to read the texts
    counts: Counter[str] = Counter()
    examples: dict[str, str] = {}
    for one in judged:
        for cause, items, text in _causes(one):
            counts[cause] += items
            examples.setdefault(cause, text)
    cause, failed = max(counts.items(), key=lambda one: one[1], default=("", 0))
    if failed < rule.at_share * sent:
        return None
    return Trip(cause=cause, example=examples[cause], failed=failed, sent=sent, manifests=len(judged))


def _most_failed(outcome: Outcome) -> int:
    return outcome.items if outcome.status == "failed" else min(len(outcome.unit_errors), outcome.items)


def _causes(outcome: Outcome) -> list[tuple[str, int, str]]:
    """Return the causes of an outcome, how many items failed for each, and a text that says so."""
    if outcome.status == "failed" and not outcome.unit_errors:
        return [(cause_of(text), outcome.items, text) for text in outcome.job_errors[:1]]
    found = [(cause_of_unit(error), error.error) for error in outcome.unit_errors]
    texts = dict(reversed(found))
    counts = Counter(cause for cause, _ in found)
    return [(cause, min(count, outcome.items), texts[cause]) for cause, count in counts.items()]


def cause_of_unit(error: UnitError) -> str:
    """Return the cause that a unit error names, without the names of its files, which may have any form."""
    text = error.error
    for url in error.urls:
        path = url.partition("://")[2].partition("/")[2]
        for name in (url, path, unquote(path), unquote(path).rpartition("/")[2]):
            if len(name) >= SHORTEST_NAME:
                text = text.replace(name, "…")
    return cause_of(text)


def cause_of(text: str) -> str:
    """Return a text without URLs, keys, ids and numbers, so that items that fail alike say the same."""
    for pattern in (URL, UUID, PATH, FILE, TOKEN, NUMBER):
        text = pattern.sub("…", text)
    return " ".join(text.split())
