"""The index of a run's manifests: which there are, and which register task handles which."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from cloud_sync.planning.model import REGISTER_NAME
from cloud_sync.run_folder import FileRef, RunFolder, sha256_of

INDEX_NAME = "manifests/index.json"

# Each file of the run's items with its object URL and the number of its manifest.
ITEMS_NAME = "items.parquet"


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
    """All manifests of a run, dealt out to register tasks.

    Attributes:
        manifests: In order of their numbers.
        shards: Number of register tasks. Each handles its manifests one after another, so this is also
            how many upload jobs Encord works on at the same time.
        plan_sha256: Hex digest of the plan's `register.parquet` that they were built from.
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

    def is_of(self, folder: RunFolder) -> bool:
        """Tell whether the run folder holds the plan and the items that these manifests belong to."""
        digests = {REGISTER_NAME: self.plan_sha256, ITEMS_NAME: self.items_sha256}
        return all(
            folder.exists(name) and sha256_of(folder.path(name)) == digest for name, digest in digests.items()
        )

    def of_shard(self, shard: int) -> list[ManifestEntry]:
        """Return the manifests that one register task handles, in order."""
        return list(self.manifests[shard :: self.shards]) if self.shards else []


def write_index(folder: RunFolder, index: ManifestIndex) -> FileRef:
    """Write the index into the run folder and return a reference to it."""
    folder.write_json(INDEX_NAME, asdict(index))
    return folder.ref(INDEX_NAME, manifests=len(index.manifests), items=index.items)


def read_index(folder: RunFolder) -> ManifestIndex:
    """Read the index that the build stage wrote; an index that was never written is empty."""
    if not folder.exists(INDEX_NAME):
        return ManifestIndex()
    data = folder.read_json(INDEX_NAME)
    return ManifestIndex(
        **{**data, "manifests": tuple(ManifestEntry(**entry) for entry in data["manifests"])}
    )
