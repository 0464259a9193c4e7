"""Read the entries of a manifest, in the product document's dialect and the SDK's typed one.

They differ in where a group's files stand (`objectUrl_0`, or a list of objects) and in what an image group
is that does not say `createVideo`: a sequence in the product document, a group in the SDK.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from pydantic import Field, JsonValue, StrictBool, ValidationError

from cloud_sync.dataset_service.item_types import (
    AUDIO,
    DICOM_SERIES,
    IMAGE,
    IMAGE_GROUP,
    IMAGE_SEQUENCE,
    NIFTI,
    PDF,
    TEXT,
    VIDEO,
    ItemType,
)
from cloud_sync.dataset_service.refusals import InvalidRequest
from cloud_sync.dataset_service.supplied_metadata import (
    AudioMetadata,
    DicomMetadata,
    ImageMetadata,
    ManifestPart,
    PdfMetadata,
    SuppliedMetadata,
    TextMetadata,
    VideoMetadata,
)
from cloud_sync.dataset_service.units import FileSpec, UnitSpec, file_name

Part = TypeVar("Part", bound=ManifestPart)

URL_KEY = "objectUrl"
# Nine digits are more files than fit into any manifest.
POSITION = re.compile(rf"{URL_KEY}_([0-9]{{1,9}})")


class EntryReader(Protocol):
    """Reads the entries below one top-level key."""

    def __call__(self, entry: JsonValue, place: str, *, typed: bool) -> UnitSpec:
        """Read one entry.

        Args:
            entry: The decoded JSON.
            place: Where it stands, for errors.
            typed: True for the SDK's dialect.

        Raises:
            InvalidRequest: It is not as the product document says; names the place.
        """


class _Describes(ManifestPart):
    """A part that stands for one file; at most one of its fields is media metadata."""

    title: str | None = None

    def file(self, url: str) -> FileSpec:
        supplied = next((value for _, value in self if isinstance(value, SuppliedMetadata)), None)
        return FileSpec(url, self.title or file_name(url), supplied.media() if supplied else None)


class _SingleFile(_Describes):
    object_url: str = Field(min_length=1)
    client_metadata: dict[str, JsonValue] | None = None


class _Video(_SingleFile):
    video_metadata: VideoMetadata | None = None


class _Image(_SingleFile):
    image_metadata: ImageMetadata | None = None


class _Audio(_SingleFile):
    audio_metadata: AudioMetadata | None = None


class _Text(_SingleFile):
    text_metadata: TextMetadata | None = None


class _Pdf(_SingleFile):
    pdf_metadata: PdfMetadata | None = None


class _Group(ManifestPart):
    title: str = Field(min_length=1)
    client_metadata: dict[str, JsonValue] | None = None
    create_video: StrictBool | None = None


class _GroupImage(_Describes):
    url: str = Field(min_length=1)
    image_metadata: ImageMetadata | None = None


class _GroupImages(ManifestPart):
    images: list[_GroupImage] = Field(min_length=1)


class _SeriesFile(_Describes):
    url: str = Field(min_length=1)
    dicom_metadata: DicomMetadata | None = None


class _SeriesFiles(ManifestPart):
    dicom_files: list[_SeriesFile] = Field(min_length=1)


@dataclass(frozen=True, slots=True)
class SingleFileReader:
    """Reads `{"objectUrl": ..., "title"?, "clientMetadata"?, "videoMetadata"?}`."""

    item_type: ItemType
    part: type[_SingleFile]

    def __call__(self, entry: JsonValue, place: str, *, typed: bool) -> UnitSpec:
        """Read one entry; both dialects are alike here."""
        parsed = _parse(self.part, entry, place)
        file = parsed.file(parsed.object_url)
        return UnitSpec(self.item_type.name, (file,), file.title, dict(parsed.client_metadata or {}))


def read_image_group(entry: JsonValue, place: str, *, typed: bool) -> UnitSpec:
    """Read an image group or sequence."""
    group = _parse(_Group, entry, place)
    if typed:
        images = _parse(_GroupImages, entry, place).images
        files = tuple(image.file(image.url) for image in images)
    else:
        files = _positioned_files(entry, place)
    is_sequence = not typed if group.create_video is None else group.create_video
    return _group_spec(IMAGE_SEQUENCE if is_sequence else IMAGE_GROUP, group, files)


def read_dicom_series(entry: JsonValue, place: str, *, typed: bool) -> UnitSpec:
    """Read a DICOM series; `createVideo` means nothing here."""
    group = _parse(_Group, entry, place)
    if typed:
        parts = _parse(_SeriesFiles, entry, place).dicom_files
        return _group_spec(DICOM_SERIES, group, tuple(part.file(part.url) for part in parts))
    return _group_spec(DICOM_SERIES, group, _positioned_files(entry, place))


READERS: Mapping[str, EntryReader] = {
    "videos": SingleFileReader(VIDEO, _Video),
    "images": SingleFileReader(IMAGE, _Image),
    "image_groups": read_image_group,
    "dicom_series": read_dicom_series,
    "audio": SingleFileReader(AUDIO, _Audio),
    "text": SingleFileReader(TEXT, _Text),
    "pdf": SingleFileReader(PDF, _Pdf),
    "nifti": SingleFileReader(NIFTI, _SingleFile),
}
"""By top-level key of the manifest. Of `pdf` and `nifti` only the typed names are known for sure."""

NOT_YET_SUPPORTED = frozenset(("image_groups_from_items", "time_series", "scenes"))
"""Top-level keys that Encord knows and this service does not."""


def _group_spec(item_type: ItemType, group: _Group, files: tuple[FileSpec, ...]) -> UnitSpec:
    return UnitSpec(item_type.name, files, group.title, dict(group.client_metadata or {}))


def _positioned_files(entry: Any, place: str) -> tuple[FileSpec, ...]:
    """Return the files of `objectUrl_0`, `objectUrl_1` ... by number. Numbers may be left out."""
    urls: dict[int, str] = {}
    for key, url in entry.items():
        if not key.startswith(URL_KEY):
            continue
        position = POSITION.fullmatch(key)
        if position is None:
            raise InvalidRequest(
                f"{key}: is no position.", where=place, remedy=f"Use {URL_KEY}_0, {URL_KEY}_1."
            )
        if not isinstance(url, str) or not url:
            raise InvalidRequest(f"{key}: is not an object URL.", where=place)
        if int(position[1]) in urls:
            raise InvalidRequest(
                f"{key}: the position is taken.", where=place, remedy="Number each file once."
            )
        urls[int(position[1])] = url
    if not urls:
        raise InvalidRequest(f"{URL_KEY}_0: Field required.", where=place)
    return tuple(FileSpec(url, file_name(url)) for _, url in sorted(urls.items()))


def _parse(part: type[Part], entry: JsonValue, place: str) -> Part:
    try:
        return part.model_validate(entry)
    except ValidationError as error:
        raise InvalidRequest(f"{_first_problem(error)}.", where=place) from error


def _first_problem(error: ValidationError) -> str:
    problem = error.errors(include_url=False, include_input=False, include_context=False)[0]
    place = ".".join(str(part) for part in problem["loc"])
    return f"{place}: {problem['msg']}" if place else str(problem["msg"])
