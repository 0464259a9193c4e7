"""A lock on a file: one at a time, and never for ever."""

from __future__ import annotations

import errno
import fcntl
import os
import threading

import pytest

from cloud_sync.errors import StorageError
from cloud_sync.file_lock import locked


def test_whoever_comes_second_waits_for_the_first(tmp_path):
    told: list[str] = []
    entered = threading.Event()

    def second() -> None:
        entered.set()
        with locked(tmp_path / "new" / ".lock"):
            told.append("second")

    with locked(tmp_path / "new" / ".lock"):
        thread = threading.Thread(target=second)
        thread.start()
        entered.wait()
        told.append("first")
    thread.join()
    assert told == ["first", "second"]


def test_it_is_not_waited_for_for_ever(tmp_path):
    path = tmp_path / ".lock"
    held = locked(path)
    with held, pytest.raises(StorageError, match="another process holds it") as caught:
        locked(path, longest_wait_s=0).__enter__()
    assert caught.value.transient


def test_an_error_inside_ends_it(tmp_path):
    with pytest.raises(ZeroDivisionError), locked(tmp_path / ".lock"):
        raise ZeroDivisionError
    with locked(tmp_path / ".lock", longest_wait_s=0):
        pass


def test_a_file_system_without_locks_goes_on_without(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with locked(tmp_path / ".lock"):
        pass


def test_a_folder_that_cannot_be_made_is_an_error_with_its_place(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError) as caught, locked(tmp_path / "file" / ".lock"):
        pass
    assert str(caught.value).startswith(f"{tmp_path}/file/.lock: cannot be locked: ")
