"""The command line."""

from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner

from cloud_sync.cli import app
from cloud_sync.integration import json_schema

DEMO = Path(__file__).parents[2] / "include" / "integrations" / "demo.yaml"


def test_good_files_are_named():
    result = CliRunner().invoke(app, ["integration", "check", str(DEMO)])
    assert result.exit_code == 0
    assert result.stdout == f"{DEMO}: good, integration demo\n"


def test_every_bad_file_is_told_with_its_line(tmp_path):
    bad, worse = tmp_path / "bad.yaml", tmp_path / "worse.yaml"
    bad.write_text(DEMO.read_text().replace("bucket: demo-media", "bukcet: demo-media"))
    worse.write_text("{")
    result = CliRunner().invoke(app, ["integration", "check", str(bad), str(DEMO), str(worse)])
    assert result.exit_code == 1
    assert "Did you mean bucket?" in result.stderr
    assert f"{worse}, line" in result.stderr
    assert "good, integration demo" in result.stdout


def test_the_schema_is_written(tmp_path):
    file = tmp_path / "schema.json"
    assert CliRunner().invoke(app, ["integration", "schema", str(file)]).exit_code == 0
    assert json.loads(file.read_text()) == json_schema()


def test_help_is_shown_without_a_command():
    result = CliRunner().invoke(app, [])
    assert "integration" in result.output
