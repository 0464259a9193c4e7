"""The examples of the product document, verbatim, faults included."""

from __future__ import annotations

from pathlib import Path

import pytest

from cloud_sync.errors import ManifestError
from cloud_sync.manifest.content import ReadManifest
from cloud_sync.manifest.convert import convert_manifest
from cloud_sync.manifest.items import Item, VideoMetadata
from cloud_sync.manifest.lint import lint
from cloud_sync.manifest.reader import read_manifest
from tests.unit.manifest.samples import EXAMPLES, codes, example, outcome

FOOD = "https://cord-dev.s3.eu-west-2.amazonaws.com"
STORAGE = "https://storage/"
PLACEHOLDERS = {"url-whitespace", "url-unknown-form"}
# The DICOM example is no JSON as it stands.
READABLE = sorted(path.name for path in EXAMPLES.iterdir() if path.name != "dicom.json")


def frames(*numbers: int, extension: str = "jpg") -> tuple[str, ...]:
    return tuple(f"{STORAGE}frame{number}.{extension}" for number in numbers)


class TestJson:
    def test_videos(self):
        manifest = example("videos.json")
        assert manifest.items == [
            Item("video", ("<object url_1>",)),
            Item("video", ("<object url_2>",), "my-custom-video-title.mp4", {"optional": "metadata"}),
        ]
        assert manifest.skip_duplicate_urls is True
        assert set(codes(manifest, of="error")) == PLACEHOLDERS

    def test_video_metadata(self):
        manifest = example("video_metadata.json")
        metadata = VideoMetadata(23.98, 29.09, 1280, 720, 5468354, "video/mp4")
        assert manifest.items == [Item("video", ("video_file.mp4",), video_metadata=metadata)]
        assert codes(manifest) == ["url-name-only"]

    def test_images(self):
        assert example("images.json").items == [
            Item("image", ("<object url>",)),
            Item("image", ("<object url>",), "my-custom-image-title.jpeg", {"optional": "metadata"}),
        ]

    @pytest.mark.parametrize(
        ("name", "item_type"), [("image_groups", "image_group"), ("image_sequences", "image_sequence")]
    )
    def test_groups_and_sequences(self, name, item_type):
        url = "<object url>"
        assert example(f"{name}.json").items == [
            Item(item_type, (url,), "<title 1>"),
            Item(item_type, (url, url, url), "<title 2>", {"optional": "metadata"}),
        ]

    def test_trailing_commas_are_refused_with_their_place(self):
        with pytest.raises(ManifestError, match=r"^dicom.json, line 11, column 70: .* comma .* --lenient"):
            example("dicom.json")

    def test_trailing_commas_are_read_on_request(self):
        manifest = example("dicom.json", lenient=True)
        assert [(item.title, len(item.object_urls)) for item in manifest.items] == [
            ("<series-1>", 1),
            ("<series-2>", 3),
            ("<series-3>", 2),
        ]
        assert {item.item_type for item in manifest.items} == {"dicom_series"}
        places = [finding.place for finding in manifest.findings if finding.code == "trailing-comma"]
        assert places == ["line 11, column 70", "line 16, column 70"]

    def test_a_repeated_key_loses_nothing_and_is_reported(self):
        manifest = example("multiple_types.json")
        assert [(item.item_type, item.title, len(item.object_urls)) for item in manifest.items] == [
            ("video", None, 1),
            ("video", None, 1),
            ("image", None, 1),
            ("image_sequence", "apple-samsung-light", 4),
            ("image_sequence", "apple-samsung-dark", 4),
            ("image_group", "apple-ios-light", 2),
        ]
        assert manifest.items[2].object_urls == (f"{FOOD}/Image1.png",)
        [finding] = [one for one in manifest.findings if one.code == "repeated-key"]
        assert finding.place == "line 33, column 3, image_groups"
        assert manifest.place_of(5) == "line 34, column 5, image_groups[0]"

    def test_azure_has_pictures_under_videos(self):
        manifest = example("azure.json")
        assert codes(manifest) == ["type-mismatch"] * 2 + ["create-video-unset"] * 2
        assert [item.item_type for item in manifest.items] == ["video"] * 3 + ["image_sequence"] * 2

    def test_other_storages(self):
        assert codes(example("gcp.json")) == ["create-video-unset"] * 2
        assert codes(example("open_telekom.json")) == []
        assert len(example("open_telekom.json").items[0].object_urls) == 4
        assert set(codes(example("multi_region_access_point.json"), of="error")) == PLACEHOLDERS


class TestCsv:
    @pytest.mark.parametrize(("name", "extension"), [("video", "mp4"), ("image", "jpg")])
    def test_single_files(self, name, extension):
        manifest = example(f"{name}s.csv")
        titles = [f"{name.title()} 1", f"{name.title()} 2", None, f"{name.title()} 3"]
        urls = frames(1, 2, 3, 4, extension=extension)
        assert manifest.items == [Item(name, (url,), title) for url, title in zip(urls, titles, strict=True)]
        assert codes(manifest) == []

    @pytest.mark.parametrize(
        ("name", "item_type", "title"),
        [("image_groups", "image_group", "Group"), ("image_sequences", "image_sequence", "Sequence")],
    )
    def test_groups_and_sequences(self, name, item_type, title):
        assert example(f"{name}.csv").items == [
            Item(item_type, frames(1, 2), f"{title} 1"),
            Item(item_type, frames(3, 4), f"{title} 2"),
        ]

    def test_dicom(self):
        manifest = example("dicom.csv")
        assert [(item.title, item.object_urls) for item in manifest.items] == [
            ("dicom series 1", frames(1, 2, extension="dcm")),
            ("dicom series 2", frames(3, 4, extension="dcm")),
            ("dicom series 3", frames(5, extension="dcm")),
        ]
        assert codes(manifest) == []

    def test_multiple_types_with_a_video_among_the_images(self):
        manifest = example("multiple_types.csv")
        assert manifest.items == [
            Item("image", frames(1), "Image 1"),
            Item("image", (f"{STORAGE}video.mp4",), "Video 1"),
            Item("image_sequence", frames(1, 2), "Sequence 1"),
            Item("image_sequence", frames(3, 4), "Sequence 2"),
            Item("image_group", frames(5, 6), "Group 1"),
        ]
        assert codes(manifest) == ["type-mismatch"]
        assert manifest.place_of(1) == "line 11"


@pytest.mark.parametrize("name", READABLE)
def test_canonical_json_says_the_same(name):
    manifest = example(name)
    again = read_manifest(convert_manifest(manifest, to="json").data, file="again")
    assert again.items == manifest.items
    assert again.skip_duplicate_urls is manifest.skip_duplicate_urls
    assert again.findings == ()


@pytest.mark.parametrize("name", [name for name in READABLE if name.endswith("csv")])
def test_canonical_csv_says_the_same(name):
    manifest = example(name)
    assert read_manifest(convert_manifest(manifest, to="csv").data, file="again").items == manifest.items


@pytest.mark.parametrize("name", sorted(path.name for path in EXAMPLES.iterdir()))
@pytest.mark.parametrize("lenient", [False, True])
def test_truncated_at_every_byte(name, lenient):
    """Whatever is cut off: JSON is refused with its place, CSV loses the end and gains nothing unnoticed."""
    data = (EXAMPLES / name).read_bytes().rstrip()
    whole = {url for item in example(name, lenient=True).items for url in item.object_urls}
    for end in range(len(data)):
        result = outcome(data[:end], lenient=lenient)
        if isinstance(result, ManifestError):
            assert str(result).startswith("m")
            assert result.remedy
        else:
            assert name.endswith("csv")
            # A row of headings that is cut off is a row with something else than a URL.
            gained = [part for part in urls_of(result) if not any(url.startswith(part) for url in whole)]
            assert not gained or codes(result, of="error")


def urls_of(manifest: ReadManifest) -> list[str]:
    return [url for item in manifest.items for url in item.object_urls]


@pytest.mark.parametrize("kind", ["json", "csv"])
def test_the_examples_in_the_docs_are_without_fault(kind):
    page = (Path(__file__).parents[3] / "docs/manifests.md").read_text()
    example = page.partition(f"```{kind}\n")[2].partition("```")[0]

    manifest = read_manifest(example.encode(), file="docs", format=kind)

    assert {finding.level for finding in lint(manifest)} == {"note"}
    assert len(manifest.items) == {"json": 6, "csv": 4}[kind]
