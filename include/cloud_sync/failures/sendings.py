"""What a run has sent: the manifests of the build stage, then those of each retry round.

An item may stand in several of them. The last manifest in which it stands decides what became of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cloud_sync.failures.accounting import Ended, FolderReader, RefusedItem, refused_items
from cloud_sync.manifest.model import (
    ManifestEntry,
    ManifestIndex,
    SentItem,
    items_name,
    items_of_manifests,
    read_index,
    read_rounds,
)
from cloud_sync.registration.model import read_outcome
from cloud_sync.run_folder import RunFolder

ItemId = tuple[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Sending:
    """What was sent at one time.

    Attributes:
        number: 0 for the manifests of the build stage, else the retry round.
        items_path: The table of its items.
        ended: Manifests whose upload job has ended, with its outcome.
        waiting: Manifests without an outcome: never sent, or their task failed.
    """

    number: int
    items_path: Path
    ended: list[Ended] = field(default_factory=list)
    waiting: list[ManifestEntry] = field(default_factory=list)

    @property
    def items(self) -> int:
        """How many items stand in the manifests that have ended."""
        return sum(entry.items for entry, _ in self.ended)

    @property
    def made(self) -> int:
        """How many items the upload jobs made."""
        return sum(min(outcome.made, outcome.items) for _, outcome in self.ended)

    def sent_items(self, entries: Iterable[ManifestEntry]) -> Iterator[SentItem]:
        """Yield the items of some of its manifests."""
        return items_of_manifests(self.items_path, [entry.number for entry in entries])


@dataclass(frozen=True, slots=True)
class Account:
    """What became of the items of a run.

    Attributes:
        refused: What was not registered, by the last manifest in which it stands.
        unanswered: Items that stand in a waiting manifest of a retry round; nothing is known of them.
        registered: By sending: how many items of its ended manifests are registered.
        submissions: How often an item was sent, if more than once.
    """

    refused: list[RefusedItem]
    unanswered: list[SentItem]
    registered: list[int]
    submissions: Counter[ItemId]

    def tries_of(self, item: SentItem | None) -> int:
        """Return how often an item was sent in this run."""
        return self.submissions.get(item_id(item), 1) if item is not None else 1


def item_id(item: SentItem) -> ItemId:
    """Return what an item is known by in all its manifests."""
    return item.item_type, item.object_urls


def read_sendings(folder: RunFolder) -> list[Sending] | None:
    """Read what a run has sent and what became of each manifest; None if the build stage never finished."""
    index = read_index(folder)
    # What an earlier try of the run built says nothing about the plan that there is now.
    if not index.is_of(folder):
        return None
    return [_sending(folder, number, one) for number, one in enumerate([index, *read_rounds(folder)])]


def account(
    sendings: Sequence[Sending], encord_folder: FolderReader, *, believe_done: bool = False
) -> Account:
    """Say of every item of the ended manifests whether it is registered; link those that are, if in doubt.

    Args:
        sendings: What was sent, in order.
        encord_folder: Read only if the counts leave a doubt.
        believe_done: As of `refused_items`.
    """
    refused = [
        refused_items(one.items_path, one.ended, encord_folder, believe_done=believe_done) for one in sendings
    ]
    registered = [
        one.items - sum(each.item is not None for each in of_one)
        for one, of_one in zip(sendings, refused, strict=True)
    ]
    if len(sendings) == 1:
        return Account(refused[0], [], registered, Counter())
    submissions: Counter[ItemId] = Counter()
    decided: list[list[RefusedItem]] = []
    unanswered: list[SentItem] = []
    # From the last to the first: what stands in a later one is decided there.
    for one, of_one in zip(reversed(sendings), reversed(refused), strict=True):
        decided.append([each for each in of_one if not each.item or item_id(each.item) not in submissions])
        if one.number:
            unanswered += one.sent_items(one.waiting)
            for item in one.sent_items([entry for entry, _ in one.ended] + one.waiting):
                submissions[item_id(item)] += 1 if item_id(item) in submissions else 2
    last = [each for of_one in reversed(decided) for each in of_one]
    return Account(_named_once(last), unanswered, registered, submissions)


def _sending(folder: RunFolder, number: int, index: ManifestIndex) -> Sending:
    sending = Sending(number, folder.local(items_name(number)))
    for entry in index.manifests:
        outcome = read_outcome(folder, entry.number)
        if outcome is None or outcome.manifest != entry.name:
            sending.waiting.append(entry)
        else:
            sending.ended.append((entry, outcome))
    return sending


def _named_once(refused: Iterable[RefusedItem]) -> list[RefusedItem]:
    """Keep of the URLs that Encord named although they were not sent only what it said last."""
    by_url = {tuple(one.errors) if one.item is None else id(one): one for one in refused}
    return list(by_url.values())
