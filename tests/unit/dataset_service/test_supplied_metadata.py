"""Media metadata from manifests, by the names of the wire."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from cloud_sync.dataset_service.supplied_metadata import (
    REQUIRED_TAGS,
    AudioMetadata,
    DicomMetadata,
    ImageMetadata,
    PdfMetadata,
    TextMetadata,
)
from cloud_sync.dataset_service.wire import ItemAnswer

AUDIO = {
    "duration": 1.5,
    "file_size": 9,
    "mime_type": "audio/wav",
    "sample_rate": 48000,
    "bit_depth": 16,
    "codec": "pcm",
    "num_channels": 2,
}
TAGS = dict.fromkeys(REQUIRED_TAGS) | {
    "00080018": {"vr": "UI", "Value": ["1.2.3"]},
    "0020000D": {"vr": "UI", "Value": ["1.2"]},
    "00280010": {"vr": "US", "Value": [512]},
    "00280011": {"vr": "US", "Value": ["many"]},
    "00100020": {"vr": "LO", "Value": ["canary-patient"]},
}


def camel(snake: dict) -> dict:
    def converted(key: str) -> str:
        first, *others = key.split("_")
        return first + "".join(other.title() for other in others)

    return {converted(key): value for key, value in snake.items()}


@pytest.mark.parametrize("content", [AUDIO, camel(AUDIO)])
def test_sound_is_told_by_the_names_of_an_item(content):
    media = AudioMetadata.model_validate(content).media()
    assert media == {
        "duration": 1.5,
        "file_size": 9,
        "mime_type": "audio/wav",
        "audio_sample_rate": 48000,
        "audio_bit_depth": 16,
        "audio_codec": "pcm",
        "audio_num_channels": 2,
    }
    assert set(media) <= set(ItemAnswer.model_fields)


def test_texts_and_pdfs():
    assert TextMetadata(file_size=3, mime_type="text/csv").media() == {
        "file_size": 3,
        "mime_type": "text/csv",
    }
    assert PdfMetadata.model_validate({"fileSize": 3, "numPages": 2}).media() == {
        "file_size": 3,
        "num_pages": 2,
        "mime_type": "application/pdf",
    }


@pytest.mark.parametrize(
    ("model", "content"),
    [
        (ImageMetadata, {"mimeType": "image/png", "fileSize": 1, "width": 0, "height": 2}),
        (ImageMetadata, {"mimeType": "image/png", "fileSize": 1, "width": 2}),
        (AudioMetadata, {**AUDIO, "sample_rate": "fast"}),
        (PdfMetadata, {"fileSize": 1, "numPages": 0}),
        (DicomMetadata, {"tags": {"00080018": 5}}),
    ],
)
def test_wrong_metadata_is_refused(model, content):
    with pytest.raises(ValidationError):
        model.model_validate(content)


def test_dicom_tags_give_what_an_item_shows_and_nothing_of_the_patient():
    media = DicomMetadata(tags=TAGS).media()
    assert media == {
        "mime_type": "application/dicom",
        "dicom_instance_uid": "1.2.3",
        "dicom_study_uid": "1.2",
        "dicom_series_uid": None,
        "width": None,
        "height": 512,
    }
    assert "canary" not in str(media)


def test_a_missing_tag_is_named():
    tags = {tag: value for tag, value in TAGS.items() if tag not in ("00080018", "52009230")}
    with pytest.raises(ValidationError, match="lacks 00080018, 52009230"):
        DicomMetadata(tags=tags)
