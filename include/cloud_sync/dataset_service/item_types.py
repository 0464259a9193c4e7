"""What a manifest may hold: one handler per top-level key, which reads its entries and checks its files.

A new item type is a new handler in `HANDLERS`; nothing else needs to know of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, JsonValue, TypeAdapter, ValidationError
from pydantic.alias_generators import to_camel

from cloud_sync.dataset_service.reader import FetchError, ObjectReader
from cloud_sync.dataset_service.refusals import InvalidRequest
from cloud_sync.media.completeness import TAIL_BYTES, has_end_mark, is_whole
from cloud_sync.media.sniff import HEAD_BYTES, sniff


@dataclass(frozen=True, slots=True)
class UnitSpec:
    """One item to be, as the manifest describes it.

    Attributes:
        item_type: Encord's word for it (`video`).
        urls: Object URLs, in order; one for single files.
        title: Its name.
        client_metadata: The user's own data.
        supplied: Media metadata in snake case; if there is any, the file is not read.
    """

    item_type: str
    urls: tuple[str, ...]
    title: str
    client_metadata: dict[str, Any] = field(default_factory=dict)
    supplied: dict[str, Any] | None = None


class UnitError(Exception):
    """A unit that cannot be registered; the text is what the user reads."""


class ItemTypeHandler(Protocol):
    """Knows one item type."""

    @property
    def item_type(self) -> str:
        """Encord's word in the v2 protocol."""

    @property
    def data_type(self) -> str:
        """Encord's word in the legacy protocol."""

    @property
    def action(self) -> str:
        """What the service does with such a unit, for its error."""

    def read(self, entry: JsonValue, place: str) -> UnitSpec:
        """Read one entry of the manifest.

        Raises:
            InvalidRequest: It is not as the product document says; names the place.
        """

    def check(self, spec: UnitSpec, reader: ObjectReader) -> dict[str, Any]:
        """Look at the unit's files and return its media metadata.

        Raises:
            UnitError: A file is not what it should be or cannot be read.
        """


class _Wire(BaseModel):
    """Accepts the raw dialect (snake case inside) and the SDK's typed one (camel case)."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="ignore")


class VideoMetadata(_Wire):
    """What Encord believes without reading a video: seconds, pixels, bytes."""

    fps: float = Field(gt=0)
    duration: float = Field(ge=0)
    width: int = Field(gt=0)
    height: int = Field(gt=0)
    file_size: int = Field(ge=0)
    mime_type: str


class ImageMetadata(_Wire):
    """What Encord believes without reading an image: pixels, bytes."""

    mime_type: str
    file_size: int = Field(ge=0)
    width: int = Field(gt=0)
    height: int = Field(gt=0)


class _SingleFile(_Wire):
    object_url: str = Field(min_length=1)
    title: str | None = None
    client_metadata: dict[str, JsonValue] | None = None
    create_video: bool = False


class _Video(_SingleFile):
    metadata: VideoMetadata | None = Field(
        None, validation_alias=AliasChoices("videoMetadata", "video_metadata")
    )


class _Image(_SingleFile):
    metadata: ImageMetadata | None = Field(
        None, validation_alias=AliasChoices("imageMetadata", "image_metadata")
    )


@dataclass(frozen=True, slots=True)
class SingleFileHandler:
    """Items of one file: videos and images."""

    item_type: str
    data_type: str
    noun: str
    """With its article, as in "Expected a video"."""
    mime_prefix: str
    entries: TypeAdapter[_Video] | TypeAdapter[_Image]

    @property
    def action(self) -> str:
        """What the service does with such a unit."""
        return f"Processing {self.item_type}"

    def read(self, entry: JsonValue, place: str) -> UnitSpec:
        """Read `{"objectUrl": ..., "title"?, "clientMetadata"?, "videoMetadata"?}`."""
        try:
            parsed = self.entries.validate_python(entry)
        except ValidationError as error:
            raise InvalidRequest(f"{_first_problem(error)}.", where=place) from error
        return UnitSpec(
            item_type=self.item_type,
            urls=(parsed.object_url,),
            title=parsed.title or file_name(parsed.object_url),
            client_metadata=dict(parsed.client_metadata or {}),
            supplied=parsed.metadata.model_dump() if parsed.metadata else None,
        )

    def check(self, spec: UnitSpec, reader: ObjectReader) -> dict[str, Any]:
        """Fetch the first bytes, compare the type, and look for the end of a picture."""
        (url,) = spec.urls
        if spec.supplied is not None:
            return spec.supplied
        try:
            size_bytes = reader.size(url)
            if size_bytes == 0:
                raise UnitError(f"The file is empty: {url}")
            head = reader.read(url, 0, min(size_bytes, HEAD_BYTES))
            mime = sniff(head)
            if not mime.startswith(self.mime_prefix):
                raise UnitError(f"Expected {self.noun}, got a file of type {mime}: {url}")
            if not _is_whole(mime, url, size_bytes, reader):
                raise UnitError(f"The file is truncated, its end is missing: {url}")
        except FetchError as error:
            raise UnitError(str(error)) from error
        return {"file_size": size_bytes, "mime_type": mime}


def _is_whole(mime: str, url: str, size_bytes: int, reader: ObjectReader) -> bool:
    if not has_end_mark(mime):
        return True
    start = max(0, size_bytes - TAIL_BYTES)
    return is_whole(mime, reader.read(url, start, size_bytes - start))


def file_name(url: str) -> str:
    """Return the file name in an object URL: the default title."""
    return PurePosixPath(unquote(urlsplit(url).path)).name or url


def _first_problem(error: ValidationError) -> str:
    problem = error.errors(include_url=False, include_input=False, include_context=False)[0]
    place = ".".join(str(part) for part in problem["loc"])
    return f"{place}: {problem['msg']}" if place else str(problem["msg"])


VIDEOS = SingleFileHandler("video", "VIDEO", "a video", "video/", TypeAdapter(_Video))
IMAGES = SingleFileHandler("image", "IMAGE", "an image", "image/", TypeAdapter(_Image))

HANDLERS: Mapping[str, ItemTypeHandler] = {"videos": VIDEOS, "images": IMAGES}
"""By top-level key of the manifest."""

HANDLER_OF: Mapping[str, ItemTypeHandler] = {handler.item_type: handler for handler in HANDLERS.values()}
"""By item type."""

NOT_YET_SUPPORTED = frozenset(
    (
        "image_groups",
        "image_groups_from_items",
        "dicom_series",
        "audio",
        "text",
        "pdf",
        "nifti",
        "time_series",
        "scenes",
    )
)
"""Top-level keys that Encord knows and this service does not."""
