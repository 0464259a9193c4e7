"""A state folder in a real store, used by several processes that may be killed at any moment."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from cloud_sync.errors import StorageError
from cloud_sync.ledger import Ledger, SettledManifest
from cloud_sync.run_folder import sha256_of
from tests.unit.tables import URL_BASE, write_items

if TYPE_CHECKING:
    from pathlib import Path

    from cloud_sync.run_folder import RunFolder

LARGE_BYTES = 17_000_000  # several parts of an upload


class TestFiles:
    def test_a_store_is_fit(self, folder):
        folder.files.check()
        assert folder.below("").files._bucket.entries("")[0] == []

    def test_what_is_written_is_read_replaced_moved_listed_and_removed(self, folder):
        folder.write_json("jobs/0000.json", {"x": 1})
        folder.write_json("jobs/0000.json", {"x": 2})
        assert folder.read_json("jobs/0000.json") == {"x": 2}
        assert folder.names("jobs/*.json") == folder.names("*/*") == ["jobs/0000.json"]
        folder.move("jobs/0000.json", "superseded/0000.json")
        assert "superseded" in folder.folders()  # SeaweedFS shows empty folders for a while
        assert folder.newest_folders("0000.json") == ["superseded"]
        assert folder.age_s("superseded/0000.json") < 60
        folder.remove_folder("superseded")
        folder.remove("superseded/0000.json")
        assert folder.names("*/*") == []
        with pytest.raises(StorageError, match="is missing from the run folder"):
            folder.read("superseded/0000.json")

    def test_a_large_file_arrives_whole_and_is_known_by_its_digest(self, folder, tmp_path):
        data = os.urandom(LARGE_BYTES)
        with folder.writing("plan.parquet") as path:
            path.write_bytes(data)
        (tmp_path / "same").write_bytes(data)
        ref = folder.ref("plan.parquet")
        assert ref.sha256 == sha256_of(tmp_path / "same")
        assert folder.has("plan.parquet", ref.sha256)
        elsewhere = folder.below("")  # a folder with no copies yet
        assert elsewhere.verified(ref).read_bytes() == data
        assert elsewhere.local("plan.parquet") == elsewhere.verified(ref)

    def test_names_with_all_that_they_may_have(self, folder):
        name = "scheduled__2026-11-24T00_00_00+00_00-1a2b3c4d/a=b@c/x.y.json"
        folder.write(name, b"1")
        assert folder.read(name) == b"1"
        assert folder.names("*/*/*") == [name]

    def test_conditions(self, folder):
        assert folder.claim("a", 1)
        assert not folder.claim("a", 2)
        _, tag = folder.read_tagged_json("a")
        assert folder.swap_json("a", 3, tag)
        assert not folder.swap_json("a", 4, tag)
        assert not folder.swap_json("a", 5, None)
        folder.disclaim("a")
        assert not folder.swap_json("a", 6, tag)
        assert folder.claim("a", 7)


RUN = """
import json, os, sys, time
sys.path[:0] = json.loads(sys.argv[1])
from cloud_sync.run_folder import lease
from tests.integration.run_folder.conftest import open_folder
lease.LASTS_S = 3.0
folder = open_folder(**json.loads(sys.argv[2])).below(sys.argv[3])
folder.files.check()
print("ready", flush=True)
sys.stdin.readline()
"""


class Worker:
    """A process of its own that runs a few lines with `folder`, once it is told to."""

    def __init__(self, place: dict[str, Any], name: str, lines: str) -> None:
        command = [sys.executable, "-c", RUN + lines, json.dumps(sys.path), json.dumps(place), name]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        assert self.line() == "ready"

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def go(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.communicate()


@pytest.fixture
def worker(place, tmp_path):
    started: list[Worker] = []

    def start(lines: str) -> Worker:
        started.append(Worker(place, tmp_path.name, lines))
        return started[-1]

    yield start
    for one in started:
        one.kill()


class TestRaces:
    def test_of_two_processes_that_claim_one_wins_each_time(self, worker):
        claims = 'print([folder.claim(f"alerts/{n}.json", os.getpid()) for n in range(30)])'
        workers = [worker(claims), worker(claims)]
        for one in workers:
            one.go()
        won = [json.loads(one.line().lower()) for one in workers]
        assert [a + b for a, b in zip(*won, strict=True)] == [1] * 30

    def test_of_two_processes_that_swap_none_overwrites_the_other(self, worker, folder):
        count = """
folder.claim("count.json", 0)
done = 0
while done < 15:
    value, tag = folder.read_tagged_json("count.json")
    done += folder.swap_json("count.json", value + 1, tag)
print("done", flush=True)
"""
        workers = [worker(count), worker(count)]
        for one in workers:
            one.go()
        assert [one.line() for one in workers] == ["done", "done"]
        assert folder.read_json("count.json") == 30

    def test_a_lock_lets_one_process_in_at_a_time(self, worker, folder):
        count = """
for _ in range(8):
    with folder.locked("count.lock"):
        value = folder.read_json("count.json") if folder.exists("count.json") else 0
        time.sleep(0.01)
        folder.write_json("count.json", value + 1)
print("done", flush=True)
"""
        workers = [worker(count), worker(count)]
        for one in workers:
            one.go()
        assert [one.line() for one in workers] == ["done", "done"]
        assert folder.read_json("count.json") == 16

    def test_two_processes_commit_to_one_ledger_and_none_is_lost(self, worker, folder, tmp_path):
        commit = f"""
from pathlib import Path
from tests.integration.run_folder.test_places import commit
for n in range(4):
    commit(folder, f"{{os.getpid()}} {{n}}", Path({str(tmp_path)!r}))
print("done", flush=True)
"""
        workers = [worker(commit), worker(commit)]
        for one in workers:
            one.go()
        assert [one.line() for one in workers] == ["done", "done"]
        version = Ledger(folder.below("ledger").files).current()
        assert version is not None
        assert version.number == 8
        assert version.counts == {"registered": 8}


def commit(folder: RunFolder, name: str, tmp_path: Path) -> None:
    """Settle a run that sent one object."""
    items = write_items(tmp_path / f"{name}.parquet", [[f"{name}.jpg"]])
    Ledger(folder.below("ledger").files).commit(
        run_id=name,
        url_base=URL_BASE,
        items_path=items,
        manifests=[SettledManifest(0, "manifests/0000-a.json", name, datetime.now(UTC))],
        failures=[],
    )


class TestKills:
    def test_the_lock_of_a_killed_process_is_taken_over(self, worker, folder):
        hold = """
folder.locked("x.lock").__enter__()
print("held", flush=True)
time.sleep(60)
"""
        holder = worker(hold)
        holder.go()
        assert holder.line() == "held"
        time.sleep(4)
        with pytest.raises(StorageError, match="is held by another task"), folder.locked("x.lock", wait_s=0):
            pass
        holder.kill()
        started = time.monotonic()
        with folder.locked("x.lock", wait_s=30):
            assert time.monotonic() - started < 15

    def test_whenever_a_writer_is_killed_there_is_the_old_file_or_the_new_one(self, worker, folder):
        write = f"""
n = 0
while True:
    n += 1
    with folder.writing("plan.parquet") as path:
        path.write_bytes(bytes([n % 256]) * {LARGE_BYTES // 2})
    folder.write_json("jobs/0000.json", {{"n": n, "filler": "x" * 10000}})
    print(n, flush=True)
"""
        folder.write("plan.parquet", bytes(LARGE_BYTES // 2))
        folder.write_json("jobs/0000.json", {"n": 0, "filler": ""})
        for after_s in (0.0, 0.05, 0.1, 0.2, 0.4):
            writer = worker(write)
            writer.go()
            time.sleep(after_s)
            writer.kill()
            data = folder.below("").read("plan.parquet")
            assert len(data) == LARGE_BYTES // 2
            assert set(data) == {data[0]}
            assert folder.verified(folder.ref("plan.parquet")).stat().st_size == LARGE_BYTES // 2
            assert folder.read_json("jobs/0000.json")["n"] >= 0

    def test_a_killed_commit_leaves_the_old_version_or_the_new_one(self, worker, folder, tmp_path):
        lines = f"""
from pathlib import Path
from tests.integration.run_folder.test_places import commit
for n in range(1000):
    commit(folder, f"{{os.getpid()}} {{n}}", Path({str(tmp_path)!r}))
    print(n, flush=True)
"""
        commit(folder, "first", tmp_path)
        registered = 1
        for after_s in (0.1, 0.3):
            one = worker(lines)
            one.go()
            assert one.line() == "0"
            time.sleep(after_s)
            one.kill()
            version = Ledger(folder.below("ledger").files).current()
            assert version is not None
            assert version.counts["registered"] == version.number > registered
            registered = version.number
