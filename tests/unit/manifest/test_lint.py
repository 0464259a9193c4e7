"""Lint: what is found in a manifest, at which place, and that no secret is repeated."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_sync.encord_limits import MAX_CLIENT_METADATA_BYTES, MAX_ITEMS, MAX_URLS
from cloud_sync.manifest import lint as lint_module
from cloud_sync.manifest.content import ReadManifest
from cloud_sync.manifest.findings import MAX_FINDINGS_OF_A_CODE
from cloud_sync.manifest.items import Item, VideoMetadata
from cloud_sync.manifest.lint import lint
from cloud_sync.manifest.lint_urls import USUAL_FORM, url_faults
from tests.unit.manifest.samples import VIDEO_METADATA, B, codes, read, urls

GOOD = Item("image", (f"{B}i.jpg",))


def of(*items: Item, **options: bool | None) -> ReadManifest:
    flags = {"skip_duplicate_urls": True, "upsert_metadata": None, **options}
    return ReadManifest("m", "json", "raw", items, findings=(), place_of=lambda n: f"item {n}", **flags)


def image(url: str, title: str | None = None) -> Item:
    return Item("image", (url,), title)


class TestUrls:
    @pytest.mark.parametrize(
        "url",
        [
            f"{B}a%20b.jpg",
            "http://127.0.0.1:9000/bucket/a.jpg",
            "https://s3.eu-central-1.amazonaws.com/b/1+(32).jpg",
            "S3://bucket/key.jpg",
            "gs://bucket/key.jpg",
            "https://account.blob.core.windows.net/c/ü.jpg",
            "https://b.obs.eu-de.otc.t-systems.com/dicom@file-0",
            "arn:aws:s3::123456789012:accesspoint/alias.mrap/folder/a.jpg",
        ],
    )
    def test_every_form_that_encord_reads(self, url):
        assert codes(of(image(url))) == []

    @pytest.mark.parametrize(
        ("url", "code"),
        [
            (f"{B}a b.jpg", "url-whitespace"),
            (f"{B}a\u2003b.jpg", "url-whitespace"),
            (f"{B}a.jpg\n", "url-whitespace"),
            ("", "url-unknown-form"),
            ("a.jpg", "url-unknown-form"),
            ("ftp://b/a.jpg", "url-unknown-form"),
            ("https://b/", "url-unknown-form"),
            ("arn:aws:s3:::bucket/a.jpg", "url-unknown-form"),
            (B + "x/" * 8_192 + "x", "url-too-long"),
            (B + "ü/" * 5_500 + "x", "url-too-long"),
            ("https://me:s3cr3t@b/a.jpg", "url-credentials"),
            (f"{B}a.jpg?X-Amz-Date=1&X-Amz-Signature=s3cr3t", "url-presigned"),
            (f"{B}a.jpg?sv=1&sig=s3cr3t", "url-presigned"),
            (f"{B}a.jpg?versionId=s3cr3t", "url-query"),
            (f"{B}a.jpg#s3cr3t", "url-query"),
            (f"{B}a b.jpg?token=s3cr3t", "url-whitespace url-presigned"),
        ],
    )
    def test_faults_are_named_without_the_secret(self, url, code):
        manifest = of(GOOD, image(url))
        assert codes(manifest) == code.split()
        for finding in lint(manifest):
            assert finding.place == "item 1"
            assert "s3cr3t" not in str(finding)

    def test_the_encoded_form_is_suggested(self):
        [finding] = lint(of(image(f"{B}a b\tc.jpg?x=1")))[:1]
        assert finding.remedy == f"Write it as {B}a%20b%09c.jpg"

    def test_a_bare_name_needs_video_metadata(self):
        entry = Item("video", ("video_file.mp4",), video_metadata=VIDEO_METADATA)
        assert [(one.level, one.code) for one in lint(of(entry))] == [("warning", "url-name-only")]

    def test_the_file_of_a_group_is_named(self):
        [finding] = lint(of(Item("image_group", (f"{B}a.jpg", f"{B}b.jpg?q"), "G")))
        assert finding.message.startswith("in file 1 of the group, has a query")

    @given(urls)
    def test_the_usual_form_has_no_faults(self, url):
        if USUAL_FORM.fullmatch(url):
            assert url_faults(url, has_video_metadata=False) == []


class TestTypes:
    @pytest.mark.parametrize(
        ("item_type", "extension", "expected"),
        [
            ("video", "jpg", 1),
            ("image", "MP4", 1),
            ("image", "JPEG", 0),
            ("image", "unknown", 0),
            ("nifti", "nii.gz", 0),
            ("image", "nii.gz", 1),
            ("dicom_series", "dicom", 0),
            ("image", "dicom", 1),
            ("pdf", "pdf", 0),
            ("image", "jpg?name=a.mp4", 0),
        ],
    )
    def test_extension_and_type(self, item_type, extension, expected):
        title = "S" if item_type == "dicom_series" else None
        found = codes(of(Item(item_type, (f"{B}some/file.{extension}",), title)))
        assert found.count("type-mismatch") == expected

    def test_one_finding_for_a_group(self):
        files = tuple(f"{B}{n}.mp4" for n in range(3))
        assert codes(of(Item("image_group", files, "G"))) == ["type-mismatch"]


class TestItems:
    def test_duplicates(self):
        group = Item("image_group", (f"{B}i.jpg",), "G")
        manifest = of(
            GOOD, Item("image", (f"{B}j.jpg",)), group, Item("image", (f"{B}j.jpg",), "other title")
        )
        found = [(one.code, one.place, one.message) for one in lint(manifest)]
        assert found == [
            ("duplicate-item", "item 2", "has the same files as item 0."),
            ("duplicate-item", "item 3", "has the same files as item 1."),
        ]

    def test_a_file_twice_in_a_group(self):
        manifest = of(Item("image_group", (f"{B}a.jpg", f"{B}b.jpg", f"{B}a.jpg"), "G"))
        assert codes(manifest) == ["url-twice-in-group"]

    def test_the_order_of_files_makes_another_group(self):
        one, other = (f"{B}a.jpg", f"{B}b.jpg"), (f"{B}b.jpg", f"{B}a.jpg")
        assert codes(of(Item("image_group", one, "G"), Item("image_group", other, "H"))) == []

    @pytest.mark.parametrize(
        ("item", "expected"),
        [
            (Item("image_group", (), "G"), ["empty-group"]),
            (Item("dicom_series", (f"{B}a.dcm",)), ["title-missing"]),
            (Item("image_sequence", (f"{B}a.jpg",), " "), ["title-missing"]),
            (image(f"{B}a.jpg", ""), ["title-blank"]),
            (image(f"{B}a.jpg", "x" * 300), []),
            (image(f"{B}a.jpg", "x" * 301), ["title-too-long"]),
            # Without a title, the decoded name of the file becomes the title.
            (image(f"{B}{'d' * 300}/{'x' * 296}.jpg"), []),
            (image(f"{B}{'x' * 297}.jpg"), ["file-name-too-long"]),
            (image(f"{B}{'%20' * 296}.jpg"), []),
            (image(f"{B}{'%20' * 297}.jpg"), ["file-name-too-long"]),
            (image(f"{B}{'x' * 297}.jpg", "short"), []),
            (Item("image_group", (f"{B}{'x' * 297}.jpg",), "G"), []),
        ],
    )
    def test_groups_and_titles(self, item, expected):
        assert codes(of(item)) == expected


class TestMetadata:
    def test_ten_megabytes(self):
        overhead = len('{"a":""}')
        fits = "x" * (MAX_CLIENT_METADATA_BYTES - overhead)
        too_large = fits + "x"
        assert codes(of(Item("image", (f"{B}a.jpg",), None, {"a": fits}))) == []
        assert codes(of(Item("image", (f"{B}a.jpg",), None, {"a": too_large}))) == ["metadata-too-large"]

    @pytest.mark.parametrize(
        ("text", "expected"), [("\x00", ["metadata-nul"]), ("\\u0000", []), ("\\\x00", None)]
    )
    def test_nul_is_no_jsonb(self, text, expected):
        manifest = of(Item("image", (f"{B}a.jpg",), None, {"a": text}))
        assert codes(manifest) == (["metadata-nul"] if expected is None else expected)

    def test_jsonb_is_noted_once(self):
        items = [Item("image", (f"{B}{n}.jpg",), None, {"b": 1}) for n in range(3)]
        assert codes(of(*items), of="note") == ["metadata-jsonb"]

    def test_too_deep_to_be_written_again(self):
        deep: dict[str, object] = {}
        for _ in range(20_000):
            deep = {"a": deep}
        assert codes(of(Item("image", (f"{B}a.jpg",), None, deep))) == ["metadata-too-deep"]
        while deep:
            deep = deep["a"]  # type: ignore[assignment]

    @pytest.mark.parametrize(
        "metadata",
        [
            VideoMetadata(0, 1, 1, 1, 1, "video/mp4"),
            VideoMetadata(25, -1, 1, 1, 1, "video/mp4"),
            VideoMetadata(25, 1, 0, 1, 1, "video/mp4"),
            VideoMetadata(25, 1, 1, 1, 1, "image/png"),
        ],
    )
    def test_figures_that_no_video_has(self, metadata):
        item = Item("video", (f"{B}a.mp4",), video_metadata=metadata)
        assert codes(of(item)) == ["video-metadata-implausible"]


class TestReading:
    """What lint makes of files that could not be read whole."""

    @pytest.mark.parametrize("name", ["skip_duplicate_urls", "skipDuplicateUrls"])
    def test_a_flag_that_is_unreadable_is_not_unstated_as_well(self, name):
        manifest = read(
            f'{{"images": [{{"objectUrl": "{B}a.jpg"}}], "{name}": "yes", "upsert_metadata": true}}'
        )
        assert codes(manifest, of="error warning note").count("unreadable-value") == 1
        assert {"skip-duplicates-unset", "upsert-without-skip"}.isdisjoint(
            codes(manifest, of="error warning note")
        )

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ('{"images": [{"titel": "a"}]}', ["unreadable-value"]),
            ('{"images": {"objectUrl": "a"}}', ["unreadable-value"]),
            ('{"images": []}', ["empty-manifest"]),
            ("ObjectUrl,Image title\n,a\n", ["csv-value"]),
            ("ObjectUrl,Image title\na,b,c\n", ["csv-cells"]),
            ("ObjectUrl,Series title\n?,\n", ["title-missing"]),
            ("ObjectUrl,Image title\n", ["empty-manifest"]),
        ],
    )
    def test_only_a_manifest_without_entries_holds_no_items(self, text, expected):
        assert codes(read(text)) == expected

    def test_findings_are_in_the_order_of_the_file(self):
        text = f"""{{"images": [
            {{"objectUrl": "{B}a.mp4"}},
            {{"objectUrl": "{B}b c.jpg", "clientMetadata": {{"a": 1, "a": 2}}}},
            {{"objectUrl": 3}}, {{"objectUrl": "{B}d.mp4"}}, {{"objectUrl": "{B}e f.jpg"}}
        ], "videos": 1}}"""
        found = [(one.code, one.place.partition(",")[0]) for one in lint(read(text))]
        assert found == [
            ("skip-duplicates-unset", ""),
            ("metadata-jsonb", ""),
            ("type-mismatch", "line 2"),
            ("metadata-duplicate-key", "line 3"),
            ("url-whitespace", "line 3"),
            ("unreadable-value", "line 4"),
            ("type-mismatch", "line 4"),
            ("url-whitespace", "line 4"),
            ("unreadable-value", "line 5"),
        ]

    def test_lines_are_numbers(self):
        rows = "".join(f"{B}{n}.jpg,{' x' if n in {1, 9} else ''}\n" for n in range(12))
        found = lint(read("ObjectUrl,Image title\n" + rows))
        assert [one.place for one in found if one.code == "title-whitespace"] == ["line 3", "line 11"]


class TestWhole:
    def test_flags(self):
        assert codes(of(GOOD, skip_duplicate_urls=None), of="note") == ["skip-duplicates-unset"]
        assert codes(of(GOOD, skip_duplicate_urls=False, upsert_metadata=True)) == ["upsert-without-skip"]

    def test_nothing_in_it(self):
        assert codes(of()) == ["empty-manifest"]

    def test_counts(self, monkeypatch):
        assert (MAX_ITEMS, MAX_URLS) == (500_000, 1_000_000)
        items = [Item("image", (f"{B}{n}.jpg",)) for n in range(10_001)]
        assert codes(of(*items[1:])) == []
        assert codes(of(*items)) == ["many-items"]
        monkeypatch.setattr(lint_module, "MAX_ITEMS", 10_000)
        monkeypatch.setattr(lint_module, "MAX_URLS", 10_000)
        assert codes(of(*items)) == ["too-many-items", "too-many-urls"]
        assert codes(of(*items[1:])) == []

    def test_findings_are_bounded_and_counted(self):
        items = [Item("image", (f"{B}{n} .jpg",)) for n in range(MAX_FINDINGS_OF_A_CODE + 5)]
        found = lint(of(*items))
        assert len(found) == MAX_FINDINGS_OF_A_CODE + 1
        assert found[-1].message == "5 more findings of the code url-whitespace."

    @given(st.lists(st.sampled_from([GOOD, image("x y"), image(f"{B}v.mp4")]), max_size=5))
    def test_findings_of_reading_come_first(self, items):
        manifest = of(*items)
        first = lint(of())[0]
        joined = ReadManifest("m", "json", "raw", items, True, None, (first,), str)
        assert lint(joined)[0] is first
        assert len(lint(joined)) == len(lint(manifest)) + 1
