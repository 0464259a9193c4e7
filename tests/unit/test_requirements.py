"""requirements*.in say why, requirements*.txt pin every line of them with hashes."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import NamedTuple

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PYTHONS = ["3.11.0", "3.11.15", "3.12.0", "3.12.12", "3.13.0", "3.13.9"]
PAIRS = [("requirements.in", "requirements.txt"), ("requirements-dev.in", "requirements-dev.txt")]
PIN = re.compile(
    r"^(?P<requirement>[a-z0-9][^\\\n]*?) \\\n(?P<hashes>(?:    --hash=\S+(?: \\)?\n)+)", re.MULTILINE
)


class Pin(NamedTuple):
    """One version in a compiled file, for the environments that its marker selects."""

    requirement: Requirement
    hashes: list[str]

    @property
    def version(self) -> Version:
        """The pinned version."""
        (specifier,) = self.requirement.specifier
        assert specifier.operator == "=="
        return Version(specifier.version)

    def applies(self, python: str) -> bool:
        """Tell whether Linux with this Python installs it."""
        environment = {
            "python_version": ".".join(python.split(".")[:2]),
            "python_full_version": python,
            "sys_platform": "linux",
            "platform_machine": "x86_64",
        }
        marker = self.requirement.marker
        return marker is None or marker.evaluate(environment)


def direct(name: str) -> list[tuple[Requirement, str]]:
    """Return each requirement of a `.in` file with its reason."""
    lines = (ROOT / name).read_text().splitlines()
    rows = [line.partition("#") for line in lines if line and not line.startswith(("#", "-c "))]
    return [(Requirement(row[0].strip()), row[2].strip()) for row in rows]


def pins(name: str) -> list[Pin]:
    """Return every pin of a compiled file."""
    found = PIN.finditer((ROOT / name).read_text())
    return [Pin(Requirement(m["requirement"]), re.findall(r"--hash=(\S+)", m["hashes"])) for m in found]


@pytest.mark.parametrize("source", [source for source, _ in PAIRS])
def test_every_direct_requirement_has_a_floor_and_a_reason(source: str) -> None:
    requirements = direct(source)

    assert requirements
    assert [str(r) for r, reason in requirements if not reason] == []
    assert [str(r) for r, _ in requirements if not any(s.operator == ">=" for s in r.specifier)] == []


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize(("source", "compiled"), PAIRS)
def test_every_direct_requirement_is_pinned_once_within_its_bounds(
    source: str, compiled: str, python: str
) -> None:
    pinned = [pin for pin in pins(compiled) if pin.applies(python)]
    versions = {canonicalize_name(pin.requirement.name): pin.version for pin in pinned}

    assert len(versions) == len(pinned)
    for requirement, _ in direct(source):
        assert requirement.specifier.contains(versions[canonicalize_name(requirement.name)]), requirement


@pytest.mark.parametrize("compiled", [compiled for _, compiled in PAIRS])
def test_every_pin_has_sha256_hashes_and_no_line_names_a_registry(compiled: str) -> None:
    text = (ROOT / compiled).read_text()
    found = pins(compiled)

    assert len(found) == len(re.findall(r"^[a-z0-9]", text, re.MULTILINE))
    assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", digest) for pin in found for digest in pin.hashes)
    assert not re.search(r"://|--(extra-)?index|--find-links", text)


@pytest.mark.parametrize("python", PYTHONS)
def test_the_tools_agree_with_what_the_project_runs_on(python: str) -> None:
    runtime = {pin.requirement.name: pin.version for pin in pins("requirements.txt") if pin.applies(python)}
    tools = {pin.requirement.name: pin.version for pin in pins("requirements-dev.txt") if pin.applies(python)}

    both = runtime.keys() & tools.keys()
    assert both
    assert {name: tools[name] for name in both} == {name: runtime[name] for name in both}


def test_the_supported_pythons_are_stated_alike_everywhere() -> None:
    supported = SpecifierSet(PROJECT["requires-python"])
    classifiers = re.findall(r"Python :: (3\.\d+)", "\n".join(PROJECT["classifiers"]))

    assert [f"3.{minor}" for minor in range(30) if supported.contains(f"3.{minor}.0")] == classifiers
    assert {".".join(python.split(".")[:2]) for python in PYTHONS} == set(classifiers)
    assert "(3, 11) <= sys.version_info[:2] <= (3, 13)" in (ROOT / "Makefile").read_text()
    assert "--universal --python-version 3.11 " in (ROOT / "Makefile").read_text()
