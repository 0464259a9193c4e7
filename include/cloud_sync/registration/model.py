"""The nouns of registration: the target, the state of an upload job, and the outcome of a manifest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from cloud_sync.errors import StorageError
from cloud_sync.numbers import counted
from cloud_sync.run_folder import RunFolder

TARGET_NAME = "target.json"
BREAKER_NAME = "breaker.json"
UNLINKED_NAME = "unlinked.json"

# What of a list has left the dataset, where something of it came back in time and stayed.
LEFT_NAME = "left.parquet"

# What Encord says of an upload job (encord.orm.dataset.LongPollingStatus).
PENDING, DONE, ERROR, CANCELLED = "PENDING", "DONE", "ERROR", "CANCELLED"


@dataclass(frozen=True, slots=True)
class Target:
    """Where the items of an integration go, as ids.

    Attributes:
        dataset_uuid: The dataset's hash.
        dataset_title: Its title.
        folder_uuid: The storage folder to upload to; None if it must still be made.
        is_backing_folder: True if the folder is the dataset's own, so that nothing has to be linked.
        encord_integration_uuid: The cloud credential stored in Encord; None lets Encord read without one.
        encord_integration_title: Its title.
    """

    dataset_uuid: str
    dataset_title: str
    folder_uuid: str | None
    is_backing_folder: bool
    encord_integration_uuid: str | None
    encord_integration_title: str | None

    def to_json(self) -> dict[str, Any]:
        """Return the form that is written to `target.json`."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Inverse of `to_json`."""
        return cls(**data)


def read_target(folder: RunFolder) -> Target:
    """Read the target that an earlier stage resolved."""
    return Target.from_json(folder.read_json(TARGET_NAME))


def write_target(folder: RunFolder, target: Target) -> None:
    """Write the target for the stages that follow."""
    folder.write_json(TARGET_NAME, target.to_json())


@dataclass(frozen=True, slots=True)
class DatasetRef:
    """A dataset as Encord names it; `backing_folder_uuid` is None if it has no folder of its own."""

    uuid: str
    title: str
    backing_folder_uuid: str | None


@dataclass(frozen=True, slots=True)
class FolderItem:
    """An item as the storage folder holds it.

    Attributes:
        uuid: Encord's id of it.
        name: Its title.
        url: Its object's URL. None for groups and series, whose files have URLs, and for items made in
            Encord; of an image sequence it may be that of the video which Encord made.
        item_type: Encord's word in snake case: `image_group`, but `plain_text`.
        frame_count: How many frames it has; None if Encord does not say.
    """

    uuid: str
    name: str
    url: str | None
    item_type: str
    frame_count: int | None


@dataclass(frozen=True, slots=True)
class UnitError:
    """A part of a manifest that Encord did not register.

    Attributes:
        urls: The object URLs of the part, without query and user part: one, or all frames of a group
            or series.
        error: Encord's text, shortened, without the queries of URLs.
        unit_id: Encord's id of the part, to be quoted to its support.
        action: What Encord was doing ("Processing image").
    """

    urls: tuple[str, ...]
    error: str
    unit_id: str
    action: str

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Inverse of `dataclasses.asdict` after a round trip through JSON."""
        return cls(**{**data, "urls": tuple(data["urls"])})


@dataclass(frozen=True, slots=True)
class JobState:
    """What Encord answers about an upload job at one moment.

    Attributes:
        status: PENDING, DONE, ERROR or CANCELLED. DONE says nothing about errors: see the counts.
        pending: Units not processed yet.
        done: Units registered.
        failed: Units refused.
        cancelled: Units not processed because the job was cancelled.
        item_uuids: The items made.
        unit_errors: One for each refused unit.
        job_errors: Errors of the job as a whole.
    """

    status: str
    pending: int
    done: int
    failed: int
    cancelled: int
    item_uuids: tuple[str, ...]
    unit_errors: tuple[UnitError, ...]
    job_errors: tuple[str, ...]

    @property
    def finished(self) -> bool:
        """True if the job will not change any more."""
        return self.status != PENDING


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one manifest: `outcomes/<nnnn>.json`, read by the settle stage.

    A manifest's URL is refused if a unit error names it. The others were registered by this job if
    `made` and those errors cover the manifest; else units were skipped or cancelled and the folder's
    items tell.

    Attributes:
        manifest_number: The manifest's number in the run.
        manifest: Its path in the run folder.
        job_id: Encord's id of the upload job; empty if Encord refused the manifest, so that there is none.
        status: `done`, `failed` or `cancelled`.
        items: Items in the manifest.
        made: Items that the job made, by the names that Encord lists.
        done: Units that Encord counts as registered; it may count skipped duplicates, too.
        failed: Units that Encord refused.
        cancelled: Units not processed because the job was cancelled.
        unit_errors: One for each refused unit.
        job_errors: Errors of the job as a whole, or why Encord refused the manifest.
        linked: Items linked to the dataset; 0 if the folder is the dataset's own.
        submitted_at: When the job was made, ISO 8601, UTC; empty if there is none.
        finished_at: When it was found finished, ISO 8601, UTC.
    """

    manifest_number: int
    manifest: str
    job_id: str
    status: str
    items: int
    made: int
    done: int
    failed: int
    cancelled: int
    unit_errors: tuple[UnitError, ...]
    job_errors: tuple[str, ...]
    linked: int
    submitted_at: str
    finished_at: str

    def to_json(self) -> dict[str, Any]:
        """Return the form that is written to the run folder."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Inverse of `to_json`."""
        unit_errors = tuple(UnitError.from_json(one) for one in data["unit_errors"])
        return cls(**{**data, "unit_errors": unit_errors, "job_errors": tuple(data["job_errors"])})


def outcome_name(number: int) -> str:
    """Return the path of a manifest's outcome in the run folder."""
    return f"outcomes/{number:04}.json"


def read_outcome(folder: RunFolder, number: int) -> Outcome | None:
    """Read the outcome of a manifest; None if its job has not finished.

    Raises:
        StorageError: The file is damaged.
    """
    name = outcome_name(number)
    if not folder.exists(name):
        return None
    data = folder.read_json(name)
    try:
        return Outcome.from_json(data)
    except (TypeError, KeyError, ValueError):
        raise StorageError(
            "is not the outcome of a manifest.",
            where=folder.address(name),
            remedy="Clear the task that writes it, so that it is written again.",
        ) from None


@dataclass(frozen=True, slots=True)
class Trip:
    """Why a run stopped submitting: `breaker.json`, shown in the report.

    Attributes:
        cause: What Encord says of most items, without what differs between them.
        example: One of its texts as it is.
        failed: Items that failed for this cause.
        sent: Items in the manifests that were answered.
        manifests: Those manifests.
    """

    cause: str
    example: str
    failed: int
    sent: int
    manifests: int

    def __str__(self) -> str:
        """Say it in a sentence."""
        return (
            f"{self.failed:,} of the first {counted(self.sent, 'item')} failed for one cause, "
            f"so nothing more is sent: {self.example}"
        )


def tripped(folder: RunFolder) -> Trip | None:
    """Return why this run stopped submitting; None if it did not."""
    if not folder.exists(BREAKER_NAME):
        return None
    try:
        return Trip(**folder.read_json(BREAKER_NAME))
    except (StorageError, TypeError):  # damaged; the outcomes say it again
        return None


@dataclass(frozen=True, slots=True)
class Unlinked:
    """What became of the items that were to leave the dataset: `unlinked.json`.

    Attributes:
        items: How many there were whose objects are gone still.
        absent: How many of them were in the dataset no more.
        folder: The storage folder that holds the others now; empty if they are where they were.
        list_sha256: Of the list that this answers.
        at: When, ISO 8601 in UTC, whole seconds.
        changed: How many there were whose objects are registered again.
        changed_absent: How many of them were in the dataset's folder no more.
        changed_folder: The storage folder that holds the others now; empty if there were none.
        came_back: How many more there were whose objects, or some of them, were there again: they stay.
    """

    items: int
    absent: int
    folder: str
    list_sha256: str
    at: str
    changed: int = 0
    changed_absent: int = 0
    changed_folder: str = ""
    came_back: int = 0

    def left_name(self, list_name: str) -> str:
        """Return the file of what has left the dataset: that of the list, or a part of it."""
        return LEFT_NAME if self.came_back else list_name

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Inverse of `dataclasses.asdict` after a round trip through JSON."""
        return cls(**data)


def read_unlinked(folder: RunFolder, list_name: str) -> Unlinked | None:
    """Return what became of the items of a list; None if there is no list, or nothing is known of it."""
    if not (folder.exists(list_name) and folder.exists(UNLINKED_NAME)):
        return None
    done = Unlinked.from_json(folder.read_json(UNLINKED_NAME))
    return done if done.list_sha256 == folder.ref(list_name).sha256 else None
