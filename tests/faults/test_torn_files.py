"""Files of which the end is missing, as after a power cut on a disk that does not keep its word.

Whatever is torn, the run either goes on to the right end, or ends with an error that names the file and says
what to do; and what it sends is never half a plan.
"""

from __future__ import annotations

import hashlib
import random

import pytest

from cloud_sync.errors import CloudSyncError
from cloud_sync.failures.verdict import RunFailed
from tests.faults.memory import World
from tests.faults.sync import STAGES

# After which stage the file is torn, and the stage that reads it first.
RUN_FILES = {
    "listing/index.json": "list",
    "listing/part-0000.parquet": "list",
    "plan.json": "plan",
    "plan.parquet": "plan",
    "register.parquet": "plan",
    "metadata.parquet": "plan",
    "target.json": "plan",
    "manifests/index.json": "build",
    "manifests/0*.json": "build",
    "items.parquet": "build",
    "jobs/*.json": "register",
    "outcomes/*.json": "register",
}
LEDGER_FILES = ("current.json", "v*.parquet")


def tear(folder, pattern, source):
    """Cut a file off at a random point before its last line's end, and return its path."""
    path = folder.path(source.choice(folder.names(pattern)))
    content = path.read_bytes()
    path.write_bytes(content[: source.randrange(len(content.removesuffix(b"\n")))])
    return path


@pytest.mark.parametrize("name", RUN_FILES)
def test_a_torn_file_of_a_run_folder_is_noticed_or_does_no_harm(tmp_path, name, seed):
    world = World(tmp_path)
    sync = world.sync(items_per_manifest=10)
    sync.run(*STAGES[: STAGES.index(RUN_FILES[name]) + 1])
    torn = tear(sync.folder, name, random.Random(f"{seed} {name}"))
    try:
        sync.run()
    except CloudSyncError as error:
        check_error(error, torn, tmp_path)
        check_nothing_halved(world, sync)
        sync.clear()  # the remedies name the task to clear; clearing all of them always helps
        sync.run()
    world.check(sync)


def check_error(error, torn, root):
    assert not error.transient, error
    assert error.remedy, error
    if not isinstance(error, RunFailed):  # a verdict, whose place is the run
        assert str(root) in error.where, error
        assert torn.name in str(error), error


def check_nothing_halved(world, sync):
    """Check that only whole manifests of the plan were sent: their names say what their bytes are."""
    names = [name.rpartition("-")[2] for name in sync.folder.names("manifests/0*.json")]
    for sent in world.encord.sent:
        assert f"{hashlib.sha256(sent).hexdigest()[:12]}.json" in names


@pytest.mark.parametrize("name", LEDGER_FILES)
def test_a_torn_file_of_the_ledger_stops_the_next_run_before_it_sends(tmp_path, name, seed):
    world = World(tmp_path)
    world.sync("night-1", items_per_manifest=10).run()
    sent, second = len(world.encord.sent), world.sync("night-2", items_per_manifest=10)
    ledger = second.ledger.files
    torn = tear(ledger, name, random.Random(f"{seed} {name}"))
    with pytest.raises(CloudSyncError, match="the ledger is damaged") as caught:
        second.run()
    check_error(caught.value, torn, tmp_path)
    assert len(world.encord.sent) == sent
    ledger.root.rename(tmp_path / "moved away")
    second.run()
    world.check(second)


def test_a_torn_ledger_stops_settle_and_what_was_registered_is_found_by_the_next_run(tmp_path, seed):
    world, source = World(tmp_path), random.Random(seed)
    world.sync("night-1", items_per_manifest=10).run()
    world.add("camera-9/new.jpg")
    second = world.sync("night-2")
    second.run("list", "plan", "build", "register")
    torn = tear(second.ledger.files, source.choice(LEDGER_FILES), source)
    with pytest.raises(CloudSyncError, match="the ledger is damaged") as caught:
        second.run()
    check_error(caught.value, torn, tmp_path)
    before = dict(world.encord.items)
    second.ledger.files.root.rename(tmp_path / "moved away")
    world.sync("night-3").run()
    assert world.encord.items == before
