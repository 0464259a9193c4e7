"""The end mark of a file tells whether it was cut off."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from cloud_sync.media.completeness import TAIL_BYTES, has_end_mark, is_whole


def picture(kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.effect_noise((64, 64), 50).save(buffer, kind)
    return buffer.getvalue()


@pytest.mark.parametrize(("kind", "mime"), [("JPEG", "image/jpeg"), ("PNG", "image/png")])
def test_a_real_picture_is_whole_and_a_part_of_it_is_not(kind, mime):
    data = picture(kind)
    assert has_end_mark(mime)
    assert is_whole(mime, data[-TAIL_BYTES:])
    for length in (len(data) - 1, len(data) // 2, 100):
        assert not is_whole(mime, data[:length][-TAIL_BYTES:])


def test_padding_behind_the_mark_is_harmless():
    assert is_whole("image/jpeg", (picture("JPEG") + b"\0" * 500)[-TAIL_BYTES:])


@pytest.mark.parametrize("mime", ["video/mp4", "image/webp", "application/octet-stream", ""])
def test_types_without_a_mark_are_taken_as_whole(mime):
    assert not has_end_mark(mime)
    assert is_whole(mime, b"")
