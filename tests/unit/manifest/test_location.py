"""The folder of manifests: what a path may name, and what an error gives away."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cloud_sync.errors import CloudSyncError, ConfigError, ManifestError
from cloud_sync.manifest import location
from cloud_sync.manifest.location import FAILURE_LIST
from cloud_sync.run_folder import RunFolder


def find_manifest(folder: Path, name: str, **options: str) -> Path:
    return location.find_manifest(RunFolder(folder), name, **options)


@pytest.fixture
def folder(tmp_path) -> Path:
    """A folder with manifests, beside a secret."""
    folder = tmp_path / "manifests"
    (folder / "week 12").mkdir(parents=True)
    (folder / "week 12" / "cars.csv").touch()
    (folder / "a.json").touch()
    (tmp_path / "secret.json").touch()
    (tmp_path / "manifests-old").mkdir()
    (tmp_path / "manifests-old" / "b.json").touch()
    return folder


@pytest.mark.parametrize(
    "name", ["a.json", "./a.json", "week 12/cars.csv", "week 12/../a.json", "week 12//cars.csv"]
)
def test_inside(folder, name):
    assert find_manifest(folder, name) == (folder / name).resolve()


def test_an_absolute_path_inside(folder):
    assert find_manifest(folder, str(folder / "a.json")) == folder / "a.json"


def test_the_folder_may_be_a_link_and_hold_links_to_itself(folder, tmp_path):
    (tmp_path / "link").symlink_to(folder)
    (folder / "newest").symlink_to("week 12")
    assert find_manifest(tmp_path / "link", "newest/cars.csv") == folder / "week 12" / "cars.csv"


@pytest.mark.parametrize(
    "name",
    [
        "../secret.json",
        "week 12/../../secret.json",
        "../manifests-old/b.json",
        "/etc/passwd",
        "../absent.json",
        "way-out/secret.json",
        "direct",
    ],
)
def test_outside_nothing_is_said_of_what_is_there(folder, tmp_path, name):
    (folder / "way-out").symlink_to(tmp_path)
    (folder / "direct").symlink_to(tmp_path / "secret.json")
    with pytest.raises(ManifestError) as caught:
        find_manifest(folder, name)
    assert str(caught.value) == (
        f"manifest {name!r}: leads out of the folder of manifests, {folder}. "
        "Put the manifest into that folder and name its path there."
    )


@pytest.mark.parametrize("name", ["b.json", "week 12", ".", "a\0", "x" * 5000, "a.json/b", "loop", "pipe"])
def test_no_file(folder, name):
    (folder / "loop").symlink_to("loop")
    os.mkfifo(folder / "pipe")
    with pytest.raises(ManifestError, match="is no file in the folder of manifests, ") as caught:
        find_manifest(folder, name)
    assert len(str(caught.value)) < 600


def test_a_failure_list_is_called_one(folder, tmp_path):
    for name, message in (
        ("nope.csv", r"^failure list 'nope\.csv': is no file"),
        ("../x.csv", r"^failure list .* Put the failure list into that folder"),
    ):
        with pytest.raises(ManifestError, match=message):
            find_manifest(folder, name, what=FAILURE_LIST)
    with pytest.raises(ConfigError, match=r"section cloud_sync\.$"):
        find_manifest(tmp_path / "absent", "a.csv", what=FAILURE_LIST)


def test_without_a_folder(tmp_path):
    with pytest.raises(ConfigError, match=r"does not exist\. Create it, or correct the setting .*, or paste"):
        find_manifest(tmp_path / "absent", "a.json")


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=20) | st.lists(st.sampled_from(["..", ".", "/", "week 12", "a.json"])).map("/".join))
def test_whatever_the_path_is_nothing_outside_is_found(folder, name):
    with contextlib.suppress(CloudSyncError):
        assert find_manifest(folder, name).is_relative_to(folder)
