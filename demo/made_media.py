"""Media that no package ships, made from some that a package does: frames, a sound, a page, a volume."""

from __future__ import annotations

import gzip
import io
import math
import struct
import time
import wave
from collections.abc import Sequence

FRAME_SIZE = (320, 240)
TONE_HZ, TONE_S, SAMPLES_PER_S, LOUDEST = 440, 1, 8000, 16_000
DPI = 150
NIFTI_HEADER_BYTES = 348
NIFTI_INT16 = 4  # NIfTI's number for signed 16-bit values
A_TIME = time.gmtime(0)  # so that the same page is the same bytes


def frames_of(photograph: bytes, count: int) -> list[bytes]:
    """Return so many JPEG frames of a camera that moves across a photograph."""
    from PIL import Image

    picture = Image.open(io.BytesIO(photograph))
    width, height = FRAME_SIZE
    step = (picture.width - width) / (count - 1)
    top = (picture.height - height) // 2
    frames = []
    for left in (round(step * number) for number in range(count)):
        file = io.BytesIO()
        picture.crop((left, top, left + width, top + height)).save(file, "JPEG", quality=85)
        frames.append(file.getvalue())
    return frames


def tone() -> bytes:
    """Return a WAV file: a second of the note A."""
    samples = [
        round(LOUDEST * math.sin(2 * math.pi * TONE_HZ * number / SAMPLES_PER_S))
        for number in range(TONE_S * SAMPLES_PER_S)
    ]
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(SAMPLES_PER_S)
        sound.writeframes(struct.pack(f"<{len(samples)}h", *samples))
    return file.getvalue()


def page_of(picture: bytes) -> bytes:
    """Return a PDF with a picture as its only page, as scanners make them."""
    from PIL import Image

    file = io.BytesIO()
    Image.open(io.BytesIO(picture)).save(
        file, "PDF", resolution=DPI, title="Scan", creationDate=A_TIME, modDate=A_TIME
    )
    return file.getvalue()


def volume_of(slices: Sequence[bytes]) -> bytes:
    """Return a compressed NIfTI-1 volume of CT slices, given as DICOM files from one end to the other."""
    import pydicom

    images = [pydicom.dcmread(io.BytesIO(one)) for one in slices]
    rows_mm, columns_mm = map(float, images[0].PixelSpacing)
    values = b"".join(image.pixel_array.astype("<i2").tobytes() for image in images)
    header = bytearray(NIFTI_HEADER_BYTES)
    struct.pack_into("<i", header, 0, NIFTI_HEADER_BYTES)
    struct.pack_into("<8h", header, 40, 3, images[0].Columns, images[0].Rows, len(images), 1, 1, 1, 1)
    struct.pack_into("<2h", header, 70, NIFTI_INT16, 16)
    thickness_mm = float(images[0].SliceThickness)
    struct.pack_into("<8f", header, 76, 1, columns_mm, rows_mm, thickness_mm, 0, 0, 0, 0)
    values_at = NIFTI_HEADER_BYTES + 4  # four zeros: no extension follows
    struct.pack_into("<f", header, 108, values_at)
    struct.pack_into("<4s", header, 344, b"n+1")
    return gzip.compress(bytes(header) + bytes(4) + values, mtime=0)
