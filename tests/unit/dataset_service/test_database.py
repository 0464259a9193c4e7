"""The database: transactions that see each other, and clear errors where there is none to use."""

from __future__ import annotations

import sqlite3
import threading
from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy import func, select

from cloud_sync.dataset_service.database import Database
from cloud_sync.dataset_service.tables import Folder
from cloud_sync.errors import ConfigError


@pytest.fixture
def database(tmp_path):
    database = Database.open("sqlite:///service.sqlite", tmp_path)
    yield database
    database.close()


def folder(name: str, **values) -> Folder:
    return Folder(name=name, description="", owner="engineer@example.com", **values)


def test_writers_take_turns_so_that_what_they_read_stays_true(database):
    def number_a_folder() -> None:
        for _ in range(5):
            with database.writing() as session:
                count = session.scalar(select(func.count()).select_from(Folder))
                session.add(folder(str(count)))

    threads = [threading.Thread(target=number_a_folder) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.reading() as session:
        assert sorted(map(int, session.scalars(select(Folder.name)))) == list(range(20))


def test_an_error_leaves_everything_as_it_was(database):
    def half() -> None:
        with database.writing() as session:
            session.add(folder("half"))
            session.flush()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        half()
    with database.reading() as session:
        assert session.scalars(select(Folder)).all() == []


def test_moments_come_back_in_utc(database):
    moment = datetime(2030, 1, 1, 12, tzinfo=timezone(timedelta(hours=2)))
    with database.writing() as session:
        session.add(folder("f", created_at=moment))
    with database.reading() as session:
        found = session.scalar(select(Folder.created_at))
    assert (found, found.tzinfo) == (moment, UTC)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("nonsense", "is not a database URL"),
        ("oracle+nodriver://h/d", "is not a database URL whose driver is installed"),
        ("sqlite://", "in memory is lost"),
        ("sqlite:////proc/none/x.sqlite", "cannot be used"),
    ],
)
def test_an_unusable_database_is_a_clear_error(tmp_path, url, message):
    with pytest.raises(ConfigError, match=message):
        Database.open(url, tmp_path)


def test_a_database_of_another_version_is_refused(tmp_path, database):
    database.close()
    with sqlite3.connect(tmp_path / "service.sqlite") as connection:
        connection.execute("ALTER TABLE items DROP COLUMN media")
    with pytest.raises(ConfigError, match="made by another version: items lacks media"):
        Database.open("sqlite:///service.sqlite", tmp_path)
