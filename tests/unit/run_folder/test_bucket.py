"""What a folder in a bucket does beside what every folder does: copies, conditions, lost answers."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import obstore
import pytest
from obstore.exceptions import GenericError, NotSupportedError
from obstore.store import MemoryStore

from cloud_sync.errors import ConfigError, StorageError
from cloud_sync.run_folder import RunFolder, bucket, remote
from cloud_sync.run_folder.address import parse_address
from cloud_sync.run_folder.stores import bucket_folder
from tests.unit.places import in_memory

UNREACHABLE = GenericError("HTTP error: error sending request")


@pytest.fixture
def folder() -> RunFolder:
    return in_memory().below("runs/one")


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    monkeypatch.setattr(bucket, "FIRST_PAUSE_S", 0)


class TestAddress:
    def test_people_are_told_urls(self, folder):
        assert folder.address() == "s3://state/prefix/runs/one"
        assert folder.address("failures.csv") == "s3://state/prefix/runs/one/failures.csv"
        with pytest.raises(TypeError, match="is not on this disk"):
            folder.path("failures.csv")

    @pytest.mark.parametrize(
        ("url", "parts"),
        [
            ("s3://b", ("s3", "b", "")),
            ("S3://b/", ("s3", "b", "")),
            ("gs://b/a/b", ("gcs", "b", "a/b")),
            ("az://b/a=1/b/", ("azure", "b", "a=1/b")),
        ],
    )
    def test_urls(self, url, parts):
        address = parse_address(url, "here")
        assert (address.provider, address.bucket, address.prefix) == parts

    @pytest.mark.parametrize(
        "url",
        ["http://b/a", "s3://", "s3:///a", "b/a", "s3://b//a", "s3://b/a b", "s3://b/../a", "s3://b/a?x=1"],
    )
    def test_what_is_no_part_of_a_bucket(self, url):
        with pytest.raises(ConfigError, match=r"^here: "):
            parse_address(url, "here")


class TestCopies:
    def test_a_file_is_fetched_once_and_again_when_it_has_changed(self, folder, monkeypatch):
        folder.write("a.parquet", b"one")
        first = folder.local("a.parquet")
        assert first.name == "a.parquet"
        assert folder.local("a.parquet") == first
        RunFolder(folder.files).write("a.parquet", b"two")
        second = folder.local("a.parquet")
        assert (first.read_bytes(), second.read_bytes()) == (b"one", b"two"), (
            "somebody may be reading the first"
        )

    def test_what_was_written_here_is_not_fetched(self, folder, monkeypatch):
        with folder.writing("a.parquet") as path:
            path.write_bytes(b"content")
        monkeypatch.setattr(remote.RemoteFiles, "_fetched", lambda *_: pytest.fail("fetched"))
        assert folder.verified(folder.ref("a.parquet")).read_bytes() == b"content"

    def test_they_go_with_the_folder(self, folder):
        folder.write("a.txt", b"content")
        path = folder.below("").local("a.txt")
        assert path.read_bytes() == b"content", "a path holds its copy"
        place = str(path)
        del path
        assert not Path(place).exists()

    def test_what_was_only_written_is_dropped_when_it_is_much(self, folder):
        folder.files._copies._kept_bytes = 10
        for number in range(4):
            with folder.writing(f"{number}.txt") as path:
                path.write_bytes(b"12345")
            if number == 0:
                first = folder.local("0.txt")
        left = {path.name for path in folder.scratch().rglob("*.txt")}
        assert left == {"0.txt", "2.txt", "3.txt"}, "the first was handed out"
        assert first.read_bytes() == folder.local("1.txt").read_bytes() == b"12345"

    def test_no_process_but_a_killed_one_loses_its_copies(self, folder, tmp_path, monkeypatch):
        from cloud_sync.run_folder import copies

        monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
        alive, handle = copies._made_folder()
        killed, other = copies._made_folder()
        (killed / "left").write_bytes(b"x")
        os.close(other)
        copies._remove_orphans(tmp_path)
        assert alive.is_dir()
        assert not killed.exists()
        os.close(handle)

    def test_an_object_that_does_not_arrive_whole_is_asked_for_again_later(self, folder, monkeypatch):
        folder.write("a.txt", b"content")
        blocks = bucket._blocks
        monkeypatch.setattr(bucket, "_blocks", lambda got: list(blocks(got))[:-1])
        with pytest.raises(StorageError, match="did not arrive whole") as caught:
            folder.local("a.txt")
        assert caught.value.transient
        assert list(folder.scratch().rglob("a.txt")) == []

    def test_a_disk_of_this_machine_that_is_full_is_named_as_such(self, folder, monkeypatch):
        def full(*_, **__):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        folder.write("a.txt", b"content")
        monkeypatch.setattr(Path, "open", full)
        with pytest.raises(StorageError, match=r"on this machine: No space left .*TMPDIR") as caught:
            folder.local("a.txt")
        assert caught.value.transient


class Flaky:
    """obstore.put, of which answers are lost: before or after the object was written."""

    def __init__(self, *, written: list[bool]) -> None:
        self.put = obstore.put
        self.written = written

    def __call__(self, store, path, content, **options):
        if "check" in path or not self.written:
            return self.put(store, path, content, **options)
        if self.written.pop(0):
            self.put(store, path, content, **options)
        raise UNREACHABLE


class TestLostAnswers:
    @pytest.mark.parametrize("written", [[True], [False], [False, True], [True, False]])
    def test_a_claim_that_was_made_is_known_as_ones_own(self, folder, monkeypatch, written):
        monkeypatch.setattr(obstore, "put", Flaky(written=list(written)))
        assert folder.claim("alerts/a.json", {})
        assert not folder.claim("alerts/a.json", {})

    @pytest.mark.parametrize("written", [[True], [False], [False, True], [True, False]])
    def test_so_is_a_swap(self, folder, monkeypatch, written):
        folder.write_json("current.json", 1)
        _, tag = folder.read_tagged_json("current.json")
        monkeypatch.setattr(obstore, "put", Flaky(written=list(written)))
        assert folder.swap_json("current.json", 2, tag)
        assert not folder.swap_json("current.json", 3, tag)

    def test_a_store_that_stays_away_is_an_error_that_may_pass(self, folder, monkeypatch):
        monkeypatch.setattr(obstore, "put", Flaky(written=[False] * 99))
        for write in (lambda: folder.write("a", b""), lambda: folder.claim("a", 1)):
            with pytest.raises(StorageError, match=r"cannot be reached.*state_connection_id") as caught:
                write()
            assert caught.value.transient


def test_a_bucket_that_is_not_there_is_named_as_such(folder, monkeypatch):
    def missing(*_, **__):
        raise FileNotFoundError("Server returned non-2xx status code: 404 Not Found")

    monkeypatch.setattr(obstore, "put", missing)
    monkeypatch.setattr(obstore, "list_with_delimiter", missing)
    for call in (folder.files.check, folder.folders, lambda: folder.write("a", b"")):
        with pytest.raises(StorageError, match=r"the bucket does not exist\. Check the setting state_folder"):
            call()


class TestUnfitStores:
    """A store without conditional writes: two workers would overwrite each other."""

    def refused(self, monkeypatch, put) -> str:
        monkeypatch.setattr(obstore, "put", put)
        folder = bucket_folder(MemoryStore(), parse_address("s3://state", "here"))
        with pytest.raises(ConfigError) as caught:
            folder.claim("a.json", 1)
        assert "s3://state: cannot be the state folder" in str(caught.value)
        return str(caught.value)

    def test_one_that_ignores_the_condition(self, monkeypatch):
        put = obstore.put

        def always(*args, mode, **options):
            return put(*args, **options)

        said = self.refused(monkeypatch, always)
        assert "replaces an object that was to be made only if there is none" in said

    def test_one_that_only_creates(self, monkeypatch):
        put = obstore.put

        def only_create(*args, mode, **options):
            return put(*args, **options, mode="create" if mode == "create" else "overwrite")

        assert "replaces an object that has changed meanwhile" in self.refused(monkeypatch, only_create)

    def test_one_that_says_so(self, monkeypatch):
        def refuse(*_, **__):
            raise NotSupportedError("not implemented")

        assert "knows no writes with a condition" in self.refused(monkeypatch, refuse)

    def test_a_fit_one_is_asked_once_and_keeps_nothing_of_it(self, folder, monkeypatch):
        folder.files.check()
        monkeypatch.setattr(bucket.Bucket, "_check", lambda *_: pytest.fail("asked again"))
        folder.files.check()
        folder.below("x").files.check()
        assert folder.files._bucket.entries("") == ([], [])
