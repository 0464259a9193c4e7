"""`cloud-sync manifest build`, over a bucket in memory."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cloud_sync.integration import Types
from cloud_sync.manifest.lint import lint
from cloud_sync.manifest.reader import read_manifest
from tests.unit.cli.buckets import put_in_place
from tests.unit.cli.shell import cloud_sync

SIZES = {
    "raw/a.mp4": 10,
    "raw/b c.mp4": 20,
    "raw/g/f1.jpg": 1,
    "raw/g/f10.jpg": 1,
    "raw/g/f2.jpg": 1,
    "raw/readme.txt": 5,
    "other/x.mp4": 10,
}
BASE = "https://media.s3.eu-central-1.amazonaws.com/"
BUILD = ("manifest", "build", "s3://media/raw/")


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch) -> Path:
    """A folder of its own for each test."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def bucket(monkeypatch):
    """The bucket of `SIZES`."""
    return put_in_place(monkeypatch, SIZES)


def written(name: str) -> dict:
    return json.loads(Path(name).read_text())


@pytest.mark.usefixtures("bucket")
class TestOneFile:
    def test_holds_what_is_under_the_prefix(self):
        result = cloud_sync(*BUILD, "-o", "raw.json")
        assert (result.exit_code, result.stdout) == (0, "raw.json\n")
        assert Path("raw.json").read_bytes() == (
            b'{"videos":[{"objectUrl":"%(b)sraw/a.mp4"},{"objectUrl":"%(b)sraw/b%%20c.mp4"}],'
            b'"images":[{"objectUrl":"%(b)sraw/g/f1.jpg"},{"objectUrl":"%(b)sraw/g/f10.jpg"},'
            b'{"objectUrl":"%(b)sraw/g/f2.jpg"}],"skip_duplicate_urls":true}' % {b"b": BASE.encode()}
        )
        assert result.stderr.splitlines()[1:] == [
            "Left out 1 object: its extension stands under no type. raw/readme.txt",
            "Wrote 5 items of 5 objects into 1 file.",
        ]

    def test_is_as_encord_wants_it(self):
        cloud_sync(*BUILD, "-o", "raw.json")
        assert lint(read_manifest(Path("raw.json"), file="raw.json")) == ()

    def test_gets_numbers_where_there_have_to_be_several(self):
        result = cloud_sync(*BUILD, "-o", "raw.json", "--items-per-manifest", 2)
        assert result.stdout.split() == ["raw-0000.json", "raw-0001.json", "raw-0002.json"]
        assert len(written("raw-0000.json")["videos"]) == 2
        assert not Path("raw.json").exists()

    def test_replaces_no_other(self, here):
        for name in ("raw.json", "new-0001.json"):
            (here / name).write_text("mine")
        assert cloud_sync(*BUILD, "-o", "raw.json").exit_code == 3
        assert cloud_sync(*BUILD, "-o", "new.json", "--items-per-manifest", 2).exit_code == 3
        assert {path.name: path.read_text() for path in here.iterdir()} == {
            "raw.json": "mine",
            "new-0001.json": "mine",
        }
        assert cloud_sync(*BUILD, "-o", "raw.json", "--force").exit_code == 0

    def test_of_nothing_is_not_written(self, here):
        result = cloud_sync(*BUILD, "-o", "raw.json", "--only", "pdf")
        assert (result.exit_code, result.stdout) == (1, "")
        assert "Nothing to write." in result.stderr
        assert not list(here.iterdir())


@pytest.mark.usefixtures("bucket")
class TestFolder:
    def test_is_made_and_filled(self):
        result = cloud_sync(*BUILD, "-o", "out", "--items-per-manifest", 3)
        names = sorted(path.name for path in Path("out").iterdir())
        assert [name[:5] for name in names] == ["0000-", "0001-"]
        assert result.stdout.split() == [f"out/{name}" for name in names]

    def test_must_be_empty(self):
        Path("out").mkdir()
        assert cloud_sync(*BUILD, "-o", "out").exit_code == 0
        assert cloud_sync(*BUILD, "-o", "out").exit_code == 3
        assert cloud_sync(*BUILD, "-o", "out", "--force").exit_code == 0

    def test_is_no_file(self):
        Path("out").write_text("")
        assert "is no folder" in cloud_sync(*BUILD, "-o", "out").stderr


@pytest.mark.usefixtures("bucket")
class TestCsv:
    def test_wants_to_be_told_about_the_flag_before_anything_is_listed(self):
        result = cloud_sync(*BUILD, "-o", "raw.csv")
        assert result.exit_code == 3
        assert "--no-skip-duplicate-urls" in result.stderr
        assert "Listed" not in result.stderr

    def test_is_written(self):
        options = ["--no-skip-duplicate-urls", "--only", "videos"]
        assert cloud_sync(*BUILD, "-o", "raw.csv", *options).exit_code == 0
        assert Path("raw.csv").read_text().splitlines() == [
            "ObjectURL,Video title",
            f"{BASE}raw/a.mp4,",
            f"{BASE}raw/b%20c.mp4,",
        ]

    def test_that_would_lose_something_leaves_nothing_behind(self, here):
        options = ["--no-skip-duplicate-urls", "--text", "txt", "--items-per-manifest", 5]
        assert cloud_sync(*BUILD, "-o", "out", "--format", "csv", *options).exit_code == 3
        assert not list(here.iterdir())


@pytest.mark.usefixtures("bucket")
class TestSettings:
    @pytest.mark.parametrize(
        ("options", "keys"),
        [
            (["--only", "videos"], ["a", "b c"]),
            (["--videos", "mp4", "--images", ""], ["a", "b c"]),
            (["--only", "text"], ["readme"]),
            (["--include", "*.mp4", "--exclude", "*c.mp4"], ["a"]),
            (["--maximum-size", "5", "--only", "videos,text"], ["readme"]),
        ],
    )
    def test_choose_the_objects(self, options, keys):
        cloud_sync(*BUILD, "-o", "raw.json", "--title", "{stem}", *options)
        manifest = read_manifest(Path("raw.json"), file="raw.json")
        assert [item.title for item in manifest.items] == keys

    def test_group(self):
        options = ["--group-type", "image_sequence", "--group-by", "regex", "--only", "images"]
        options += ["--group-pattern", r"(?P<group>\w+)/f(?P<index>\d+)", "--group-title", "G {group}"]
        assert cloud_sync(*BUILD, "-o", "raw.json", *options, "--quiet-for", "0s").exit_code == 0
        assert written("raw.json")["image_groups"] == [
            {
                "title": "G g",
                "createVideo": True,
                "objectUrl_0": f"{BASE}raw/g/f1.jpg",
                "objectUrl_1": f"{BASE}raw/g/f2.jpg",
                "objectUrl_2": f"{BASE}raw/g/f10.jpg",
            }
        ]

    def test_that_are_wrong_are_named_as_options_before_anything_is_listed(self):
        options = [
            "--title",
            "{nothing}",
            "--minimum-age",
            "5",
            "--items-per-manifest",
            "0",
            "--videos",
            "m p",
        ]
        result = cloud_sync(*BUILD, "-o", "raw.json", *options)
        assert result.exit_code == 3
        named = [line.strip().split(":")[0] for line in result.stderr.splitlines()[1:]]
        assert named == ["--minimum-age", "--videos", "--title", "--items-per-manifest"]
        assert "Listed" not in result.stderr


@pytest.mark.parametrize("name", Types.model_fields)
def test_the_help_names_the_extensions_of_integration_files(name):
    page = cloud_sync("manifest", "build", "--help").stdout
    assert f"--{name} " in page
    assert ",".join(Types.model_fields[name].default or ["none"]) in page


class TestAccess:
    def test_the_options_reach_the_store(self, bucket):
        options = ["--endpoint-url", "https://store.example.com", "--region", "here-1", "--url-style", "path"]
        assert cloud_sync(*BUILD, "-o", "raw.json", *options).exit_code == 0
        assert bucket.arguments["endpoint_url"] == "https://store.example.com"
        assert (bucket.arguments["region"], bucket.arguments["bucket"]) == ("here-1", "media")
        assert written("raw.json")["videos"][0]["objectUrl"] == "https://store.example.com/media/raw/a.mp4"

    def test_a_profile_says_region_endpoint_and_addressing(self, bucket, here, monkeypatch):
        monkeypatch.delenv("AWS_DEFAULT_REGION")
        monkeypatch.setenv("AWS_CONFIG_FILE", str(here / "config"))
        (here / "config").write_text(
            "[profile work]\nregion = there-1\nendpoint_url = https://s.example.com\n"
            "s3 =\n  addressing_style = virtual\n"
        )
        assert cloud_sync(*BUILD, "-o", "raw.json", "--profile", "work").exit_code == 0
        assert bucket.arguments["session"].profile_name == "work"
        assert bucket.arguments["region"] == "there-1"
        assert bucket.arguments["virtual_hosted"] is True
        assert written("raw.json")["videos"][0]["objectUrl"] == "https://media.s.example.com/raw/a.mp4"

    @pytest.mark.usefixtures("bucket")
    def test_an_unknown_region_is_told_with_the_option(self, monkeypatch):
        monkeypatch.delenv("AWS_DEFAULT_REGION")
        result = cloud_sync(*BUILD, "-o", "raw.json")
        assert result.exit_code == 3
        assert "Add --region" in result.stderr
        assert cloud_sync(*BUILD, "-o", "raw.json", "--url-style", "s3").exit_code == 0

    @pytest.mark.usefixtures("bucket")
    def test_an_unknown_profile_is_a_storage_error(self):
        result = cloud_sync(*BUILD, "-o", "raw.json", "--profile", "nobody")
        assert result.exit_code == 4
        assert "Check --profile" in result.stderr

    @pytest.mark.usefixtures("bucket")
    def test_a_multi_region_access_point(self):
        arn = "arn:aws:s3::123456789012:accesspoint/abc.mrap"
        options = ["--url-style", "mrap", "--mrap-arn", arn]
        assert cloud_sync(*BUILD, "-o", "raw.json", *options).exit_code == 0
        assert written("raw.json")["videos"][0]["objectUrl"] == f"{arn}/raw/a.mp4"

    @pytest.mark.parametrize(
        "source", ["media", "ftp://media/raw", "s3://", "s3:///raw", "https://media/raw"]
    )
    def test_what_is_no_bucket(self, source):
        result = cloud_sync("manifest", "build", source, "-o", "raw.json")
        assert result.exit_code == 3
        assert "s3://bucket/prefix" in result.stderr
