"""The nouns of manifests: the index of those of a run, and the items that were sent in them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from cloud_sync.errors import StorageError
from cloud_sync.manifest.items import GROUPED_TYPES, ItemType
from cloud_sync.planning.model import REGISTER_NAME
from cloud_sync.run_folder import FileRef, RunFolder

if TYPE_CHECKING:
    import pyarrow.dataset as ds

INDEX_NAME = "manifests/index.json"

# What the lint says of a manifest that a person gave.
FINDINGS_NAME = "findings.json"

# Each file of the run's items with its object URL and the number of its manifest.
ITEMS_NAME = "items.parquet"
BATCH_ROWS = 50_000


@contextmanager
def reading_table(path: Path) -> Iterator[None]:
    """Read a Parquet file that an earlier stage wrote.

    Raises:
        StorageError: It is missing, or torn.
    """
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowInvalid, OSError) as error:
        raise StorageError(
            f"cannot be read: {str(error).splitlines()[0]}",
            where=str(path),
            remedy="Clear the run from its first task, so that it is written again.",
        ) from error


def index_name(of_round: int = 0) -> str:
    """Return the path of the index of what the build stage wrote (0), or a retry round (1, 2, ...)."""
    return f"retries/{of_round}/index.json" if of_round else INDEX_NAME


def items_name(of_round: int = 0) -> str:
    """Return the path of the items of what the build stage wrote (0), or a retry round (1, 2, ...)."""
    return f"retries/{of_round}/{ITEMS_NAME}" if of_round else ITEMS_NAME


def skipped_name(of_round: int) -> str:
    """Return the path of the file in which a retry round that sends nothing says why."""
    return f"retries/{of_round}/skipped.json"


@dataclass(frozen=True, slots=True)
class ManifestEntry:
    """One manifest file.

    Attributes:
        number: Its number in the run, from 0.
        name: Path in the run folder, `manifests/<nnnn>-<sha256 prefix>.json`.
        items: Number of items in it.
        files: Number of object URLs in it, of groups and series more than one an item.
        sha256: Hex digest of its bytes.
    """

    number: int
    name: str
    items: int
    files: int
    sha256: str


@dataclass(frozen=True, slots=True)
class ManifestIndex:
    """All manifests of a run, or of one of its retry rounds, dealt out to register tasks.

    Attributes:
        manifests: In order of their numbers.
        shards: Number of register tasks. Each handles its manifests one after another, so this is also
            how many upload jobs Encord works on at the same time.
        plan_sha256: Hex digest of what they were built from: the plan's `register.parquet`; of a retry round
            the index before it.
        items_sha256: Hex digest of `items.parquet`.
    """

    manifests: tuple[ManifestEntry, ...] = ()
    shards: int = 0
    plan_sha256: str = ""
    items_sha256: str = ""

    @property
    def items(self) -> int:
        """Number of items in all manifests."""
        return sum(entry.items for entry in self.manifests)

    def is_of(self, folder: RunFolder, of_round: int = 0) -> bool:
        """Tell whether the run folder holds what these manifests were built from, and their items."""
        source = index_name(of_round - 1) if of_round else REGISTER_NAME
        digests = {source: self.plan_sha256, items_name(of_round): self.items_sha256}
        return all(folder.has(name, digest) for name, digest in digests.items())

    def of_shard(self, shard: int) -> list[ManifestEntry]:
        """Return the manifests that one register task handles, in order."""
        return list(self.manifests[shard :: self.shards]) if self.shards else []


def write_index(folder: RunFolder, index: ManifestIndex, of_round: int = 0) -> FileRef:
    """Write the index into the run folder and return a reference to it."""
    name = index_name(of_round)
    folder.write_json(name, asdict(index))
    return folder.ref(name, manifests=len(index.manifests), items=index.items)


def read_index(folder: RunFolder, of_round: int = 0) -> ManifestIndex:
    """Read the index that the build stage or a retry round wrote; one that was never written is empty."""
    name = index_name(of_round)
    if not folder.exists(name):
        return ManifestIndex()
    data = folder.read_json(name)
    return ManifestIndex(
        **{**data, "manifests": tuple(ManifestEntry(**entry) for entry in data["manifests"])}
    )


def read_rounds(folder: RunFolder) -> list[ManifestIndex]:
    """Return the indexes of the retry rounds, the first round first.

    What an earlier try of the run left is not among them: each was made from the index before it, and the
    first from that of the build stage.
    """
    found: list[ManifestIndex] = []
    while folder.exists(index_name(number := len(found) + 1)):
        index = read_index(folder, number)
        if not index.is_of(folder, number):
            break
        found.append(index)
    return found


class SentItem(msgspec.Struct, frozen=True, gc=False):
    """An item as it stands in one of the run's manifests.

    Attributes:
        manifest: The manifest's number.
        item_type: What it is.
        object_urls: Its files, in order.
        title: As in the manifest; None if Encord takes the file name.
    """

    manifest: int
    item_type: ItemType
    object_urls: tuple[str, ...]
    title: str | None = None


def items_of_manifests(items_path: Path, manifests: Collection[int]) -> Iterator[SentItem]:
    """Stream the items of some manifests from `items.parquet`."""
    import pyarrow as pa

    return _whole_items(items_path, _field("manifest").isin(pa.array(manifests, pa.int32())))


def items_with_urls(items_path: Path, urls: Collection[str]) -> Iterator[SentItem]:
    """Stream the items from `items.parquet` that have a file with one of these URLs, with all their files."""
    import pyarrow as pa

    groups = set()
    named = _field("url").isin(pa.array(urls, pa.string()))
    for url, item_type, item_key, title, manifest in _rows(items_path, named):
        if item_type in GROUPED_TYPES:
            groups.add(item_key)
        else:
            yield SentItem(manifest, item_type, (url,), title)
    if groups:
        # A single file's item key may be any text, also that of a group.
        grouped = _field("item_type").isin(list(GROUPED_TYPES))
        yield from _whole_items(items_path, grouped & _field("item_key").isin(list(groups)))


def _whole_items(items_path: Path, condition: ds.Expression) -> Iterator[SentItem]:
    """Yield the items of rows that are chosen by manifest or by item: a group's rows stand together."""
    group: tuple[Any, ...] = ()
    urls: list[str] = []
    for url, item_type, item_key, title, manifest in _rows(items_path, condition):
        key = (manifest, item_type, item_key, title) if item_type in GROUPED_TYPES else ()
        if key != group:
            if group:
                yield _group_item(group, urls)
            group, urls = key, []
        if group:
            urls.append(url)
        else:
            yield SentItem(manifest, item_type, (url,), title)
    if group:
        yield _group_item(group, urls)


def _group_item(group: tuple[Any, ...], urls: Iterable[str]) -> SentItem:
    manifest, item_type, _, title = group
    return SentItem(manifest, item_type, tuple(urls), title)


def _rows(items_path: Path, condition: ds.Expression) -> Iterator[tuple[Any, ...]]:
    import pyarrow.dataset as ds

    columns = ["url", "item_type", "item_key", "title", "manifest"]
    with reading_table(items_path):
        rows = ds.dataset(items_path).to_batches(columns=columns, filter=condition, batch_size=BATCH_ROWS)
        for batch in rows:
            yield from zip(*(batch[name].to_pylist() for name in columns), strict=True)


def _field(name: str) -> ds.Expression:
    import pyarrow.dataset as ds

    return ds.field(name)
