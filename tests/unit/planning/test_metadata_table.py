"""Metadata tables: CSV and Parquet, joined by key."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cloud_sync.errors import ConfigError
from cloud_sync.integration import Table
from cloud_sync.planning.metadata import Description, encode_client_metadata
from cloud_sync.planning.metadata_table import MetadataTable


def read(folder, text: str | bytes, **fields) -> MetadataTable:
    (folder / "t.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    return MetadataTable.read(Table(path="t.csv", **fields), folder)


def refusal(folder, text: str | bytes, **fields) -> str:
    with pytest.raises(ConfigError) as caught:
        read(folder, text, **fields)
    assert str(caught.value).startswith(f"metadata table {folder / 't.csv'}: ")
    return str(caught.value)


def client(table: MetadataTable, *keys: str) -> list[dict]:
    return [dict(row.client_metadata) for row in table.rows(keys)]


class TestCsv:
    def test_rows_are_found_by_key_in_any_order(self, tmp_path):
        table = read(tmp_path, "key,city\na.mp4,Basel\nb.mp4,Bern\n")
        assert client(table, "b.mp4", "x.mp4", "a.mp4") == [{"city": "Bern"}, {}, {"city": "Basel"}]
        assert client(table) == []

    def test_a_column_has_the_type_that_all_its_values_have(self, tmp_path):
        text = (
            "key,whole,number,flag,zip,mixed,empty,big\n"
            "a,1,1.5,TRUE,0815,1,,12345678901234567890\n"
            "b,-20,2e3,false,4051,x,,1\n"
            "c,,,,,,,\n"
        )
        assert client(read(tmp_path, text), "a", "b", "c") == [
            {
                "whole": 1,
                "number": 1.5,
                "flag": True,
                "zip": "0815",
                "mixed": "1",
                "big": "12345678901234567890",
            },
            {"whole": -20, "number": 2000.0, "flag": False, "zip": "4051", "mixed": "x", "big": "1"},
            {},
        ]

    def test_keys_are_texts_whatever_they_look_like(self, tmp_path):
        table = read(tmp_path, "key,x\n007,a\nNA,b\n1e3,c\n")
        assert client(table, "007", "7", "NA", "1e3", "1000") == [{"x": "a"}, {}, {"x": "b"}, {"x": "c"}, {}]

    def test_whole_numbers_as_keys(self, tmp_path):
        assert client(read(tmp_path, "key,x\n10,a\n9,b\n"), "9", "10") == [{"x": "b"}, {"x": "a"}]

    def test_a_mark_at_the_start_quotes_and_windows_line_ends(self, tmp_path):
        text = '\ufeffkey,note\r\n"a,1.mp4","line one\nline ""two"""\r\n'
        assert client(read(tmp_path, text), "a,1.mp4") == [{"note": 'line one\nline "two"'}]

    @pytest.mark.parametrize(
        ("text", "problem"),
        [
            ("", "is no table: No columns to parse from file."),
            ("name,x\na,1\n", "has no column key. It has name, x; a CSV is separated by commas."),
            ("key;x\na;1\n", "has no column key. It has key;x; a CSV is separated by commas."),
            ("key,x\na,1\na,2\n", "has the key 'a' twice. Keep one row for each key."),
            ("key,x\n,1\n", "has a row without key. Give every row a key."),
            ("key,x,x\na,1,2\n", "has the column 'x' twice. Give each column a name of its own."),
            ("key,x\na,1,2\n", "has 3 cells in line 2, but 2 columns. Write a cell for each column"),
            ("key,x\na,1\nb\n", "has 1 cell in line 3, but 2 columns."),
            ('key,x\na,"1\n', "is no table: unexpected end of data."),
            (b"key,x\na,\xff\n", "is no table: 'utf-8' codec can't decode"),
        ],
    )
    def test_a_bad_table_is_refused_with_the_remedy(self, tmp_path, text, problem):
        assert problem in refusal(tmp_path, text)


class TestVideo:
    HEADING = "key,fps,duration,width,height,file_size,mime_type,city\n"

    def test_its_columns_are_the_videos_metadata(self, tmp_path):
        text = self.HEADING + "a,23.98,29.09,1280,720,5468354,video/mp4,Basel\nb,,,,,,,Bern\n"
        video = {"fps": 23.98, "duration": 29.09, "width": 1280, "height": 720}
        video |= {"file_size": 5468354, "mime_type": "video/mp4"}
        table = read(tmp_path, text, video_metadata=True)
        assert table.rows(["a", "b"]) == [
            Description({"city": "Basel"}, video),
            Description({"city": "Bern"}),
        ]

    def test_unless_asked_for_they_are_client_metadata(self, tmp_path):
        [row] = read(tmp_path, self.HEADING + "a,1,,,,,,\n").rows(["a"])
        assert row == Description({"fps": 1})

    def test_all_columns_must_be_there(self, tmp_path):
        assert "has no column duration, width" in refusal(
            tmp_path, "key,fps,height,file_size,mime_type\na,1,1,1,x\n", video_metadata=True
        )


class TestParquet:
    def test_values_keep_their_types(self, tmp_path):
        day = datetime(2026, 11, 24, tzinfo=UTC)
        rows = [
            {"id": "a", "n": 1, "tags": ["x", "y"], "at": day, "inner": {"z": 1}},
            {"id": "b", "n": None, "tags": None, "at": None, "inner": None},
        ]
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / "t.parquet")
        table = MetadataTable.read(Table(path="t.parquet", key="id"), tmp_path)
        [first, second] = client(table, "a", "b")
        assert first == {"n": 1, "tags": ["x", "y"], "at": day, "inner": {"z": 1}}
        assert second == {}

    def test_nanoseconds_become_microseconds(self, tmp_path):
        columns = {
            "key": pa.array(["a", "b"]),
            "at": pa.array([1_500_000_123_456_789_012, None], pa.timestamp("ns", "UTC")),
            "local": pa.array([1_001, None], pa.timestamp("ns")),
            "long": pa.array([2_500_001, None], pa.duration("ns")),
            "ms": pa.array([7, None], pa.timestamp("ms")),
        }
        pq.write_table(pa.table(columns), tmp_path / "t.parquet")
        [first, second] = client(MetadataTable.read(Table(path="t.parquet"), tmp_path), "a", "b")
        assert first["at"] == datetime(2017, 7, 14, 2, 42, 3, 456789, tzinfo=UTC)
        assert first["long"] == timedelta(microseconds=2_500)
        assert second == {}
        text = '{"at":"2017-07-14T02:42:03.456789Z","local":"1970-01-01T00:00:00.000001",'
        text += '"long":"PT0.0025S","ms":"1970-01-01T00:00:00.007000"}'
        assert encode_client_metadata(first) == text

    def test_not_a_number_is_no_value_and_infinity_is_one(self, tmp_path):
        columns = {"key": ["a", "b"], "x": [math.nan, math.inf], "y": pa.array([math.nan, 1.5], pa.float32())}
        pq.write_table(pa.table(columns), tmp_path / "t.parquet")
        table = MetadataTable.read(Table(path="t.parquet"), tmp_path)
        assert client(table, "a", "b") == [{}, {"x": math.inf, "y": 1.5}]

    def test_what_is_no_parquet(self, tmp_path):
        (tmp_path / "t.parquet").write_bytes(b"PAR1 no")
        with pytest.raises(ConfigError, match="is no table: "):
            MetadataTable.read(Table(path="t.parquet"), tmp_path)


def test_a_table_that_is_not_there(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read: No such file or directory"):
        MetadataTable.read(Table(path="x.csv"), tmp_path)


def test_a_link_out_of_the_folder_is_not_followed(tmp_path):
    (tmp_path / "tables").mkdir()
    (tmp_path / "secret.csv").write_text("key\na\n")
    (tmp_path / "tables" / "t.csv").symlink_to(tmp_path / "secret.csv")
    with pytest.raises(ConfigError, match="lies outside the folder of tables"):
        MetadataTable.read(Table(path="t.csv"), tmp_path / "tables")
