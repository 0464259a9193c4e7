"""Compare two manifests: which items were added, removed and changed, and in what."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import Any, Final, Literal

from cloud_sync.manifest.content import ReadManifest, refuse_errors
from cloud_sync.manifest.items import GROUPED_TYPES, Item
from cloud_sync.safe_url import without_secrets

NAMES_SHOWN: Final = 5


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing in which two manifests differ.

    Attributes:
        kind: What happened from the first manifest to the second.
        item_type: Of the item; `manifest` for what is said of the manifest as a whole.
        name: The item's title, or the URL of its first file; or the name of a flag.
        detail: What has changed; empty for items that were added or removed.
        place_before: Where it stands in the first manifest; empty if it does not.
        place_after: Where it stands in the second.
    """

    kind: Literal["added", "removed", "changed"]
    item_type: str
    name: str
    detail: str = ""
    place_before: str = ""
    place_after: str = ""


def compare_manifests(before: ReadManifest, after: ReadManifest) -> tuple[Difference, ...]:
    """Return the differences of what two manifests register, whatever their formats.

    Items are the same if they have the same files; of the rest, groups and series with the same title.
    A flag that is not stated counts as false, its default.

    Raises:
        ManifestError: One of them has errors, so that it does not say what would be registered.
    """
    for manifest in (before, after):
        refuse_errors(manifest.file, manifest.findings)
    pairs, removed, added = _matched(before.items, after.items)
    differences = [*_flags(before, after)]
    differences += [_one("removed", before, position) for position in removed]
    for first, second in pairs:
        if before.items[first] == after.items[second]:
            continue
        if detail := "; ".join(_changes(before.items[first], after.items[second])):
            differences.append(
                Difference(
                    "changed",
                    after.items[second].item_type,
                    _name(after.items[second]),
                    detail,
                    before.place_of(first),
                    after.place_of(second),
                )
            )
    differences += [_one("added", after, position) for position in added]
    if any(second > next_second for (_, second), (_, next_second) in pairwise(pairs)):
        differences.append(Difference("changed", "manifest", "order", "the items stand in another order"))
    return tuple(differences)


def _one(kind: Literal["added", "removed"], manifest: ReadManifest, position: int) -> Difference:
    item, place = manifest.items[position], manifest.place_of(position)
    before, after = (place, "") if kind == "removed" else ("", place)
    return Difference(kind, item.item_type, _name(item), "", before, after)


def _flags(before: ReadManifest, after: ReadManifest) -> Iterator[Difference]:
    for name in ("skip_duplicate_urls", "upsert_metadata"):
        values = bool(getattr(before, name)), bool(getattr(after, name))
        if values[0] != values[1]:
            yield Difference("changed", "manifest", name, _from_to(*(str(value).lower() for value in values)))


def _matched(
    before: Sequence[Item], after: Sequence[Item]
) -> tuple[list[tuple[int, int]], list[int], list[int]]:
    """Return the positions of the pairs, in order of the first, and those of the items without a partner."""
    pairs: list[tuple[int, int]] = []
    left, right = list(range(len(before))), list(range(len(after)))
    for key_of in (_files_key, _title_key):
        partners = _Partners(key_of, after, right)
        unmatched = []
        for position in left:
            partner = partners.take(key_of(before[position]))
            if partner is None:
                unmatched.append(position)
            else:
                pairs.append((position, partner))
        left, right = unmatched, partners.rest()
    return sorted(pairs), left, right


class _Partners:
    """Items by a key. Most keys are there once, and a list for each of 500,000 would cost a lot of memory."""

    def __init__(
        self, key_of: Callable[[Item], Hashable], items: Sequence[Item], positions: list[int]
    ) -> None:
        self._first: dict[Hashable, int] = {}
        self._others: dict[Hashable, deque[int]] = {}
        self._without: list[int] = []
        for position in positions:
            key = key_of(items[position])
            if key is None:
                self._without.append(position)
            elif self._first.setdefault(key, position) != position:
                self._others.setdefault(key, deque()).append(position)

    def take(self, key: Hashable) -> int | None:
        """Return the first item that has the key and is not taken yet, or None."""
        position = self._first.pop(key, None)
        if others := self._others.get(key):
            self._first[key] = others.popleft()
        return position

    def rest(self) -> list[int]:
        """Return those that nobody took, in order."""
        return sorted(chain(self._without, self._first.values(), *self._others.values()))


def _files_key(item: Item) -> Hashable:
    return item.object_urls


def _title_key(item: Item) -> Hashable:
    """Return the key of a group; None for a single file, which is its URL and nothing else."""
    return (item.item_type == "dicom_series", item.title) if item.item_type in GROUPED_TYPES else None


def _changes(before: Item, after: Item) -> Iterator[str]:
    """Say in what two items differ."""
    if before.item_type != after.item_type:
        yield f"type {_from_to(before.item_type, after.item_type)}"
    if before.title != after.title:
        yield f"title {_from_to(*(_quoted(item.title) for item in (before, after)))}"
    if before.object_urls != after.object_urls:
        yield _files(before.object_urls, after.object_urls)
    for name, values_of in METADATA.items():
        one, other = values_of(before), values_of(after)
        if one != other:
            yield f"{name}: {_changed_names(one or {}, other or {})}"


def _files(before: Sequence[str], after: Sequence[str]) -> str:
    gone, come = len(set(before) - set(after)), len(set(after) - set(before))
    if gone or come:
        return f"files: {come:,} added, {gone:,} removed"
    return "files: in another order" if len(before) == len(after) else "files: some stand there twice"


def _changed_names(before: dict[str, Any], after: dict[str, Any]) -> str:
    names = [
        name
        for name in dict.fromkeys((*before, *after))
        if name not in before or name not in after or before[name] != after[name]
    ]
    shown = ", ".join(names[:NAMES_SHOWN]) or "empty instead of none"
    return f"{shown} and {len(names) - NAMES_SHOWN:,} more" if len(names) > NAMES_SHOWN else shown


def _client_metadata(item: Item) -> dict[str, Any] | None:
    return item.client_metadata


def _video_metadata(item: Item) -> dict[str, Any] | None:
    video = item.video_metadata
    return None if video is None else {name: getattr(video, name) for name in video.__struct_fields__}


METADATA: Final[dict[str, Callable[[Item], dict[str, Any] | None]]] = {
    "clientMetadata": _client_metadata,
    "videoMetadata": _video_metadata,
}


def _name(item: Item) -> str:
    return item.title or without_secrets(next(iter(item.object_urls), ""))


def _quoted(title: str | None) -> str:
    return "none" if title is None else repr(title)


def _from_to(before: str, after: str) -> str:
    return f"{before} -> {after}"
