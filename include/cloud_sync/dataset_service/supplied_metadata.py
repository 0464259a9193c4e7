"""Media metadata in a manifest: what Encord believes without reading the file.

Source: encord 0.1.211, `encord/orm/storage.py` (`CustomerProvided...Metadata`).
"""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, JsonValue, field_validator
from pydantic.alias_generators import to_camel

Value = TypeVar("Value", str, int)

SOP_INSTANCE_UID = "00080018"
STUDY_INSTANCE_UID = "0020000D"
SERIES_INSTANCE_UID = "0020000E"
ROWS, COLUMNS = "00280010", "00280011"

REQUIRED_TAGS = frozenset(
    (
        *(SOP_INSTANCE_UID, STUDY_INSTANCE_UID, SERIES_INSTANCE_UID, ROWS, COLUMNS),
        "00100020",  # PatientID
        "00180050",  # SliceThickness
        "00181114",  # EstimatedRadiographicMagnificationFactor
        "00181164",  # ImagerPixelSpacing
        "00200013",  # InstanceNumber
        "00200032",  # ImagePositionPatient
        "00200037",  # ImageOrientationPatient
        "00209113",  # PlanePositionSequence
        "00209116",  # PlaneOrientationSequence
        "00280004",  # PhotometricInterpretation
        "00280008",  # NumberOfFrames
        "00280030",  # PixelSpacing
        "00281050",  # WindowCenter
        "00281051",  # WindowWidth
        "00289110",  # PixelMeasuresSequence
        "52009229",  # SharedFunctionalGroupsSequence
        "52009230",  # PerFrameFunctionalGroupsSequence
    )
)


class ManifestPart(BaseModel):
    """Accepts the raw dialect (snake case inside) and the SDK's typed one (camel case)."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="ignore")


class SuppliedMetadata(ManifestPart):
    """What all kinds have in common."""

    def media(self) -> dict[str, Any]:
        """Return it by the names of an item on the wire, in snake case."""
        return self.model_dump()


class VideoMetadata(SuppliedMetadata):
    """Of a video: seconds, pixels, bytes."""

    fps: float = Field(gt=0)
    duration: float = Field(ge=0)
    width: int = Field(gt=0)
    height: int = Field(gt=0)
    file_size: int = Field(ge=0)
    mime_type: str


class ImageMetadata(SuppliedMetadata):
    """Of an image: pixels, bytes."""

    mime_type: str
    file_size: int = Field(ge=0)
    width: int = Field(gt=0)
    height: int = Field(gt=0)


class AudioMetadata(SuppliedMetadata):
    """Of a sound: seconds, bytes, hertz, bits a sample."""

    duration: float = Field(ge=0)
    file_size: int = Field(ge=0)
    mime_type: str
    audio_sample_rate: int = Field(gt=0, validation_alias=AliasChoices("sampleRate", "sample_rate"))
    audio_bit_depth: int = Field(ge=0, validation_alias=AliasChoices("bitDepth", "bit_depth"))
    audio_codec: str = Field(validation_alias="codec")
    audio_num_channels: int = Field(gt=0, validation_alias=AliasChoices("numChannels", "num_channels"))


class TextMetadata(SuppliedMetadata):
    """Of a text: bytes."""

    file_size: int = Field(ge=0)
    mime_type: str


class PdfMetadata(SuppliedMetadata):
    """Of a PDF: bytes. The number of pages is kept, though no item on the wire has it."""

    file_size: int = Field(ge=0)
    num_pages: int = Field(gt=0)
    mime_type: str = "application/pdf"


class DicomMetadata(SuppliedMetadata):
    """Of one file of a series: tags as pydicom's `to_json_dict` gives them, each there, but maybe null."""

    tags: dict[str, dict[str, JsonValue] | None]

    @field_validator("tags")
    @classmethod
    def _holds_all(cls, tags: dict[str, Any]) -> dict[str, Any]:
        if missing := REQUIRED_TAGS - tags.keys():
            raise ValueError(f"lacks {', '.join(sorted(missing))}")
        return tags

    def media(self) -> dict[str, Any]:
        """Return only what an item on the wire shows: tags can name the patient."""
        return {
            "mime_type": "application/dicom",
            "dicom_instance_uid": self._first(SOP_INSTANCE_UID, str),
            "dicom_study_uid": self._first(STUDY_INSTANCE_UID, str),
            "dicom_series_uid": self._first(SERIES_INSTANCE_UID, str),
            "width": self._first(COLUMNS, int),
            "height": self._first(ROWS, int),
        }

    def _first(self, tag: str, kind: type[Value]) -> Value | None:
        values = (self.tags[tag] or {}).get("Value")
        first = values[0] if isinstance(values, list) and values else None
        return first if isinstance(first, kind) else None
