"""What the service keeps: folders, datasets, items, data rows, upload jobs and their units."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import (
    JSON,
    BigInteger,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Text,
    TypeDecorator,
    text,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class JobStatus(StrEnum):
    """Encord's words for the life of an upload job."""

    PENDING = "PENDING"
    DONE = "DONE"
    ERROR = "ERROR"
    CANCELLED = "CANCELLED"


class UnitStatus(StrEnum):
    """The life of one unit: checked units are healthy and wait to be registered with their job."""

    PENDING = "pending"
    CHECKED = "checked"
    REGISTERED = "registered"
    SKIPPED = "skipped"
    ERROR = "error"
    CANCELLED = "cancelled"


class UtcDateTime(TypeDecorator[datetime]):
    """A moment in UTC. SQLite drops the zone, so it is put back on reading."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Convert to UTC, which a moment without a zone is taken to be in."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Give the zone back."""
        return self.process_bind_param(value, dialect)


def utc_now() -> datetime:
    """Return the present."""
    return datetime.now(UTC)


class Base(DeclarativeBase):
    """Names every constraint, so that later versions can change them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_label)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012 (SQLAlchemy's own way)
        datetime: UtcDateTime(),
        dict[str, Any]: JSON(),
        list[str]: JSON(),
        list[dict[str, Any]]: JSON(),
        str: Text(),
    }


def _index(name: str, *columns: str, only: str) -> Index:
    """An index over some rows, in both databases."""
    return Index(name, *columns, sqlite_where=text(only), postgresql_where=text(only))


class Folder(Base):
    """A storage folder."""

    __tablename__ = "folders"
    uuid: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    parent_uuid: Mapped[UUID | None] = mapped_column(ForeignKey("folders.uuid"), index=True)
    name: Mapped[str]
    description: Mapped[str]
    client_metadata: Mapped[str | None]
    owner: Mapped[str] = mapped_column(index=True)
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    last_edited_at: Mapped[datetime] = mapped_column(default=utc_now)


class Dataset(Base):
    """A dataset; with a backing folder it mirrors what is in there."""

    __tablename__ = "datasets"
    uuid: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    title: Mapped[str]
    description: Mapped[str]
    owner: Mapped[str] = mapped_column(index=True)
    backing_folder_uuid: Mapped[UUID | None] = mapped_column(ForeignKey("folders.uuid"), unique=True)
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    last_edited_at: Mapped[datetime] = mapped_column(default=utc_now)


class Item(Base):
    """A registered item, or a child item: one file of a group, sequence or series.

    `media` holds what is known of it, by the wire names in snake case: `file_size` (bytes),
    `mime_type`, `width`, `height` (pixels), `fps`, `duration` (seconds), `frame_count`. An item with child
    items has no `url`; their `position` is that of their file. `urls_digest` stands for the whole list of
    URLs in the index, where PostgreSQL takes no more than 2.7 KB and one URL may have 16.
    """

    __tablename__ = "items"
    uuid: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    folder_uuid: Mapped[UUID] = mapped_column(ForeignKey("folders.uuid"))
    parent_item_uuid: Mapped[UUID | None] = mapped_column(ForeignKey("items.uuid"))
    position: Mapped[int | None]
    item_type: Mapped[str]
    url: Mapped[str | None]
    urls_digest: Mapped[str]
    name: Mapped[str]
    description: Mapped[str] = mapped_column(default="")
    client_metadata: Mapped[dict[str, Any]]
    media: Mapped[dict[str, Any]]
    encord_integration_uuid: Mapped[UUID | None]
    storage_location: Mapped[str]
    owner: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    last_edited_at: Mapped[datetime] = mapped_column(default=utc_now)
    # Lists of a folder leave child items out, which can be a thousand times as many.
    __table_args__ = (
        _index("ix_items_by_urls", "folder_uuid", "urls_digest", only="parent_item_uuid IS NULL"),
        _index("ix_items_by_name", "folder_uuid", "name", "uuid", only="parent_item_uuid IS NULL"),
        _index("ix_items_by_age", "folder_uuid", "created_at", "uuid", only="parent_item_uuid IS NULL"),
        _index("ix_items_by_parent", "parent_item_uuid", "position", only="parent_item_uuid IS NOT NULL"),
    )


class DataRow(Base):
    """An item in a dataset: one annotation task."""

    __tablename__ = "data_rows"
    id: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True)
    uuid: Mapped[UUID] = mapped_column(unique=True, default=uuid4)
    dataset_uuid: Mapped[UUID] = mapped_column(ForeignKey("datasets.uuid"))
    item_uuid: Mapped[UUID] = mapped_column(ForeignKey("items.uuid"), index=True)
    title: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    __table_args__ = (Index("ix_data_rows_by_item", "dataset_uuid", "item_uuid"),)


class Job(Base):
    """An upload job. `dataset_uuid` is set when it was started on a dataset without a backing folder."""

    __tablename__ = "jobs"
    id: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True)
    uuid: Mapped[UUID] = mapped_column(unique=True, default=uuid4)
    folder_uuid: Mapped[UUID] = mapped_column(ForeignKey("folders.uuid"), index=True)
    dataset_uuid: Mapped[UUID | None] = mapped_column(ForeignKey("datasets.uuid"))
    encord_integration_uuid: Mapped[UUID | None]
    owner: Mapped[str]
    file_name: Mapped[str | None]
    ignore_errors: Mapped[bool]
    skip_duplicate_urls: Mapped[bool]
    upsert_metadata: Mapped[bool]
    status: Mapped[str] = mapped_column(default=JobStatus.PENDING, index=True)
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    finished_at: Mapped[datetime | None]


class Unit(Base):
    """One item to be, as its manifest described it, and what became of it.

    `files` are those of a `FileSpec` each. `media` and, for groups and series, `file_media` are what will be
    registered. `error_urls` are the files at fault; None where the whole unit is.
    """

    __tablename__ = "units"
    id: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True)
    uuid: Mapped[UUID] = mapped_column(default=uuid4)
    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id"))
    item_type: Mapped[str]
    files: Mapped[list[dict[str, Any]]]
    title: Mapped[str]
    client_metadata: Mapped[dict[str, Any]]
    status: Mapped[str] = mapped_column(default=UnitStatus.PENDING)
    media: Mapped[dict[str, Any] | None]
    file_media: Mapped[list[dict[str, Any]] | None]
    error: Mapped[str | None]
    error_urls: Mapped[list[str] | None]
    item_uuid: Mapped[UUID | None] = mapped_column(ForeignKey("items.uuid"))
    __table_args__ = (Index("ix_units_by_status", "job_id", "status", "id"),)

    @property
    def urls(self) -> list[str]:
        """The object URLs, in order."""
        return [file["url"] for file in self.files]
