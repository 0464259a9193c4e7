"""docs/cli.md says what the commands say."""

from __future__ import annotations

import re
from pathlib import Path

from cloud_sync.cli.exits import ExitCode
from cloud_sync.cli.reference import with_reference

PAGE = (Path(__file__).parents[3] / "docs" / "cli.md").read_text()


def test_the_page_is_not_behind_the_commands():
    assert with_reference(PAGE) == PAGE, "Run `make reference`, and commit docs/cli.md."


def test_every_exit_code_is_explained():
    table = PAGE.partition("## Exit codes")[2].partition("\n## ")[0]
    assert {int(code) for code in re.findall(r"^\| (\d+) \|", table, re.MULTILINE)} == set(ExitCode)


def test_every_command_has_an_example():
    commands = re.findall(r"^#{3,4} `(cloud-sync [a-z -]+)`$(.*?)(?=^#|\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert len(commands) == 18
    for command, text in commands:
        assert f"    {command}" in text or "**Commands**" in text, command
