"""Checking one file by its first bytes, in the product document's words."""

from __future__ import annotations

import gzip

import pytest

from cloud_sync.dataset_service.file_kinds import (
    AUDIO_FILE,
    DICOM_FILE,
    IMAGE_FILE,
    NIFTI_FILE,
    PDF_FILE,
    TEXT_FILE,
    VIDEO_FILE,
)
from cloud_sync.dataset_service.units import FileSpec, UnitError

from .memory import DICOM, JPEG, MP4, NIFTI, PNG, WAV, MemoryReader

URL = "s3://media/a"


def check(kind, content: bytes, **file):
    return kind.check(FileSpec(URL, "a", **file), MemoryReader({URL: content}))


@pytest.mark.parametrize(
    ("kind", "content", "mime"),
    [
        (VIDEO_FILE, MP4, "video/mp4"),
        (IMAGE_FILE, JPEG, "image/jpeg"),
        (IMAGE_FILE, PNG, "image/png"),
        (DICOM_FILE, DICOM, "application/dicom"),
        (AUDIO_FILE, WAV, "audio/wav"),
        (AUDIO_FILE, b"ID3\x04\x00\x00", "audio/mpeg"),
        (AUDIO_FILE, b"fLaC\x00\x00\x00\x22", "audio/flac"),
        (AUDIO_FILE, b"\x00\x00\x00\x18ftypM4A \x00\x00\x02\x00", "audio/mp4"),
        (TEXT_FILE, b"hello", "text/plain"),
        (TEXT_FILE, b"a,b\n1,2\n", "text/csv"),
        (TEXT_FILE, b"<!doctype html>", "text/html"),
        (TEXT_FILE, b'{"a": 1}', "application/json"),
        (TEXT_FILE, b"<?xml version='1.0'?><a/>", "application/xml"),
        (PDF_FILE, b"%PDF-1.7\n", "application/pdf"),
        (NIFTI_FILE, NIFTI, "application/nifti"),
        (NIFTI_FILE, gzip.compress(NIFTI, mtime=0), "application/nifti+gzip"),
    ],
)
def test_healthy_files_give_size_and_type(kind, content, mime):
    assert check(kind, content) == {"file_size": len(content), "mime_type": mime}


@pytest.mark.parametrize(
    ("kind", "content", "message"),
    [
        (VIDEO_FILE, b"hello", f"Expected a video, got a file of type text/plain: {URL}"),
        (VIDEO_FILE, JPEG, f"Expected a video, got a file of type image/jpeg: {URL}"),
        (IMAGE_FILE, MP4, f"Expected an image, got a file of type video/mp4: {URL}"),
        (IMAGE_FILE, b"\x01\x02", f"Expected an image, got a file of type application/octet-stream: {URL}"),
        (IMAGE_FILE, DICOM, f"Expected an image, got a file of type application/dicom: {URL}"),
        (DICOM_FILE, JPEG, f"Expected a DICOM file, got a file of type image/jpeg: {URL}"),
        (AUDIO_FILE, MP4, f"Expected an audio file, got a file of type video/mp4: {URL}"),
        (TEXT_FILE, WAV, f"Expected a text file, got a file of type audio/wav: {URL}"),
        (PDF_FILE, b"hello", f"Expected a PDF file, got a file of type text/plain: {URL}"),
        (
            NIFTI_FILE,
            gzip.compress(b"x", mtime=0),
            f"Expected a NIfTI file, got a file of type application/gzip: {URL}",
        ),
        (IMAGE_FILE, b"", f"The file is empty: {URL}"),
        (IMAGE_FILE, JPEG[:5000], f"The file is truncated, its end is missing: {URL}"),
        (IMAGE_FILE, PNG[:-6], f"The file is truncated, its end is missing: {URL}"),
    ],
)
def test_unhealthy_files_are_refused_with_their_url(kind, content, message):
    with pytest.raises(UnitError) as caught:
        check(kind, content)
    assert str(caught.value) == message


def test_an_end_mark_with_padding_behind_it_counts():
    assert check(IMAGE_FILE, JPEG + b"\x00" * 100)


def test_a_missing_object_is_an_error_of_its_unit():
    with pytest.raises(UnitError, match="does not exist: s3://media/a"):
        VIDEO_FILE.check(FileSpec(URL, "a"), MemoryReader())


def test_supplied_metadata_is_believed_without_reading():
    reader = MemoryReader()
    supplied = {"file_size": 9, "mime_type": "video/mp4"}
    assert VIDEO_FILE.check(FileSpec(URL, "a", supplied), reader) == supplied
    assert reader.reads == []
