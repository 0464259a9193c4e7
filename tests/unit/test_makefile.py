"""The Makefile explains itself, and says what to do about a Python that will not do."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NEEDED = ("Makefile", "pyproject.toml", "requirements.in", "requirements.txt", "requirements-dev.txt")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A fresh checkout, as far as the set-up looks."""
    for name in NEEDED:
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def make(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run make without what a surrounding make hands down."""
    environment = {"PATH": "/usr/local/bin:/usr/bin:/bin"}
    command = ["make", "--no-print-directory", *arguments]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False
    )


def python_that_says(folder: Path, version: str) -> Path:
    """Write a program that answers as a Python of another version would."""
    program = folder / "other-python"
    program.write_text(f'#!/bin/sh\n[ "$1" = --version ] && echo "Python {version}" && exit 0\nexit 1\n')
    program.chmod(0o755)
    return program


def python_that_chats(folder: Path) -> Path:
    """Write a Python whose pip warns unless it is told twice to be quiet, and whose demo names itself."""
    program = folder / "chatty-python"
    program.write_text(
        """#!/bin/sh
case "$*" in
  *--quiet*--quiet*) ;;
  "-m pip "*) echo "WARNING: a location is ignored" >&2 ;;
  "-m venv "*) mkdir -p "$3/bin" && cp "$0" "$3/bin/python" && cp /bin/true "$3/bin/uv" ;;
  "-m demo "*) echo "$*" ;;
esac
"""
    )
    program.chmod(0o755)
    return program


def test_help_is_the_default_and_lists_every_target(copy: Path) -> None:
    phony = re.search(r"^\.PHONY: (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert phony

    listed = re.findall(r"^  make (\S+) +\S", make(copy).stdout, re.MULTILINE)

    assert sorted(listed) == sorted(phony[1].split())


@pytest.mark.parametrize("version", ["3.10.13", "3.14.2"])
def test_a_python_that_will_not_do_is_named_with_the_way_out(copy: Path, version: str) -> None:
    program = python_that_says(copy, version)

    done = make(copy, "lint", f"PYTHON={program}")

    assert done.returncode != 0
    assert f"{program} is Python {version}; Python 3.11, 3.12 or 3.13 is needed." in done.stderr
    assert "make lint PYTHON=/path/to/python3.12" in done.stderr
    assert not (copy / ".venv").exists()


def test_a_new_user_reads_one_line_while_all_is_installed_and_then_the_demo(copy: Path) -> None:
    program = python_that_chats(copy)

    done = make(copy, "up", f"PYTHON={program}")

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "Installing the pinned requirements into .venv: a few minutes, without a word.",
        "-m demo up",
    ]


@pytest.mark.parametrize("changed", ["requirements.txt", "requirements-dev.txt", "pyproject.toml"])
def test_changed_requirements_are_installed_again(copy: Path, changed: str) -> None:
    (copy / ".venv").mkdir()
    (copy / ".venv/.installed").touch()
    assert "pip install" not in make(copy, "--dry-run", "types").stdout

    stamp = (copy / ".venv/.installed").stat().st_mtime
    later = (stamp + 10, stamp + 10)
    os.utime(copy / changed, later)

    assert "uv pip install" in make(copy, "--dry-run", "types").stdout


def test_uv_is_taken_from_the_pins_with_its_hashes() -> None:
    command = re.search(r"awk '(.+?)' requirements-dev.txt", (ROOT / "Makefile").read_text())
    assert command

    program = command[1].replace("$$", "$")
    done = subprocess.run(
        ["/usr/bin/awk", program, str(ROOT / "requirements-dev.txt")],
        capture_output=True,
        text=True,
        check=True,
    )

    assert re.fullmatch(r"uv==\S+ \\\n(    --hash=sha256:\S+( \\)?\n)+(    #.*\n)+", done.stdout)
