"""`cloud-sync integration check | schema | new`."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_sync.cli.integration_file import integration_text
from cloud_sync.integration import Integration, Storage, json_schema, load_integration
from tests.unit.cli.shell import cloud_sync

DEMO = Path(__file__).parents[3] / "include" / "integrations" / "demo.yaml"


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch) -> Path:
    """A folder of its own for each test."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


class TestCheck:
    def test_good_files_are_named(self):
        result = cloud_sync("integration", "check", DEMO)
        assert result.exit_code == 0
        assert result.stdout == f"{DEMO}: good, integration demo\n"

    def test_what_is_probably_a_mistake_is_a_warning(self, here):
        (here / "a.yaml").write_text(DEMO.read_text().replace("prefix: incoming/", "prefix: /incoming/"))
        result = cloud_sync("integration", "check", "a.yaml")
        assert (result.exit_code, result.stdout) == (0, "a.yaml: good, integration demo\n")
        assert result.stderr.startswith(
            "Warning: a.yaml, line 13, storage.prefix: '/incoming/' begins with a"
        )

    def test_every_bad_file_is_told_with_its_line(self, here):
        bad, worse = here / "bad.yaml", here / "worse.yaml"
        bad.write_text(DEMO.read_text().replace("bucket: demo-media", "bukcet: demo-media"))
        worse.write_text("{")
        result = cloud_sync("integration", "check", bad, DEMO, worse)
        assert result.exit_code == 1
        assert "Did you mean bucket?" in result.stderr
        assert f"{worse}, line" in result.stderr
        assert "good, integration demo" in result.stdout

    def test_two_of_one_name_are_both_bad_as_they_are_in_their_folder(self, here):
        for name in ("a.yaml", "b.yaml"):
            (here / name).write_text(DEMO.read_text())
        result = cloud_sync("integration", "check", "a.yaml", "b.yaml", DEMO)
        assert result.exit_code == 1
        assert "a.yaml, name: the name 'demo' stands in b.yaml too." in result.stderr
        assert "b.yaml, name: the name 'demo' stands in a.yaml too." in result.stderr
        assert result.stdout == f"{DEMO}: good, integration demo\n"
        assert cloud_sync("integration", "check", "a.yaml").exit_code == 0


def test_the_schema_is_written(here):
    assert cloud_sync("integration", "schema", "schema.json").exit_code == 0
    assert json.loads((here / "schema.json").read_text()) == json_schema()


LEAST = ("integration", "new", "--yes", "--name", "cams", "--bucket", "media", "--dataset", "My cams: all")


class TestNew:
    def test_options_say_all(self):
        options = ["--prefix", "raw/", "--only", "videos", "--schedule", "0 2 * * *"]
        assert cloud_sync(*LEAST, *options).exit_code == 0
        written = load_integration(Path("cams.yaml"))
        assert written == Integration.model_validate(
            {
                "name": "cams",
                "schedule": "0 2 * * *",
                "storage": {
                    "provider": "s3",
                    "connection_id": "aws_default",
                    "bucket": "media",
                    "prefix": "raw/",
                },
                "target": {"connection_id": "encord_default", "dataset": "My cams: all"},
                "types": {"images": [], "audio": [], "pdf": [], "nifti": [], "dicom": []},
            }
        )

    def test_every_field_has_its_meaning_above_it(self):
        cloud_sync(*LEAST, "--group-type", "image_group")
        lines = [line.strip() for line in Path("cams.yaml").read_text().splitlines()]
        for before, line in pairwise(lines):
            if line and not line.startswith(("#", "-")):
                assert before.startswith("#"), line

    def test_answers_are_checked_as_they_come(self):
        answers = ["Cams", "cams", "ftp", "", "media", "", "", "My cams", "", "film", "images", "image_group"]
        answers += ["regex", "no group", "(?P<group>.+)/", "9 9", ""]
        result = cloud_sync("integration", "new", answers="\n".join(answers) + "\n")
        assert result.exit_code == 0, result.output
        complaints = [line.split(":")[0] for line in result.stderr.splitlines()]
        assert complaints[:5] == [
            *["--name", "--provider", "--only", "--group-type, --group-by", "--schedule"],
        ]
        rule = load_integration(Path("cams.yaml")).groups[0]
        assert (rule.type, rule.by, rule.pattern) == ("image_group", "regex", "(?P<group>.+)/")

    def test_what_options_say_is_not_asked(self):
        result = cloud_sync(*LEAST[:2], *LEAST[3:], answers="\n" * 7)
        assert result.exit_code == 0, result.output
        assert "Name of the integration" not in result.stdout
        assert "Prefix" in result.stdout

    @pytest.mark.parametrize(
        ("options", "storage"),
        [
            (["--provider", "gcs"], {"provider": "gcs", "connection_id": "google_cloud_default"}),
            (["--provider", "azure"], {"provider": "azure", "connection_id": "wasb_default"}),
            (["--provider", "otc"], {"provider": "otc", "connection_id": "aws_default", "region": "eu-de"}),
            (
                ["--provider", "otc", "--region", "eu-nl", "--storage-connection", "otc"],
                {"provider": "otc", "connection_id": "otc", "region": "eu-nl"},
            ),
        ],
    )
    def test_each_provider_has_its_usual_connection(self, options, storage):
        result = cloud_sync(*LEAST, *options)
        assert result.exit_code == 0, result.output
        written = load_integration(Path("cams.yaml")).storage
        assert written == Storage.model_validate({"bucket": "media", **storage})

    def test_the_connection_of_the_provider_is_proposed_to_whoever_is_asked(self):
        answers = ["cams", "gcs", "media", *[""] * 2, "My cams", *[""] * 4]
        result = cloud_sync("integration", "new", answers="\n".join(answers) + "\n")
        assert result.exit_code == 0, result.output
        assert "[google_cloud_default]" in result.stdout
        assert "Region" not in result.stdout
        assert load_integration(Path("cams.yaml")).storage.connection_id == "google_cloud_default"

    def test_a_missing_option_is_named(self):
        result = cloud_sync("integration", "new", "--yes", "--name", "cams")
        assert result.exit_code == 3
        assert result.stderr.startswith("Error: --bucket: is missing.")

    @pytest.mark.parametrize(
        ("options", "said"),
        [
            (["--schedule", "daily"], "--schedule: write a cron expression"),
            (["--only", "films"], "--only: 'films' is no type."),
            (["--group-by", "folder"], "--group-type, --group-by: groups need both."),
            (
                ["--group-type", "image_group", "--group-by", "series_uid"],
                "goes with type: dicom_series only",
            ),
        ],
    )
    def test_a_wrong_option_is_named_and_nothing_written(self, here, options, said):
        result = cloud_sync(*LEAST, *options)
        assert result.exit_code == 3
        assert said in result.stderr
        assert not list(here.iterdir())

    def test_no_file_is_overwritten(self, here):
        (here / "cams.yaml").write_text("mine")
        result = cloud_sync(*LEAST)
        assert result.exit_code == 3
        assert "exists already. Choose another name, or move it away." in result.stderr
        assert (here / "cams.yaml").read_text() == "mine"

    def test_no_name_is_given_twice_in_a_folder(self):
        cloud_sync(*LEAST)
        result = cloud_sync(*LEAST, "-o", "other.yaml")
        assert result.exit_code == 3
        assert "cams.yaml: has the name 'cams' already." in result.stderr

    def test_the_usual_folder_is_taken_and_its_schema_named(self, here):
        folder = here / "include" / "integrations"
        folder.mkdir(parents=True)
        (folder / "integration.schema.json").write_text("{}")
        assert cloud_sync(*LEAST).exit_code == 0
        assert "$schema=integration.schema.json" in (folder / "cams.yaml").read_text()

    def test_whoever_leaves_the_questions_leaves_nothing(self, here):
        result = cloud_sync("integration", "new", answers="cams\n")
        assert (result.exit_code, result.stderr.strip()) == (130, "Error: interrupted.")
        assert not list(here.iterdir())


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


@given(
    prefix=texts.filter(lambda text: "*" not in text),
    dataset=texts.filter(str.strip),
    schedule=st.sampled_from([None, "0 2 * * *"]),
)
def test_any_text_is_read_back_as_it_was(tmp_path_factory, prefix, dataset, schedule):
    settings = {
        "name": "cams",
        **({"schedule": schedule} if schedule else {}),
        "storage": {"provider": "s3", "connection_id": "a", "bucket": "media", "prefix": prefix},
        "target": {"connection_id": "e", "dataset": dataset},
        "groups": [{"type": "image_group", "by": "regex", "pattern": "(?P<group>.+)\\d: #x"}],
    }
    folder = tmp_path_factory.mktemp("new")
    (folder / "cams.yaml").write_text(integration_text(settings, folder=folder), encoding="utf-8")
    assert load_integration(folder / "cams.yaml") == Integration.model_validate(settings)
