"""Metadata of one item: merged, checked, encoded."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_sync.planning.metadata import (
    MAX_CLIENT_METADATA_BYTES,
    BadMetadata,
    Description,
    encode_client_metadata,
    encode_video_metadata,
    merge,
)

# The product document's example.
VIDEO = {
    "fps": 23.98,
    "duration": 29.09,
    "width": 1280,
    "height": 720,
    "file_size": 5468354,
    "mime_type": "video/mp4",
}


def test_later_sources_win_name_by_name():
    merged = merge(
        [
            Description({"a": 1, "b": {"x": 1}, "c": 1}),
            Description({"b": {"y": 2}}, title="first"),
            Description({"c": 3}, video_metadata={"fps": 1}),
            Description(title="last"),
        ]
    )
    assert merged == Description({"a": 1, "b": {"y": 2}, "c": 3}, {"fps": 1}, "last")


class TestClientMetadata:
    def test_none_is_none(self):
        assert encode_client_metadata({}) is None

    def test_ten_megabytes_and_no_more(self):
        most = MAX_CLIENT_METADATA_BYTES - len('{"a":""}')
        assert len(encode_client_metadata({"a": "x" * most})) == MAX_CLIENT_METADATA_BYTES
        with pytest.raises(BadMetadata, match="10,000,001 bytes: at most 10,000,000"):
            encode_client_metadata({"a": "x" * (most + 1)})

    def test_what_jsonb_cannot_hold_is_refused(self):
        with pytest.raises(BadMetadata, match=r"U\+0000"):
            encode_client_metadata({"a": ["b\0"]})
        assert json.loads(encode_client_metadata({"a": "\\u0000"})) == {"a": "\\u0000"}

    @pytest.mark.parametrize("value", [math.inf, -math.inf, [1.0, math.nan], {"x": [{"y": math.inf}]}])
    def test_numbers_that_json_does_not_know_are_refused(self, value):
        with pytest.raises(BadMetadata, match="NaN or infinity"):
            encode_client_metadata({"a": None, "b": value})
        assert encode_client_metadata({"a": None, "b": [1.5, "null"]}) == '{"a":null,"b":[1.5,"null"]}'

    def test_deep_nesting_is_looked_through(self):
        deep: list = [None]
        for _ in range(900):
            deep = [deep]
        assert encode_client_metadata({"a": deep}).endswith("null" + "]" * 901 + "}")

    def test_what_has_no_form_in_json_is_refused(self):
        with pytest.raises(BadMetadata, match="not possible in JSON"):
            encode_client_metadata({"a": [object()]})

    @given(
        st.dictionaries(
            st.text(), st.recursive(st.none() | st.booleans() | st.integers(-9, 9) | st.text(), st.lists)
        )
    )
    def test_round_trip(self, metadata):
        try:
            text = encode_client_metadata(metadata)
        except BadMetadata:
            assert "\0" in repr(metadata).replace("\\x00", "\0")
            return
        assert json.loads(text or "{}") == metadata


class TestVideoMetadata:
    def test_the_documents_example(self):
        assert json.loads(encode_video_metadata(VIDEO, "video")) == VIDEO
        assert encode_video_metadata(None, "image") is None

    def test_a_whole_number_of_frames_is_fine(self):
        assert (
            json.loads(encode_video_metadata(VIDEO | {"fps": 24, "width": 1280.0}, "video"))["width"] == 1280
        )

    @pytest.mark.parametrize(
        ("change", "problem"),
        [
            ({"fps": None, "width": None}, "lacks fps, width"),
            ({"fps": "24"}, "Expected `float`, got `str` - at `$.fps`"),
            ({"width": 1280.5}, "Expected `int`, got `float`"),
            ({"duration": 0}, "a number that is not above 0"),
            ({"height": -1}, "a number that is not above 0"),
            ({"fps": float("inf")}, "a number that is not above 0"),
            ({"fps": float("nan")}, "a number that is not above 0"),
            ({"mime_type": "image/png"}, "the type 'image/png', which is no video's"),
            ({"codec": "h264"}, "unknown field `codec`"),
        ],
    )
    def test_what_is_not_complete_or_plausible_is_refused(self, change, problem):
        with pytest.raises(BadMetadata) as caught:
            encode_video_metadata(VIDEO | change, "video")
        assert problem in str(caught.value)

    def test_only_videos_have_it(self):
        with pytest.raises(BadMetadata, match="for an item of type image"):
            encode_video_metadata(VIDEO, "image")
