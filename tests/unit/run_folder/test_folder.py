"""The run folder: files appear whole or not at all."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_sync.errors import StorageError
from cloud_sync.run_folder import FileRef, RunFolder, safe_name, sha256_of
from tests.unit.places import PLACES, make_folder


@pytest.fixture(params=PLACES)
def folder(request, tmp_path) -> RunFolder:
    return make_folder(request.param, tmp_path).below("runs/one")


@pytest.fixture
def on_disk(tmp_path) -> RunFolder:
    return RunFolder(tmp_path / "runs" / "one")


def everything_in(folder: RunFolder) -> list[str]:
    """Return the names of all files, temporary ones included."""
    if not folder.is_on_disk:
        return sorted(name.rpartition("/")[2] for pattern in ("*", "*/*") for name in folder.names(pattern))
    return sorted(path.name for path in folder.root.rglob("*") if path.is_file())


class TestWriting:
    def test_a_file_replaces_the_one_before(self, folder):
        folder.write("a/b.txt", b"old")
        folder.write("a/b.txt", b"new")
        assert folder.read("a/b.txt") == b"new"
        assert everything_in(folder) == ["b.txt"]

    def test_an_exception_inside_leaves_the_old_file_and_nothing_else(self, folder):
        folder.write("a.txt", b"old")
        with pytest.raises(TypeError), folder.writing("a.txt") as path:
            path.write_bytes(b"half") + "text"
        assert folder.read("a.txt") == b"old"
        assert everything_in(folder) == ["a.txt"]

    def test_readers_never_see_the_temporary_file(self, folder):
        with folder.writing("listing/part-0000.parquet") as path:
            path.write_bytes(b"half")
            assert not folder.exists("listing/part-0000.parquet")
            assert folder.names("listing/*.parquet") == []
            assert folder.names("listing/part-*") == []

    def test_the_bytes_are_on_disk_before_the_name_is(self, on_disk, monkeypatch):
        on_disk.write("other.txt", b"")
        steps = []
        fsync, replace = os.fsync, os.replace

        def synced(handle):
            steps.append(("fsync", Path(f"/proc/self/fd/{handle}").readlink().name))
            fsync(handle)

        def replaced(source, target, **kwargs):
            steps.append(("replace", Path(target).name))
            replace(source, target, **kwargs)

        monkeypatch.setattr(os, "fsync", synced)
        monkeypatch.setattr(os, "replace", replaced)
        on_disk.write("jobs/0000.json", b"{}")
        made, file, *rest = steps
        assert made == ("fsync", "one")  # the new folder jobs/ is durable too
        assert file[0] == "fsync"
        assert re.fullmatch(r"\.0000\.json\.[0-9a-f]{8}\.tmp", file[1])
        assert rest == [("replace", "0000.json"), ("fsync", "jobs")]

    def test_two_writers_of_one_file_do_not_share_a_temporary(self, folder):
        with folder.writing("a.txt") as one, folder.writing("a.txt") as two:
            assert one != two
            one.write_bytes(b"1")
            two.write_bytes(b"2")
        assert folder.read("a.txt") == b"1"


class TestErrors:
    @pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EROFS])
    def test_a_full_or_broken_disk_may_pass(self, on_disk, monkeypatch, number):
        on_disk.write("a.txt", b"old")

        def refuse(handle):
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(os, "fsync", refuse)
        with pytest.raises(StorageError) as caught:
            on_disk.write("a.txt", b"new")
        assert caught.value.transient
        assert str(caught.value) == (
            f"{on_disk.path('a.txt')}: cannot be written: {os.strerror(number)}. "
            "Check the disk and the permissions of the state folder."
        )
        assert on_disk.read("a.txt") == b"old"
        assert everything_in(on_disk) == ["a.txt"]

    def test_a_disk_that_fills_up_while_the_code_inside_writes(self, folder):
        with (
            pytest.raises(StorageError, match="No space left on device") as caught,
            folder.writing("a.txt"),
            pa.OSFile("/dev/full", "wb") as file,
        ):
            file.write(b"x" * 10)
        assert caught.value.transient
        assert not folder.exists("a.txt")

    def test_a_disk_that_does_not_even_let_the_temporary_file_go(self, on_disk, monkeypatch):
        def refuse(*_, **__):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))

        on_disk.write("report.json", b"old")
        monkeypatch.setattr(Path, "write_bytes", refuse)
        monkeypatch.setattr(Path, "unlink", refuse)
        with pytest.raises(StorageError, match="cannot be written: Read-only file system"):
            on_disk.write("report.json", b"new")

    def test_other_errors_of_the_code_inside_stay_what_they_are(self, folder):
        with pytest.raises(ConnectionResetError), folder.writing("a.txt"):
            raise ConnectionResetError(errno.ECONNRESET, "reset")

    def test_what_a_person_must_change_is_not_tried_again(self, on_disk):
        on_disk.root.parent.mkdir(parents=True)
        on_disk.root.write_bytes(b"a file where the folder should be")
        with pytest.raises(StorageError) as caught:
            on_disk.write("a.txt", b"")
        assert not caught.value.transient

    @pytest.mark.parametrize("call", ["read", "read_json", "ref"])
    def test_a_missing_file_names_its_remedy(self, folder, call):
        with pytest.raises(StorageError) as caught:
            getattr(folder, call)("gone.json")
        assert not caught.value.transient
        assert str(caught.value) == (
            f"{folder.address('gone.json')}: is missing from the run folder. "
            "Clear the task that writes it, so that it is written again."
        )

    def test_torn_json(self, folder):
        folder.write("a.json", b'{"half": ')
        with pytest.raises(StorageError, match=r"a\.json: is not valid JSON\. Clear the task"):
            folder.read_json("a.json")

    def test_numbers_that_json_does_not_know_are_never_written(self, folder):
        with pytest.raises(ValueError, match="not JSON compliant"):
            folder.write_json("a.json", {"x": float("nan")})
        assert everything_in(folder) == []


class TestNames:
    def test_wildcards_match_no_slash(self, folder):
        for name in (
            "jobs/0000.json",
            "jobs/0001.json",
            "jobs/old/0000.json",
            "outcomes/0000.json",
            "a.json",
        ):
            folder.write(name, b"{}")
        assert folder.names("jobs/*.json") == ["jobs/0000.json", "jobs/0001.json"]
        assert folder.names("jobs/000[1-9].json") == ["jobs/0001.json"]
        assert folder.names("*/0000.json") == ["jobs/0000.json", "outcomes/0000.json"]
        assert folder.names("*/*/*") == ["jobs/old/0000.json"]
        assert folder.names("*") == folder.names("a.json") == ["a.json"]
        assert folder.names("nothing/*") == []
        assert folder.folders() == ["jobs", "outcomes"]
        assert folder.below("jobs").names("*.json") == ["0000.json", "0001.json"]

    def test_a_folder_whose_name_begins_alike_is_another(self, folder):
        folder.write("jobs/a.json", b"{}")
        folder.write("jobs-old/a.json", b"{}")
        assert folder.names("jobs/*") == ["jobs/a.json"]
        folder.remove_folder("jobs")
        assert folder.names("*/*") == ["jobs-old/a.json"]

    def test_what_is_removed_need_not_be_there(self, folder):
        folder.write("a.json", b"{}")
        for _ in range(2):
            folder.remove("a.json")
            folder.remove_folder("jobs")
        assert not folder.exists("a.json")

    def test_a_file_that_was_moved_is_in_one_place(self, folder):
        folder.write("jobs/0000.json", b"old")
        folder.write("jobs/0001.json", b"new")
        folder.move("jobs/0001.json", "superseded/jobs/0000.json")
        folder.move("jobs/0000.json", "superseded/jobs/0000.json")
        assert folder.names("jobs/*") == []
        assert folder.read("superseded/jobs/0000.json") == b"old"
        with pytest.raises(StorageError):
            folder.move("jobs/0000.json", "x")

    def test_the_folder_that_was_changed_last_comes_first(self, folder):
        for name in ("b", "c", "a"):
            folder.write(f"{name}/integration.json", b"{}")
            time.sleep(0.01)
        assert folder.newest_folders("integration.json") == ["a", "c", "b"]
        assert folder.below("none").newest_folders("integration.json") == []


class TestSwapping:
    def test_only_what_was_seen_is_replaced(self, folder):
        assert folder.read_tagged_json("a.json") is None
        assert folder.swap_json("a.json", 1, None)
        assert not folder.swap_json("a.json", 2, None)
        value, tag = folder.read_tagged_json("a.json")
        assert value == 1
        assert folder.swap_json("a.json", 3, tag)
        assert not folder.swap_json("a.json", 4, tag)
        assert folder.read_json("a.json") == 3

    def test_what_is_gone_is_not_replaced(self, folder):
        folder.write_json("a.json", 1)
        _, tag = folder.read_tagged_json("a.json")
        folder.remove("a.json")
        assert not folder.swap_json("a.json", 2, tag)
        assert not folder.exists("a.json")


class TestNamedByContent:
    def test_the_name_has_the_digest(self, folder):
        with folder.writing_by_content("v000001", ".parquet") as draft:
            draft.path.write_bytes(b"content")
            assert folder.names("v*") == []
        assert draft.ref == folder.ref(draft.ref.path)
        assert draft.ref.path == f"v000001-{draft.ref.sha256[:12]}.parquet"
        assert folder.verified(draft.ref).read_bytes() == b"content"

    def test_an_exception_inside_leaves_nothing(self, folder):
        with pytest.raises(TypeError), folder.writing_by_content("v", ".parquet") as draft:
            draft.path.write_bytes(b"half") + "text"
        assert everything_in(folder) == []
        assert not draft.path.exists()


def test_the_age_of_a_file(folder):
    assert folder.age_s("a.json") is None
    folder.write_json("a.json", 1)
    assert 0 <= folder.age_s("a.json") < 60


class TestReferences:
    def test_round_trip(self, folder):
        folder.write("listing/index.json", b"[]")
        ref = folder.ref("listing/index.json", objects=3)
        assert FileRef.from_json(json.loads(json.dumps(ref.to_json()))) == ref
        assert folder.verified(ref) == folder.local("listing/index.json")
        assert ref.sha256 == sha256_of(folder.local("listing/index.json"))

    def test_a_missing_file_is_refused(self, folder):
        with pytest.raises(StorageError, match="is missing from the run folder"):
            folder.verified(FileRef("gone", "0" * 64, {}))

    @pytest.mark.parametrize("content", [b"", b"tor", b"torn?"])
    def test_a_torn_or_changed_file_is_refused(self, folder, content):
        folder.write("a.txt", b"torn")
        ref = folder.ref("a.txt")
        folder.write("a.txt", content)
        with pytest.raises(StorageError) as caught:
            folder.verified(ref)
        assert not caught.value.transient
        assert str(caught.value).endswith(
            "has changed since the task before wrote it. Clear the run from its first task."
        )

    def test_a_large_file_is_read_in_blocks(self, tmp_path):
        import hashlib

        data = os.urandom((1 << 20) + 17)
        (tmp_path / "large").write_bytes(data)
        assert sha256_of(tmp_path / "large") == hashlib.sha256(data).hexdigest()


class TestSafeName:
    @pytest.mark.parametrize("text", ["manual__2026-01-01T00_00_00", "cameras", "a.b+c=d@e-f", "x" * 120])
    def test_a_safe_text_stays(self, text):
        assert safe_name(text) == text

    @pytest.mark.parametrize("text", ["", ".", "..", "../../etc", "a/b", "a b", "x" * 121, "é", "a\0b", ".a"])
    def test_any_other_becomes_one_name(self, text):
        name = safe_name(text)
        assert re.fullmatch(r"[A-Za-z0-9._+=@-]{1,129}", name)
        assert name not in {".", ".."}

    @given(st.lists(st.text(max_size=130), unique=True, max_size=20))
    def test_different_texts_get_different_names(self, texts):
        assert len({safe_name(text) for text in texts}) == len(texts)

    def test_texts_that_look_alike_once_cleaned_stay_apart(self):
        names = {safe_name(text) for text in ["a b", "a_b", "a/b", "a:b", "a_b."]}
        assert len(names) == 5


class TestClaiming:
    def test_the_first_one_gets_it_and_nobody_else_until_it_is_given_back(self, folder):
        assert folder.claim("alerts/a.json", {"x": 1})
        assert not folder.claim("alerts/a.json", {"x": 2})
        assert folder.read_json("alerts/a.json") == {"x": 1}
        folder.disclaim("alerts/a.json")
        folder.disclaim("alerts/a.json")
        assert folder.claim("alerts/a.json", {"x": 2})

    def test_of_many_at_one_time_one_gets_it(self, folder):
        with ThreadPoolExecutor(8) as pool:
            won = list(pool.map(lambda n: folder.claim("a.json", n), range(64)))
        assert sum(won) == 1

    def test_a_place_where_nothing_can_be_written_is_an_error(self, on_disk):
        on_disk.write("alerts", b"a file in the place of the folder")
        with pytest.raises(StorageError, match="cannot be written"):
            on_disk.claim("alerts/a.json", {})


class TestLock:
    def test_who_waits_too_long_is_told_and_may_try_again(self, folder):
        with (
            folder.locked("x.lock"),
            pytest.raises(StorageError, match="is held by another task") as caught,
            folder.locked("x.lock", wait_s=0),
        ):
            pass
        assert caught.value.transient
        with folder.locked("x.lock", wait_s=0):
            pass

    def test_a_file_system_without_locks_is_lived_with(self, tmp_path, monkeypatch, caplog):
        def none(*_):
            raise OSError(errno.ENOLCK, "no locks")

        monkeypatch.setattr(fcntl, "flock", none)
        with RunFolder(tmp_path).locked("x.lock"):
            assert "cannot be locked (no locks)" in caplog.text

    def test_a_folder_that_cannot_be_written_is_an_error(self, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(StorageError, match="cannot be locked"), RunFolder(tmp_path / "file").locked("x"):
            pass
