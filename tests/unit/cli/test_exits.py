"""How commands end: exit codes, and one line for each error."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cloud_sync.cli import dataset_service, manifest
from cloud_sync.cli.exits import ExitCode
from cloud_sync.errors import ConfigError, ManifestError, StorageError
from cloud_sync.version import own_version
from tests.unit.cli.shell import cloud_sync
from tests.unit.manifest.samples import EXAMPLES

ROOT = Path(__file__).parents[3]
LINT = ("manifest", "lint", EXAMPLES / "azure.json")


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (ConfigError("is wrong.", where="x", remedy="Do y."), 3, "Error: x: is wrong. Do y."),
        (ManifestError("is wrong."), 3, "Error: is wrong."),
        (StorageError("is full."), 4, "Error: is full."),
        (PermissionError(13, "Permission denied", "f"), 4, "Error: f: Permission denied."),
        (KeyboardInterrupt(), 130, "Error: interrupted."),
    ],
)
def test_an_error_is_one_line_and_a_code(monkeypatch, error, code, line):
    def fail(*_):
        raise error

    monkeypatch.setattr(manifest, "_linted", fail)
    # Lint itself reports manifests that cannot be read, and goes on.
    result = cloud_sync(*LINT)
    assert (result.exit_code, result.stderr) == (code, f"{line}\n")


def test_a_mistake_of_ours_has_a_traceback_and_a_code_of_its_own(monkeypatch):
    monkeypatch.setattr(manifest, "_linted", None)
    result = cloud_sync(*LINT)
    assert result.exit_code == ExitCode.BUG
    assert "TypeError" in result.stderr
    assert result.stderr.endswith("Please report it.\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["lint"], "No such command 'lint'. Try: cloud-sync --help"),
        (["manifest", "lit"], "No such command 'lit'. Did you mean 'lint'? Try: cloud-sync manifest --help"),
        (["manifest", "lint"], "Missing argument 'files'. Try: cloud-sync manifest lint --help"),
        (["--bad"], "No such option: --bad. Try: cloud-sync --help"),
        (["manifest", "lint", "--format", "xml", "f"], "'xml' is not one of 'json', 'csv'."),
    ],
)
def test_wrong_usage_is_one_line(arguments, said):
    result = cloud_sync(*arguments)
    assert result.exit_code == 2
    assert said in result.stderr.replace("root ", "cloud-sync ")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("arguments", [[], ["manifest"], ["integration"]])
def test_a_group_without_a_command_shows_its_help(arguments):
    result = cloud_sync(*arguments)
    assert result.exit_code == 2
    assert "Commands" in result.output


def run(*arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own."""
    command = [sys.executable, "-m", "cloud_sync.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, **options)


def test_a_reader_that_has_gone_is_no_error():
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "cloud_sync.cli", *map(str, LINT)]
    with open(write, "wb") as gone:  # noqa: PTH123 (a file descriptor)
        done = subprocess.run(
            command, stdout=gone, stderr=subprocess.PIPE, text=True, check=False, timeout=60
        )
    assert done.returncode == 141
    assert "Error" not in done.stderr


def test_any_text_can_be_written_whatever_the_encoding():
    done = run(
        "manifest", "lint", EXAMPLES / "azure.json", "ü.json", env={**os.environ, "PYTHONIOENCODING": "ascii"}
    )
    assert done.returncode == 3
    assert r"\xfc.json" in done.stderr


def test_help_imports_nothing_heavy():
    heavy = [
        "pydantic",
        "pandas",
        "pyarrow",
        "duckdb",
        "obstore",
        "boto3",
        "botocore",
        "encord",
        "msgspec",
        "numpy",
    ]
    code = f"import sys, cloud_sync.cli\nprint(*[name for name in {heavy} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.split() == []


def test_the_dataset_service_gets_everything_and_replaces_this_process(monkeypatch):
    calls = []
    monkeypatch.setattr(dataset_service.os, "execv", lambda *call: calls.append(call))
    assert cloud_sync("dataset-service", "serve", "--help", "--port", 0).exit_code == 0
    ((program, command),) = calls
    assert program == sys.executable
    assert command[1:] == ["-P", "-m", "cloud_sync.dataset_service", "serve", "--help", "--port", "0"]


def test_the_dataset_service_answers():
    done = run("dataset-service", "create-key", "/nowhere/key", "--email", "a@example.com")
    assert done.returncode == 1
    assert done.stderr.startswith("Error: /nowhere/key: cannot be created")


def test_the_version_is_told_alone():
    result = cloud_sync("--version")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == f"cloud-sync {own_version()}\n"
