"""Tell a file's type from its first bytes, by signature and never by name."""

from __future__ import annotations

import csv
import re
import zlib
from typing import Final

EMPTY: Final = "application/x-empty"
UNKNOWN: Final = "application/octet-stream"

HEAD_BYTES: Final = 4096
"""Enough for every signature here: NIfTI's stands at 344, markup may follow a long comment."""

DICOM_MARK_AT: Final = 128
NIFTI_MARK_AT: Final = 344

# Longest first where one is the start of another.
SIGNATURES: Final[tuple[tuple[bytes, str], ...]] = (
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"II*\x00", "image/tiff"),
    (b"MM\x00*", "image/tiff"),
    (b"II+\x00", "image/tiff"),  # BigTIFF
    (b"MM\x00+", "image/tiff"),
    (b"fLaC", "audio/flac"),
    (b"ID3", "audio/mpeg"),
    (b"%PDF-", "application/pdf"),
    (b"PK\x03\x04", "application/zip"),
    (b"\x00\x00\x01\xba", "video/mpeg"),
    (b"\x00\x00\x01\xb3", "video/mpeg"),
)

RIFF_FORMS: Final = {b"WEBP": "image/webp", b"AVI ": "video/x-msvideo", b"WAVE": "audio/wav"}

# The brands of ISO base media files (ISO/IEC 14496-12) that name something other than MP4 video.
FTYP_BRANDS: Final = {
    b"avif": "image/avif",
    b"avis": "image/avif",
    b"heic": "image/heic",
    b"heix": "image/heic",
    b"hevc": "image/heic",
    b"hevx": "image/heic",
    b"heim": "image/heic",
    b"heis": "image/heic",
    b"mif1": "image/heif",
    b"msf1": "image/heif",
    b"qt  ": "video/quicktime",
    b"M4A ": "audio/mp4",
    b"M4B ": "audio/mp4",
    b"crx ": "image/x-canon-cr3",
    b"3gp4": "video/3gpp",
    b"3gp5": "video/3gpp",
    b"3gp6": "video/3gpp",
}
# Files of QuickTime's age have no `ftyp` box and begin with one of these.
QUICKTIME_FIRST_BOXES: Final = frozenset((b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"))

# The marks of Ogg's codecs, each at the start of a stream's first packet. Sound with a picture is a video.
OGG_VIDEO: Final = (b"\x80theora", b"BBCD\x00")
OGG_AUDIO: Final = (b"\x01vorbis", b"OpusHead", b"\x7fFLAC", b"Speex   ")

GZIP_MARK: Final = b"\x1f\x8b"

BITMAP_HEADER_SIZES: Final = frozenset((12, 40, 52, 56, 64, 108, 124))

UTF8_MARK: Final = b"\xef\xbb\xbf"
UTF16_MARKS: Final = (b"\xff\xfe", b"\xfe\xff")
CONTROL: Final = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")
HTML: Final = re.compile(
    rb"\s*(?:<!--(?:(?!-->).)*-->\s*)*<(?:!doctype html|html|head|body)\b", re.IGNORECASE | re.DOTALL
)
CSV_DELIMITERS: Final = (",", ";", "\t")
MIN_CSV_ROWS: Final = 2
JSON: Final = re.compile(rb'\s*(\{\s*("|\}|$)|\[\s*([\[{"\]\d-]|true|false|null|$))')


def sniff(head: bytes) -> str:
    """Return the MIME type of a file that begins with these bytes.

    Args:
        head: The first `HEAD_BYTES` bytes, or the whole file if it is smaller. Fewer bytes are
            judged as well as they can be.

    Returns:
        A MIME type; `EMPTY` for no bytes, `UNKNOWN` where nothing fits. Never raises.
    """
    if not head:
        return EMPTY
    # A DICOM preamble may hold a whole TIFF header, so its own mark is looked at first.
    if head[DICOM_MARK_AT : DICOM_MARK_AT + 4] == b"DICM":
        return "application/dicom"
    for signature, mime in SIGNATURES:
        if head.startswith(signature):
            return mime
    # UTF-16 begins with what could also be a frame of MPEG audio layer I, which nobody stores.
    if head.startswith(UTF16_MARKS):
        return "text/plain"
    return _container(head) or _wrapping(head) or _by_structure(head) or _text(head) or UNKNOWN


def _container(head: bytes) -> str | None:
    """RIFF, ISO base media and EBML: a family whose member is named a little further in."""
    if head.startswith(b"RIFF"):
        return RIFF_FORMS.get(head[8:12])
    if head[4:8] == b"ftyp":
        return _iso_media(head)
    if head[4:8] in QUICKTIME_FIRST_BOXES:
        return "video/quicktime"
    if head.startswith(b"\x1a\x45\xdf\xa3"):
        return "video/webm" if b"webm" in head[:64] else "video/x-matroska"
    return None


def _wrapping(head: bytes) -> str | None:
    """Ogg and gzip: what is inside tells the type."""
    if head.startswith(b"OggS"):
        return _ogg(head)
    return _gzip(head) if head.startswith(GZIP_MARK) else None


def _ogg(head: bytes) -> str:
    if any(mark in head for mark in OGG_VIDEO):
        return "video/ogg"
    return "audio/ogg" if any(mark in head for mark in OGG_AUDIO) else "application/ogg"


def _gzip(head: bytes) -> str:
    """NIfTI volumes are mostly stored compressed, so the first bytes inside are looked at too."""
    try:
        # The bound keeps a few bytes from growing into gigabytes.
        inside = zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(head, HEAD_BYTES)
    except zlib.error:
        return "application/gzip"
    return "application/nifti+gzip" if _is_nifti(inside) else "application/gzip"


def _iso_media(head: bytes) -> str:
    major = FTYP_BRANDS.get(head[8:12])
    # `mif1` only says "an image inside": the compatible brands say which.
    if major is None or major == "image/heif":
        size = min(int.from_bytes(head[0:4]), len(head))
        for at in range(16, size - 3, 4):
            compatible = FTYP_BRANDS.get(head[at : at + 4], "")
            if compatible in ("image/avif", "image/heic"):
                return compatible
    return major or "video/mp4"


def _by_structure(head: bytes) -> str | None:
    """Formats whose mark is too short to trust alone."""
    if _is_nifti(head):
        return "application/nifti"
    if head.startswith(b"BM") and int.from_bytes(head[14:18], "little") in BITMAP_HEADER_SIZES:
        return "image/bmp"
    if _is_mpeg_audio(head):
        return "audio/mpeg"
    return None


def _is_nifti(head: bytes) -> bool:
    """NIfTI-1 or NIfTI-2, alone or as the header of a pair."""
    return head[NIFTI_MARK_AT : NIFTI_MARK_AT + 4] in (b"n+1\x00", b"ni1\x00") or head[4:8] in (
        b"n+2\x00",
        b"ni2\x00",
    )


def _is_mpeg_audio(head: bytes) -> bool:
    """An MPEG audio frame header: eleven set bits, then no reserved value in any field."""
    header = int.from_bytes(head[:4])
    reserved = (
        header >> 19 & 0b11 == 0b01,  # version
        header >> 17 & 0b11 == 0b00,  # layer
        header >> 12 & 0b1111 in (0b0000, 0b1111),  # bit rate
        header >> 10 & 0b11 == 0b11,  # noqa: PLR2004 (sample rate)
    )
    return header >> 21 == (1 << 11) - 1 and not any(reserved)


def _text(head: bytes) -> str | None:
    body = head.removeprefix(UTF8_MARK)
    if CONTROL.search(body) or not _is_utf8(body):
        return None
    if HTML.match(body):
        return "text/html"
    if body.lstrip().startswith(b"<?xml"):
        return "image/svg+xml" if b"<svg" in body else "application/xml"
    if body.lstrip().startswith(b"<svg"):
        return "image/svg+xml"
    if JSON.match(body):
        return "application/json"
    return "text/csv" if _is_csv(body) else "text/plain"


def _is_csv(body: bytes) -> bool:
    """Two rows or more, all of the same number of cells: prose does not keep that up."""
    lines = body.decode(errors="ignore").splitlines(keepends=True)
    # The reader may have cut the last line.
    whole = lines[:-1] if len(body) >= HEAD_BYTES - len(UTF8_MARK) else lines
    return any(_is_table(whole, delimiter) for delimiter in CSV_DELIMITERS)


def _is_table(lines: list[str], delimiter: str) -> bool:
    try:
        rows = [row for row in csv.reader(lines, delimiter=delimiter) if row]
    except csv.Error:
        return False
    return len(rows) >= MIN_CSV_ROWS and len(rows[0]) > 1 and len({len(row) for row in rows}) == 1


def _is_utf8(body: bytes) -> bool:
    """Whether the bytes are UTF-8, but for a last character that the reader may have cut."""
    try:
        body.decode()
    except UnicodeDecodeError as error:
        return error.reason == "unexpected end of data" and len(body) - error.start < 4  # noqa: PLR2004
    return True
