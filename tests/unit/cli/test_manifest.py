"""`cloud-sync manifest lint | convert | diff`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.unit.cli.shell import cloud_sync
from tests.unit.manifest.samples import EXAMPLES, B

GOOD = f'{{"videos":[{{"objectUrl":"{B}a.mp4"}}],"skip_duplicate_urls":true}}'
WRONG_TYPE = GOOD.replace("a.mp4", "a.jpg")
SPACE = GOOD.replace("a.mp4", "a b.mp4")


@pytest.fixture
def manifest(tmp_path):
    """Write a manifest."""

    def write(text: str, name: str = "m.json") -> Path:
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return write


class TestLint:
    def test_a_good_one_ends_with_0(self, manifest):
        file = manifest(GOOD)
        result = cloud_sync("manifest", "lint", file)
        assert (result.exit_code, result.stdout) == (0, "")
        assert result.stderr == f"{file}: 1 item, 0 errors, 0 warnings, 0 notes.\n"

    def test_an_error_ends_with_1_and_a_row_in_a_pipe(self, manifest):
        file = manifest(SPACE)
        result = cloud_sync("manifest", "lint", file)
        assert result.exit_code == 1
        cells = result.stdout.rstrip("\n").split("\t")
        assert cells[:4] == [str(file), "error", "url-whitespace", "line 1, column 12, videos[0]"]
        assert f"{B}a%20b.mp4" in cells[5]

    @pytest.mark.parametrize(("options", "code"), [([], 0), (["--strict"], 1)])
    def test_warnings_count_when_strict(self, manifest, options, code):
        result = cloud_sync("manifest", "lint", *options, manifest(WRONG_TYPE))
        assert result.exit_code == code
        assert "type-mismatch" in result.stdout

    def test_an_unreadable_one_ends_with_3_and_hides_no_other(self, manifest):
        bad, other = manifest("{", "bad.json"), manifest(SPACE)
        result = cloud_sync("manifest", "lint", bad, other)
        assert result.exit_code == 3
        assert result.stderr.startswith(f"Error: {bad}, line 1")
        assert "url-whitespace" in result.stdout

    def test_json_has_everything(self, manifest):
        bad, other = manifest("{", "bad.json"), manifest(SPACE)
        result = cloud_sync("manifest", "lint", "--output", "json", bad, other)
        unreadable, read = json.loads(result.stdout)
        assert unreadable["error"].startswith(f"{bad}, line 1")
        assert {name: read[name] for name in ("file", "format", "items", "files", "error")} == {
            "file": str(other),
            "format": "json",
            "items": 1,
            "files": 1,
            "error": None,
        }
        assert [finding["code"] for finding in read["findings"]] == ["url-whitespace"]

    def test_lenient_reads_commas_before_brackets(self):
        file = EXAMPLES / "dicom.json"
        assert cloud_sync("manifest", "lint", file).exit_code == 3
        result = cloud_sync("manifest", "lint", "--lenient", file)
        assert result.exit_code == 0
        assert "trailing-comma" in result.stdout

    def test_a_format_can_be_forced(self, manifest):
        assert cloud_sync("manifest", "lint", "--format", "csv", manifest(GOOD)).exit_code == 3

    def test_control_characters_do_nothing_to_a_terminal(self, manifest):
        text = GOOD.replace("a.mp4", "a\\u001b[31m.jpg")
        assert "\x1b" not in cloud_sync("manifest", "lint", manifest(text)).output

    def test_half_a_character_is_shown(self, manifest):
        result = cloud_sync("manifest", "lint", manifest('{"\\ud800": 1}'))
        assert result.exit_code in {1, 3}
        assert "mistake in cloud-sync" not in result.stderr


class TestConvert:
    def test_by_the_ends_of_the_names(self, tmp_path):
        out = tmp_path / "new" / "out.json"
        result = cloud_sync("manifest", "convert", EXAMPLES / "images.csv", out)
        assert (result.exit_code, result.stdout) == (0, "")
        assert result.stderr.splitlines()[0] == f"Wrote {out}: 4 items as JSON."
        assert len(json.loads(out.read_text())["images"]) == 4

    def test_back_and_forth_is_the_same(self, tmp_path):
        there, back = tmp_path / "there.json", tmp_path / "back.txt"
        cloud_sync("manifest", "convert", EXAMPLES / "image_groups.csv", there)
        result = cloud_sync("manifest", "convert", "--to", "csv", there, back)
        assert result.exit_code == 0
        assert cloud_sync("manifest", "diff", EXAMPLES / "image_groups.csv", back).exit_code == 0

    def test_a_loss_is_refused_and_nothing_written(self, tmp_path):
        result = cloud_sync("manifest", "convert", EXAMPLES / "videos.json", tmp_path / "out.csv")
        assert result.exit_code == 3
        assert "skip_duplicate_urls: true; item 1: its clientMetadata" in result.stderr
        assert not (tmp_path / "out.csv").exists()

    def test_an_allowed_loss_is_said(self, tmp_path):
        options = ["--allow-loss", EXAMPLES / "videos.json", tmp_path / "out.csv"]
        result = cloud_sync("manifest", "convert", *options)
        assert result.exit_code == 0
        assert "Lost 1 time: its clientMetadata" in result.stderr

    def test_no_file_is_overwritten_without_force(self, tmp_path):
        out = tmp_path / "out.json"
        out.write_text("mine")
        arguments = ["manifest", "convert", EXAMPLES / "images.csv", out]
        refused = cloud_sync(*arguments)
        assert (refused.exit_code, out.read_text()) == (3, "mine")
        assert "--force" in refused.stderr
        assert cloud_sync(*arguments, "--force").exit_code == 0
        assert out.read_text() != "mine"

    def test_a_link_such_as_dev_stdout_is_never_replaced(self, tmp_path):
        link = tmp_path / "link.json"
        link.symlink_to(tmp_path / "real.json")
        result = cloud_sync("manifest", "convert", "--force", EXAMPLES / "images.csv", link)
        assert result.exit_code == 3
        assert link.is_symlink()

    def test_an_unknown_ending_is_wrong_usage(self, tmp_path):
        result = cloud_sync("manifest", "convert", EXAMPLES / "images.csv", tmp_path / "out")
        assert result.exit_code == 2
        assert "--to json or csv" in result.stderr

    def test_a_folder_that_cannot_be_written_is_a_storage_error(self, tmp_path):
        (tmp_path / "file").write_text("")
        result = cloud_sync("manifest", "convert", EXAMPLES / "images.csv", tmp_path / "file" / "out.json")
        assert result.exit_code == 4
        assert "permissions of the folder" in result.stderr

    def test_findings_are_counted(self, tmp_path):
        source = EXAMPLES / "multiple_types.json"
        result = cloud_sync("manifest", "convert", source, tmp_path / "out.json")
        assert f"Found in {source}: 0 errors, 1 warning, 1 note." in result.stderr

    def test_a_signed_url_does_not_go_on_unseen(self, manifest, tmp_path):
        signed = manifest(GOOD.replace("a.mp4", "a.mp4?X-Amz-Signature=s3cr3t").replace("true", "false"))
        result = cloud_sync("manifest", "convert", signed, tmp_path / "out.csv")
        assert result.exit_code == 0
        assert "error [url-presigned] line 1, column 12, videos[0]: has a signed" in result.stderr
        assert "s3cr3t" not in result.stderr

    def test_what_the_source_leaves_open_stays_open_and_is_said(self, tmp_path):
        there, back = tmp_path / "there.json", tmp_path / "back.json"
        result = cloud_sync("manifest", "convert", EXAMPLES / "images.csv", there)
        assert f"Note: as {EXAMPLES / 'images.csv'}, {there} does not state skip" in result.stderr
        assert "skip_duplicate_urls" not in json.loads(there.read_text())
        assert "skip-duplicates-unset" in cloud_sync("manifest", "lint", there).stdout
        there.write_text(GOOD.replace("true", "false"))
        assert "Note" not in cloud_sync("manifest", "convert", there, back).stderr
        assert json.loads(back.read_text())["skip_duplicate_urls"] is False

    def test_json_ends_with_a_line_end(self, manifest, tmp_path):
        cloud_sync("manifest", "convert", manifest(GOOD), tmp_path / "out.json")
        assert (tmp_path / "out.json").read_bytes() == GOOD.encode() + b"\n"


class TestDiff:
    def test_the_same_in_two_formats(self, tmp_path):
        cloud_sync("manifest", "convert", EXAMPLES / "videos.csv", tmp_path / "v.json")
        result = cloud_sync("manifest", "diff", EXAMPLES / "videos.csv", tmp_path / "v.json")
        assert (result.exit_code, result.stdout) == (0, "")

    def test_rows_in_a_pipe(self, manifest):
        before, after = manifest(GOOD), manifest(GOOD.replace("a.mp4", "b.mp4"), "n.json")
        result = cloud_sync("manifest", "diff", before, after)
        assert result.exit_code == 1
        assert result.stdout.splitlines() == [
            f"removed\tvideo\t{B}a.mp4\t\tline 1, column 12, videos[0]\t",
            f"added\tvideo\t{B}b.mp4\t\t\tline 1, column 12, videos[0]",
        ]
        assert result.stderr == "1 added, 1 removed, 0 changed.\n"

    def test_json(self, manifest):
        before, after = manifest(GOOD), manifest(GOOD.replace("true", "false"), "n.json")
        result = cloud_sync("manifest", "diff", "--output", "json", before, after)
        assert result.exit_code == 1
        assert [(one["name"], one["detail"]) for one in json.loads(result.stdout)] == [
            ("skip_duplicate_urls", "true -> false")
        ]

    def test_a_bad_manifest_is_no_difference(self, manifest):
        assert cloud_sync("manifest", "diff", manifest(GOOD), manifest("{", "bad.json")).exit_code == 3
