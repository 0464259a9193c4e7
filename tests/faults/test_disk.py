"""A disk that is full or read-only: an error that says so, and a run that goes on when there is room."""

from __future__ import annotations

import errno
import json
import os
import random
import subprocess
from pathlib import Path

import pytest

from cloud_sync.errors import CloudSyncError, StorageError
from cloud_sync.ledger import POINTER_NAME, Ledger
from cloud_sync.run_folder.local import LocalFiles
from tests.faults.memory import World
from tests.faults.sync import STAGES

MOUNT, UMOUNT = "/bin/mount", "/bin/umount"
DISK_BYTES = 2 << 20
BLOCK_BYTES = 4096
MOST_FAILURES = 100
LARGEST_ROOM_BYTES = 100 * BLOCK_BYTES
"""More than a run needs is sometimes left, so that it ends at once."""


class FailingDisk:
    """Fails each change of a file once, then lets it pass.

    Args:
        number: The error, such as `errno.ENOSPC`.
    """

    def __init__(self, number: int) -> None:
        self.error = OSError(number, os.strerror(number))
        self.failed: set[tuple[Path, str]] = set()

    def reach(self, written: Path, target: Path) -> None:
        """Fail, or let a file that was written become `target`."""
        is_record = target.parent.name == "jobs"
        change = (target, json.loads(written.read_bytes())["status"] if is_record else "")
        if change not in self.failed:
            self.failed.add(change)
            raise self.error


@pytest.fixture
def failing_writes(monkeypatch):
    """Let each write of a file in a run folder or ledger fail once."""
    disk, put = FailingDisk(errno.ENOSPC), LocalFiles.put

    def failing(files, draft, name):
        disk.reach(draft, files.root / name)
        put(files, draft, name)

    monkeypatch.setattr(LocalFiles, "put", failing)
    return disk


@pytest.fixture
def failing_renames(monkeypatch):
    """Let each renaming of a file fail once."""
    disk, replace = FailingDisk(errno.EROFS), Path.replace

    def failing(path, target):
        disk.reach(path, target)
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", failing)
    return disk


@pytest.mark.parametrize("kind", ["failing_writes", "failing_renames"])
def test_wherever_the_disk_fails_the_run_goes_on_from_there(tmp_path, request, kind):
    world = World(tmp_path)
    sync = world.sync(items_per_manifest=10)
    disk, errors = request.getfixturevalue(kind), []
    while sync.result("settle") is None:
        assert len(errors) < MOST_FAILURES
        try:
            sync.run()
        except CloudSyncError as error:
            errors.append(error)
    assert len(errors) > 20
    for error in errors:
        assert isinstance(error, StorageError)
        assert error.transient, error
        assert str(tmp_path) in error.where
        assert os.strerror(disk.error.errno) in error.message
        assert error.remedy
    world.check(sync)
    manifests = sync.folder.names("manifests/0*.json")
    # Of each manifest one answer could not be written down, so it was sent once more.
    assert len(world.encord.sent) == 2 * len(manifests)


def do_without_mounting(why):
    """Skip a test; but where CI is set it fails, because there nobody would notice that it never runs."""
    (pytest.fail if os.environ.get("CI") else pytest.skip)(why)


@pytest.mark.parametrize(("ci", "outcome"), [("1", pytest.fail.Exception), ("", pytest.skip.Exception)])
def test_where_nothing_can_be_mounted_ci_insists_and_others_skip(monkeypatch, ci, outcome):
    monkeypatch.setenv("CI", ci)
    with pytest.raises(outcome, match="only root may"):
        do_without_mounting("only root may mount a file system")


@pytest.fixture
def small_disk(tmp_path):
    """A file system of its own, of 2 MiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = [MOUNT, "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(disk)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode:
        do_without_mounting(f"only root may mount a file system: {done.stderr.strip()}")
    try:
        yield disk
    finally:
        subprocess.run([UMOUNT, str(disk)], check=True)


def test_a_run_on_a_full_disk_goes_on_when_there_is_room(small_disk, seed):
    rooms, world = random.Random(seed), World(small_disk)
    sync, ballast = world.sync(items_per_manifest=10), small_disk / "ballast"
    for stage in STAGES:
        for _ in range(3):
            fill(small_disk, ballast, rooms.randrange(0, LARGEST_ROOM_BYTES, BLOCK_BYTES))
            try:
                sync.run(stage)
            except CloudSyncError as error:
                check(error, small_disk)
        ballast.unlink()
        sync.run(stage)
    world.check(sync)


def test_a_run_on_a_disk_without_any_room_says_so_in_each_stage(small_disk):
    world = World(small_disk)
    sync, ballast = world.sync(items_per_manifest=10), small_disk / "ballast"
    for stage in STAGES:
        fill(small_disk, ballast, 0)
        with pytest.raises(StorageError, match=r"(?i)no space left|cannot be used") as caught:
            sync.run(stage)
        check(caught.value, small_disk)
        assert caught.value.transient
        ballast.unlink()
        sync.run(stage)
    world.check(sync)


def test_a_run_on_a_read_only_disk_says_so_in_each_stage(small_disk):
    world = World(small_disk)
    sync = world.sync(items_per_manifest=10)
    for stage in STAGES:
        remount(small_disk, "ro")
        with pytest.raises(StorageError, match=r"(?i)read-only file system|cannot be used") as caught:
            sync.run(stage)
        check(caught.value, small_disk)
        remount(small_disk, "rw")
        sync.run(stage)
    world.check(sync)


def check(error, place):
    """Check that an error says where and what to do."""
    assert str(place) in (error.where or ""), error
    assert error.remedy, error


def fill(disk, ballast, room_bytes):
    """Write a file that leaves so much room."""
    free = os.statvfs(disk)
    size = max(0, free.f_bavail * free.f_bsize - room_bytes)
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(size, 1))


def remount(disk, how):
    subprocess.run([MOUNT, "-o", f"remount,{how}", str(disk)], check=True)


# The ledger's pointer


def test_a_ledger_without_its_pointer_is_an_error_that_says_how_to_go_on(tmp_path):
    world = World(tmp_path)
    world.sync("night-1").run()
    world.add("camera-9/new.jpg")
    world.sync("night-2").run()
    ledger = world.sync().ledger
    ledger.files.path(POINTER_NAME).unlink()
    third, sent = world.sync("night-3"), len(world.encord.sent)
    with pytest.raises(StorageError, match="the ledger is damaged") as caught:
        third.run()
    assert (caught.value.transient, len(world.encord.sent)) == (False, sent)
    assert "Move this folder away" in caught.value.remedy
    ledger.files.root.rename(tmp_path / "moved away")
    before = dict(world.encord.items)
    third.run()
    assert world.encord.items == before
    assert Ledger(ledger.files.root).current().counts["registered"] == 19


def test_a_first_ledger_without_its_pointer_costs_one_full_pass(tmp_path):
    world = World(tmp_path)
    world.sync("night-1").run()
    world.sync().ledger.files.path(POINTER_NAME).unlink()
    second = world.sync("night-2")
    second.run()
    world.check(second)
