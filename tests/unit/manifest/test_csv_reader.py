"""Reading CSV: headings, separators, grouping, and rows that are not as they should be."""

from __future__ import annotations

import pytest

from cloud_sync.errors import ManifestError
from cloud_sync.manifest.items import Item
from tests.unit.manifest.samples import codes, read

GROUPS = "ObjectURL,Image group title,Create video\n"


def found(text: str) -> list[tuple[str, str]]:
    return [(finding.code, finding.place) for finding in read(text).findings]


class TestHeadings:
    @pytest.mark.parametrize(
        "heading", ["ObjectURL", "objecturl", "OBJECTURL", '" ObjectUrl "', "ObjectUrl\r"]
    )
    def test_a_single_column_means_videos(self, heading):
        assert read(f"{heading}\nhttps://b/a.mp4\n").items == [Item("video", ("https://b/a.mp4",))]

    @pytest.mark.parametrize(
        ("title", "item_type"),
        [("VIDEO TITLE", "video"), ("image  title", "image"), (" Series Title", "dicom_series")],
    )
    def test_the_title_column_names_the_type(self, title, item_type):
        assert read(f"{title},objecturl\nT,https://b/a\n").items == [Item(item_type, ("https://b/a",), "T")]

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            ("", "is empty"),
            ("\n\n", "is empty"),
            (
                "https://b/a.mp4\n",
                "line 1: does not begin with a row of headings. .*Video title, Image title, "
                "Image group title, Series title; Create video",
            ),
            ("ObjectURL,Video title,Image title\n", "line 1: .* do not say of which type"),
            ("ObjectURL,Titel\n", "line 1: .* do not say of which type"),
            ("ObjectURL,Create video\n", "line 1: .* do not say of which type"),
            ("\nObjectURL,ObjectURL\n", "line 2: .* heading 'ObjectURL' twice"),
            ("ObjectURL,Video title\na,b\nObjectURL;Image title\n", "line 3: .* another separator"),
            ('ObjectURL\n"a\n', "line 2: is not CSV: unexpected end of data"),
            ('ObjectURL\n"a"b\n', "line 2: is not CSV"),
            (f"ObjectURL\n{'a' * 200_000}\n", "line 2: is not CSV: field larger"),
        ],
    )
    def test_what_cannot_be_read_is_refused_with_the_line(self, text, reason):
        with pytest.raises(ManifestError, match=reason) as caught:
            read(text, format="csv")
        assert caught.value.remedy

    def test_an_unknown_column_is_an_error(self):
        manifest = read("ObjectURL,Video title,Client metadata\nhttps://b/a.mp4,T,x\n")
        assert [(one.level, one.code) for one in manifest.findings] == [("error", "csv-heading-unknown")]


class TestSeparators:
    @pytest.mark.parametrize("separator", [",", ";", "\t"])
    @pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
    def test_each_is_understood(self, separator, end):
        rows = [["ObjectURL", "Image title"], ["https://b/a.jpg", '"x, y; z\tq"'], ["https://b/b.jpg", ""]]
        manifest = read(end.join(separator.join(row) for row in rows))
        assert manifest.items == [
            Item("image", ("https://b/a.jpg",), "x, y; z\tq"),
            Item("image", ("https://b/b.jpg",)),
        ]
        assert manifest.findings == ()

    def test_quoted_newlines_and_quotes_and_the_lines_after_them(self):
        manifest = read('ObjectURL,Video title\nhttps://b/a.mp4,"one\ntwo ""x"""\nhttps://b/c.jpg,T\n')
        assert manifest.items[0].title == 'one\ntwo "x"'
        assert manifest.place_of(1) == "line 4"
        assert codes(manifest) == ["type-mismatch"]

    def test_a_comma_in_a_url_that_is_not_quoted(self):
        assert found("ObjectURL\nhttps://b/a,1.mp4\n") == [("csv-cells", "line 2")]
        assert read('ObjectURL\n"https://b/a,1.mp4"\n').items[0].object_urls == ("https://b/a,1.mp4",)

    def test_empty_cells_beyond_the_headings_say_nothing(self):
        assert read("ObjectURL,,\nhttps://b/a.mp4,,\n,,\n").findings == ()


class TestRows:
    def test_whitespace_around_a_url_is_taken_off(self):
        manifest = read("ObjectURL,Video title\n  https://b/a.mp4 , T \n")
        assert manifest.items == [Item("video", ("https://b/a.mp4",), " T ")]
        assert [one.code for one in manifest.findings] == ["csv-whitespace", "title-whitespace"]

    def test_a_row_without_a_url(self):
        assert found("ObjectURL,Video title\n,T\n") == [("csv-value", "line 2")]

    def test_a_missing_cell_is_a_blank_one(self):
        assert read("ObjectURL,Video title\nhttps://b/a.mp4\n").items == [Item("video", ("https://b/a.mp4",))]

    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            ("false", []),
            ("FALSE", []),
            ("", ["create-video-blank"]),
            ("true", ["create-video-on-file"]),
            ("no", ["csv-value", "create-video-blank"]),
        ],
    )
    def test_create_video_of_a_single_file(self, value, expected):
        manifest = read(f"ObjectURL,Image title,Create video\nhttps://b/a.jpg,T,{value}\n")
        assert [one.code for one in manifest.findings] == expected
        assert manifest.items == [Item("image", ("https://b/a.jpg",), "T")]


class TestGroups:
    @pytest.mark.parametrize(
        ("value", "item_type", "expected"),
        [
            (",true", "image_sequence", []),
            (",False", "image_group", []),
            (",", "image_sequence", ["create-video-unset"]),
            ("", "image_sequence", ["create-video-unset"]),
        ],
    )
    def test_create_video_is_true_by_default(self, value, item_type, expected):
        manifest = read(f"{GROUPS}https://b/a.jpg,G{value}\nhttps://b/b.jpg,G{value}\n")
        assert manifest.items == [Item(item_type, ("https://b/a.jpg", "https://b/b.jpg"), "G")]
        assert [one.code for one in manifest.findings] == expected

    def test_without_the_column_they_are_sequences(self):
        manifest = read("ObjectURL,Image group title\nhttps://b/a.jpg,G\n")
        assert manifest.items[0].item_type == "image_sequence"
        assert [one.code for one in manifest.findings] == ["create-video-unset"]

    def test_rows_that_contradict_each_other(self):
        rows = "https://b/a.jpg,G,false\nhttps://b/b.jpg,G,true\n"
        assert found(GROUPS + rows) == [("create-video-conflict", "line 3")]

    def test_rows_that_stand_apart_are_one_group(self):
        text = f"{GROUPS}a,G,false\nb,H,false\nc,G,false\n{GROUPS}d,G,false\n"
        manifest = read(text)
        assert [(item.title, item.object_urls) for item in manifest.items] == [
            ("G", ("a", "c", "d")),
            ("H", ("b",)),
        ]
        assert found(text) == [("group-scattered", "line 4")]

    def test_a_group_needs_a_title(self):
        assert found(f"{GROUPS}https://b/a.jpg, ,false\n") == [("title-missing", "line 2")]


class TestDicom:
    def test_a_blank_title_takes_the_file_name(self):
        manifest = read("ObjectURL,Series title\nhttps://b/x/a%20b.dcm,\nhttps://b/c.dcm?versionId=1,\n")
        assert [item.title for item in manifest.items] == ["a b.dcm", "c.dcm"]
        assert manifest.findings == ()

    def test_files_of_one_name_without_titles_are_one_series_and_reported(self):
        text = "ObjectURL,Series title\nhttps://b/x/a.dcm,\nhttps://b/y/a.dcm,\n"
        assert [item.object_urls for item in read(text).items] == [("https://b/x/a.dcm", "https://b/y/a.dcm")]
        assert found(text) == [("title-shared", "line 3")]

    def test_it_makes_no_video(self):
        text = "ObjectURL,Series title,Create video\nhttps://b/a.dcm,S,true\n"
        assert found(text) == [("create-video-on-file", "line 2")]
