"""Reading anything: items with findings, or a ManifestError, and nothing else."""

from __future__ import annotations

import codecs
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud_sync.encord_limits import MAX_FILE_BYTES
from cloud_sync.errors import ManifestError
from cloud_sync.manifest import csv_reader, json_reader
from cloud_sync.manifest.csv_format import encode_csv
from cloud_sync.manifest.items import Item
from cloud_sync.manifest.json_format import encode_manifest
from cloud_sync.manifest.lint import lint
from cloud_sync.manifest.reader import read_manifest
from tests.unit.manifest.samples import EXAMPLES, B, json_values, outcome, read, texts

ITEM = Item("image", (f"{B}ü.jpg",), "Süd 🎥")
WORDS = [
    *('{"videos":[', '{"objectUrl":"a"}', "]", "}", ",", ":", '"image_groups"', '"title"', "null", "true"),
    *('"objectUrl_0"', '"clientMetadata"', "NaN", "1e999", "\\u", '"', "\\", "\n", "\x00", "\ud800", "é"),
    *("ObjectURL", "Video title", "Create video", "Series title", ";", "\t", "\r\n", '"a\nb"', "https://b/a"),
]


def ends_well(data: bytes) -> None:
    for options in ({}, {"format": "json"}, {"format": "json", "lenient": True}, {"format": "csv"}):
        end = outcome(data, **options)
        if isinstance(end, ManifestError):
            assert str(end).startswith("m")
            assert end.remedy
        else:
            assert all(finding.message for finding in lint(end))


class TestAnything:
    @given(st.binary(max_size=200))
    def test_bytes(self, data):
        ends_well(data)

    @given(st.text(max_size=100))
    def test_text(self, text):
        ends_well(text.encode(errors="surrogatepass"))

    @settings(max_examples=300)
    @given(st.lists(st.sampled_from(WORDS), max_size=30).map("".join))
    def test_pieces_of_manifests(self, text):
        ends_well(text.encode(errors="surrogatepass"))

    @given(
        st.dictionaries(st.sampled_from(["videos", "image_groups", "pdf", "imageGroups", "x"]), json_values)
    )
    def test_json_of_other_shapes(self, content):
        import msgspec

        ends_well(msgspec.json.encode(content))

    @settings(max_examples=150)
    @given(st.sampled_from(sorted(EXAMPLES.iterdir())), st.data())
    def test_examples_with_a_byte_changed(self, path, data):
        content = bytearray(path.read_bytes())
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
        ends_well(bytes(content))


class TestEncodings:
    @pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
    def test_json(self, encoding):
        text = encode_manifest([ITEM], skip_duplicate_urls=True).decode()
        manifest = read(text.encode(encoding))
        assert manifest.items == [ITEM]
        assert [finding.code for finding in manifest.findings] == ["encoding"]

    @pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
    def test_csv(self, encoding):
        manifest = read(encode_csv([ITEM])[0].decode().encode(encoding))
        assert manifest.items == [ITEM]
        assert [finding.code for finding in manifest.findings] == ["encoding"]

    @pytest.mark.parametrize("start", ["{\n", "ObjectURL\n"])
    def test_other_bytes_are_refused_with_the_line(self, start):
        with pytest.raises(ManifestError, match=r"^m, line 2: is not UTF-8 text. Save it as UTF-8."):
            read(start.encode() + b'"\xff"')

    def test_half_of_utf_16(self):
        with pytest.raises(ManifestError, match="is not UTF-16 text"):
            read(codecs.BOM_UTF16_LE + b"a")


class TestSize:
    def test_a_file_of_200_mb_is_refused_in_bounded_memory(self, tmp_path):
        path = tmp_path / "large.json"
        with path.open("wb") as stream:
            stream.truncate(200_000_000)
        tracemalloc.start()
        with pytest.raises(ManifestError, match=r"large: is larger than 100 MB.* Split it"):
            read_manifest(path, file="large")
        assert tracemalloc.get_traced_memory()[1] < MAX_FILE_BYTES * 1.1
        tracemalloc.stop()

    @pytest.mark.parametrize(
        "data", [b'{"images":[' + b"1," * 1_000 + b"1]}", b"ObjectURL\n" + b"a\n" * 1_002]
    )
    def test_more_entries_than_encord_takes_urls_are_not_read_on(self, data, monkeypatch):
        for module in (json_reader, csv_reader):
            monkeypatch.setattr(module, "MAX_URLS", 1000)
        with pytest.raises(ManifestError, match=r"more than 1,000,000 entries.* Split it"):
            read(data)

    def test_millions_of_brackets_are_not_read(self):
        with pytest.raises(ManifestError, match="more than 10,000,000 opening brackets and commas"):
            read(b'{"images":[{"objectUrl":"a","clientMetadata":{"a":[' + b"[]," * 10_000_000 + b"[]]}}]}")

    def test_a_file_that_cannot_be_read(self, tmp_path):
        with pytest.raises(ManifestError, match=r"^gone: cannot be read: No such file"):
            read_manifest(tmp_path / "gone.json", file="gone")
        with pytest.raises(ManifestError, match="Is a directory"):
            read_manifest(tmp_path, file="folder")


@given(texts)
def test_a_title_comes_back_from_json(title):
    item = Item("image", (f"{B}i.jpg",), title)
    assert read(encode_manifest([item], skip_duplicate_urls=True)).items == [item]


def test_the_format_is_told_by_the_first_character():
    assert read(" \n{}").format == "json"
    assert read("ObjectURL\nhttps://b/a.mp4\n").format == "csv"
    with pytest.raises(ManifestError, match="does not begin with a row of headings"):
        read("{}", format="csv")
