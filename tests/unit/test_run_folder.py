"""The run folder: files appear whole or not at all."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_sync.errors import StorageError
from cloud_sync.run_folder import FileRef, RunFolder, safe_name, sha256_of


@pytest.fixture
def folder(tmp_path) -> RunFolder:
    return RunFolder(tmp_path / "runs" / "one")


def everything_in(folder: RunFolder) -> list[str]:
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

    def test_the_bytes_are_on_disk_before_the_name_is(self, folder, monkeypatch):
        folder.write("other.txt", b"")
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
        folder.write("jobs/0000.json", b"{}")
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
    def test_a_full_or_broken_disk_may_pass(self, folder, monkeypatch, number):
        folder.write("a.txt", b"old")

        def refuse(handle):
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(os, "fsync", refuse)
        with pytest.raises(StorageError) as caught:
            folder.write("a.txt", b"new")
        assert caught.value.transient
        assert str(caught.value) == (
            f"{folder.path('a.txt')}: cannot be written: {os.strerror(number)}. "
            "Check the disk and the permissions of the state folder."
        )
        assert folder.read("a.txt") == b"old"
        assert everything_in(folder) == ["a.txt"]

    def test_a_disk_that_fills_up_while_the_code_inside_writes(self, folder):
        with (
            pytest.raises(StorageError, match="No space left on device") as caught,
            folder.writing("a.txt"),
            pa.OSFile("/dev/full", "wb") as file,
        ):
            file.write(b"x" * 10)
        assert caught.value.transient
        assert not folder.exists("a.txt")

    def test_a_disk_that_does_not_even_let_the_temporary_file_go(self, folder, monkeypatch):
        def refuse(*_, **__):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))

        folder.write("report.json", b"old")
        monkeypatch.setattr(Path, "write_bytes", refuse)
        monkeypatch.setattr(Path, "unlink", refuse)
        with pytest.raises(StorageError, match="cannot be written: Read-only file system"):
            folder.write("report.json", b"new")

    def test_other_errors_of_the_code_inside_stay_what_they_are(self, folder):
        with pytest.raises(ConnectionResetError), folder.writing("a.txt"):
            raise ConnectionResetError(errno.ECONNRESET, "reset")

    def test_what_a_person_must_change_is_not_tried_again(self, folder):
        folder.root.parent.mkdir(parents=True)
        folder.root.write_bytes(b"a file where the folder should be")
        with pytest.raises(StorageError) as caught:
            folder.write("a.txt", b"")
        assert not caught.value.transient

    @pytest.mark.parametrize("call", ["read", "read_json", "ref"])
    def test_a_missing_file_names_its_remedy(self, folder, call):
        with pytest.raises(StorageError) as caught:
            getattr(folder, call)("gone.json")
        assert not caught.value.transient
        assert str(caught.value) == (
            f"{folder.path('gone.json')}: is missing from the run folder. "
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


class TestReferences:
    def test_round_trip(self, folder):
        folder.write("listing/index.json", b"[]")
        ref = folder.ref("listing/index.json", objects=3)
        assert FileRef.from_json(json.loads(json.dumps(ref.to_json()))) == ref
        assert folder.verified(ref) == folder.path("listing/index.json")
        assert ref.sha256 == sha256_of(folder.path("listing/index.json"))

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

    def test_a_place_where_nothing_can_be_written_is_an_error(self, folder):
        folder.write("alerts", b"a file in the place of the folder")
        with pytest.raises(StorageError, match="cannot be written"):
            folder.claim("alerts/a.json", {})


class TestLock:
    def test_who_waits_too_long_is_told_and_may_try_again(self, tmp_path):
        folder = RunFolder(tmp_path / "deep" / "folder")
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
