"""From names to ids, without side effects until the folder is asked for."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from cloud_sync.errors import ConfigError
from cloud_sync.registration.model import DatasetRef, Target, read_target, write_target
from cloud_sync.registration.target import ensure_target_folder, folder_name, resolve_target
from cloud_sync.run_folder import RunFolder


@dataclass
class Catalogue:
    backing_folder_uuid: str | None = "backing"
    folders: dict[str, str] = field(default_factory=dict)
    made: list[str] = field(default_factory=list)

    def find_dataset(self, title_or_hash):
        return DatasetRef("d-1", f"Title of {title_or_hash}", self.backing_folder_uuid)

    def find_encord_integration(self, title_or_uuid):
        return "c-1", title_or_uuid

    def find_folder(self, name_or_uuid):
        return self.folders.get(name_or_uuid)

    def ensure_folder(self, name_or_uuid):
        self.made.append(name_or_uuid)
        return "made"


def resolve(catalogue, *, folder=None, encord_integration="AWS prod"):
    return resolve_target(
        catalogue,
        dataset="Streets",
        encord_integration=encord_integration,
        folder=folder,
        integration_name="streets",
    )


def test_a_dataset_with_its_own_folder_needs_no_linking():
    target = resolve(Catalogue())
    assert target == Target("d-1", "Title of Streets", "backing", True, "c-1", "AWS prod")


def test_a_dataset_without_a_folder_gets_one_named_after_the_integration():
    catalogue = Catalogue(backing_folder_uuid=None)
    target = resolve(catalogue)
    assert (target.folder_uuid, target.is_backing_folder, catalogue.made) == (None, False, [])
    assert ensure_target_folder(catalogue, target, folder_name("streets")).folder_uuid == "made"
    assert catalogue.made == ["cloud-sync streets"]


def test_the_folder_of_an_earlier_run_is_found():
    catalogue = Catalogue(backing_folder_uuid=None, folders={"cloud-sync streets": "f-1"})
    target = resolve(catalogue)
    assert (target.folder_uuid, target.is_backing_folder) == ("f-1", False)
    assert ensure_target_folder(catalogue, target, "cloud-sync streets") == target
    assert catalogue.made == []


def test_a_named_folder_wins_over_the_datasets_own():
    target = resolve(Catalogue(folders={"Shared": "f-2"}), folder="Shared")
    assert (target.folder_uuid, target.is_backing_folder) == ("f-2", False)


def test_the_datasets_own_folder_may_be_named():
    target = resolve(Catalogue(folders={"Own": "backing"}), folder="Own")
    assert target.is_backing_folder


@pytest.mark.parametrize("nothing", [None, ""])
def test_without_an_encord_integration_nothing_is_looked_up(nothing):
    with pytest.raises(ConfigError, match=r"target\.encord_integration: no Encord integration is named"):
        resolve(Catalogue(), encord_integration=nothing)


def test_the_target_survives_the_run_folder(tmp_path):
    target = resolve(Catalogue(backing_folder_uuid=None))
    write_target(RunFolder(tmp_path), target)
    assert read_target(RunFolder(tmp_path)) == target
