"""What is made for the demo is what it says, and the same every time."""

from __future__ import annotations

import gzip
import io
import struct
import wave

from PIL import Image

from cloud_sync.media.sniff import sniff
from demo.made_media import FRAME_SIZE, frames_of, page_of, tone, volume_of
from demo.media import SERIES, VOLUME_OF, photograph, picture, scans


def test_frames_are_different_pictures_of_one_size() -> None:
    frames = frames_of(photograph("flower.jpg"), 12)
    assert len(set(frames)) == 12
    assert {Image.open(io.BytesIO(frame)).size for frame in frames} == {FRAME_SIZE}
    assert frames == frames_of(photograph("flower.jpg"), 12)


def test_the_sound_is_a_second_long() -> None:
    with wave.open(io.BytesIO(tone())) as sound:
        assert (sound.getnframes(), sound.getframerate()) == (8000, 8000)
    assert sniff(tone()[:4096]) == "audio/wav"


def test_the_page_is_a_pdf_that_is_whole() -> None:
    page = page_of(picture("page.png"))
    assert sniff(page[:4096]) == "application/pdf"
    assert page.rstrip().endswith(b"%%EOF")
    assert page == page_of(picture("page.png"))


def test_the_volume_has_the_values_of_its_slices() -> None:
    import pydicom

    slices = [body for _, body in scans(VOLUME_OF)]
    packed = volume_of(slices)
    assert sniff(packed[:4096]) == "application/nifti+gzip"
    volume = gzip.decompress(packed)
    assert struct.unpack_from("<4h", volume, 40) == (3, 16, 16, len(SERIES[VOLUME_OF][1]))
    (start,) = struct.unpack_from("<f", volume, 108)
    last = pydicom.dcmread(io.BytesIO(slices[-1])).pixel_array
    assert volume[int(start) :][-last.nbytes :] == last.astype("<i2").tobytes()
    assert len(volume) == start + 16 * 16 * 2 * len(slices)
