"""The fields of an integration file: the one source of its sections, defaults and limits."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, ConfigDict, Field, ValidationInfo, field_validator

from cloud_sync.encord_limits import ITEMS_AT_ONE_TIME
from cloud_sync.integration.alerts import AlertChannel
from cloud_sync.integration.approval import Approval
from cloud_sync.integration.changes import Changes
from cloud_sync.integration.failures import Failures
from cloud_sync.integration.fields import (
    ConnectionId,
    DatasetName,
    Duration,
    Extension,
    FieldError,
    Name,
    NonEmpty,
    Pattern,
    Section,
    Share,
    Size,
    Switch,
    Tag,
    Template,
    check_cron,
)
from cloud_sync.integration.groups import GroupRule
from cloud_sync.integration.metadata import Metadata
from cloud_sync.integration.retry import Retry
from cloud_sync.integration.storage import Storage
from cloud_sync.manifest.items import ItemType
from cloud_sync.patterns import compiled_regex
from cloud_sync.titles import KEY_FIELDS, check_template


class Target(Section):
    """The Encord dataset that is kept in step."""

    connection_id: ConnectionId
    """Airflow connection of type `encord`."""
    dataset: DatasetName
    """Title or hash (UUID) of an existing dataset. Of a title longer than 100 characters give the hash."""
    encord_integration: NonEmpty | None = None
    """Title or UUID of the cloud credential stored in Encord. Left out: the one named in the connection."""
    folder: NonEmpty | None = None
    """Title or UUID of the storage folder to upload to, for a dataset that has no backing folder of its own.
    Left out: a folder named `cloud-sync <integration name>`, created when needed."""

    @property
    def dataset_is_hash(self) -> bool:
        """True if `dataset` is a hash, False if it is a title."""
        return is_uuid(self.dataset)


class Select(Section):
    """Which of the listed objects count. Patterns follow the rules of .gitignore."""

    include: tuple[Pattern, ...] = ()
    """Patterns of keys to take, such as `*.mp4` or `raw/**`. Empty means all."""
    exclude: tuple[Pattern, ...] = ()
    """Patterns of keys to leave out; wins over include."""
    minimum_age: Duration = timedelta(0)
    """Objects younger than this are held until a later run, so that half-written ones are not taken."""
    maximum_size: Size | None = None
    """Larger objects are skipped, with the reason in the plan. Units: kB, MB, GB, KiB, MiB, GiB."""


class Types(Section):
    """Which file name extensions become which type of item. Case does not matter."""

    model_config = ConfigDict(validate_default=True)

    videos: tuple[Extension, ...] = ("mp4", "mov", "m4v", "webm", "mkv")
    """Extensions of videos."""
    images: tuple[Extension, ...] = ("jpg", "jpeg", "png", "webp", "avif", "bmp", "tif", "tiff")
    """Extensions of images: single ones, and those of groups and sequences."""
    audio: tuple[Extension, ...] = ("mp3", "wav", "flac")
    """Extensions of audio files."""
    pdf: tuple[Extension, ...] = ("pdf",)
    """Extensions of PDF documents."""
    nifti: tuple[Extension, ...] = ("nii", "nii.gz")
    """Extensions of NIfTI volumes."""
    dicom: tuple[Extension, ...] = ("dcm", "dicom")
    """Extensions of DICOM files, which become series: by a rule under groups, else one series a folder."""
    text: tuple[Extension, ...] = ()
    """Extensions of text documents. None unless you name them: readme files and sidecars are texts too."""

    def by_extension(self) -> dict[str, ItemType]:
        """Return the item type of each extension."""
        return {extension: kind for field, kind in TYPE_OF.items() for extension in getattr(self, field)}

    @field_validator("*")
    @classmethod
    def _one_type_each(cls, extensions: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        for field, others in info.data.items():
            if twice := set(extensions).intersection(others):
                raise FieldError(
                    f"extension {min(twice)} stands under {field} and under {info.field_name}: "
                    "leave it in one of them",
                    at=(),
                )
        return extensions


# The item type that the extensions of each field of `types` stand for.
TYPE_OF: Mapping[str, ItemType] = {
    "videos": "video",
    "images": "image",
    "audio": "audio",
    "pdf": "pdf",
    "nifti": "nifti",
    "dicom": "dicom_series",
    "text": "text",
}


class Upload(Section):
    """How items are registered."""

    items_per_manifest: int = Field(default=1000, ge=1, le=ITEMS_AT_ONE_TIME, strict=True)
    """Items in one manifest. Grows by itself, up to 10,000, when a run has very many items."""
    ignore_errors: Switch = True
    """True: a bad file fails alone. False: one bad file fails its whole manifest."""
    skip_duplicate_urls: Switch = True
    """True: an object URL that is registered already is skipped, which makes reruns safe."""
    jobs_in_flight: int = Field(default=4, ge=1, le=64, strict=True)
    """Upload jobs that Encord works on at the same time."""
    stop_after_manifests: int = Field(default=3, ge=0, strict=True)
    """Answered manifests after which the run stops sending if most items fail for one cause. 0: never, and
    retry rounds send again however much has failed."""
    stop_at_share: Annotated[Share, Field(gt=0)] = 0.9
    """Share of the items sent that has to fail for one cause, as `90%` or 0.9."""


class Integration(Section):
    """One integration: a storage location, a dataset, and the rules between them."""

    name: Name
    """Names the DAG: `sync__<name>`. Lower-case letters, digits, `-` and `_`."""
    description: str = ""
    """One sentence, shown in the Airflow UI."""
    schedule: Annotated[NonEmpty, AfterValidator(check_cron)] | None = None
    """Cron expression, UTC. Left out: runs only when triggered."""
    owner: NonEmpty = "data-team"
    """Who answers for it, shown in the Airflow UI."""
    tags: tuple[Tag, ...] = ()
    """More tags for the Airflow UI, beside `encord` and the provider."""
    storage: Storage
    target: Target
    select: Select = Select()
    types: Types = Types()
    groups: tuple[GroupRule, ...] = ()
    """Rules by which several objects become one item, in order: the first that takes an object decides."""
    metadata: Metadata = Metadata()
    title: Template | None = None
    """Template of the titles of single files. Fields: key, name, stem, extension, folder, and the named
    groups of metadata.from_key. Left out: Encord takes the file name."""
    approval: Approval | None = None
    """Limits above which a plan waits for a person. Left out: none waits."""
    changes: Changes = Changes()
    upload: Upload = Upload()
    alerts: tuple[AlertChannel, ...] = ()
    """Who is told when a run or a task fails: by email, in Slack, or by a webhook. Left out: nobody."""
    retry: Retry = Retry()
    failures: Failures = Failures()

    @field_validator("title")
    @classmethod
    def _known_fields(cls, title: str | None, info: ValidationInfo) -> str | None:
        metadata = info.data.get("metadata")
        if title is None or metadata is None:
            return title  # the metadata section is wrong, which is an error of its own
        names = compiled_regex(metadata.from_key).groupindex if metadata.from_key else ()
        return check_template(title, tuple(dict.fromkeys((*KEY_FIELDS, *names))))

    @field_validator("changes")
    @classmethod
    def _limits_go_with_unlinking(cls, changes: Changes, info: ValidationInfo) -> Changes:
        if changes.removed != "unlink" or "approval" not in info.data:
            return changes  # the approval section is wrong, which is an error of its own
        limits = info.data["approval"]
        if limits is None or (limits.removed_count is None and limits.removed_share is None):
            raise FieldError(
                "unlink takes labels out of projects, so say how many items may leave the dataset without a "
                "person: approval.removed_count, such as 0, or approval.removed_share",
                at=("changes", "removed"),
            )
        return changes

    @property
    def dag_id(self) -> str:
        """The id of the DAG that runs this integration."""
        return f"sync__{self.name}"


def is_uuid(text: str) -> bool:
    """Tell a UUID (a hash in Encord's words) from a title."""
    try:
        UUID(text)
    except ValueError:
        return False
    return True
