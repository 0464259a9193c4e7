"""The database: SQLite by default, anything SQLAlchemy reaches by URL."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import create_engine, event, inspect
from sqlalchemy.engine import Connection, Engine, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.orm import Session

from cloud_sync.dataset_service.tables import Base
from cloud_sync.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

# As many as there may be requests and job threads at once, so that none waits for a connection.
CONNECTIONS = 64
LOCK_WAIT_S = 30


class Database:
    """Two kinds of transaction: reading, and writing.

    A writing transaction takes SQLite's write lock at its start, so that what it reads stays true
    until it commits; on other databases the callers lock the rows they depend on.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @classmethod
    def open(cls, url: str, folder: Path) -> Database:
        """Connect and create what is missing; a relative SQLite path is relative to `folder`.

        Raises:
            ConfigError: The URL is wrong, its driver is missing, or the database cannot be used.
        """
        try:
            engine = _engine(url, folder)
            Base.metadata.create_all(engine)
            _require_own_schema(engine)
        except (ArgumentError, NoSuchModuleError, ModuleNotFoundError) as error:
            raise ConfigError(
                "is not a database URL whose driver is installed.",
                where="database_url",
                remedy="Use sqlite:///file or install the driver.",
            ) from error
        except (SQLAlchemyError, OSError) as error:
            # The driver's text can hold the password of the URL.
            raise ConfigError(
                f"the database cannot be used ({type(error).__name__}).",
                where="database_url",
                remedy="Check that it runs, and the URL's path, user and password.",
            ) from None
        return cls(engine)

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A transaction that changes nothing."""
        with Session(self._engine, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """A transaction that commits at the end, or leaves everything as it was."""
        with Session(self._engine, expire_on_commit=False) as session, session.begin():
            session.connection(execution_options={"write_lock": True})
            yield session

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()


def _require_own_schema(engine: Engine) -> None:
    """Refuse tables of another version: `create_all` adds tables, never columns."""
    existing = inspect(engine)
    for table in Base.metadata.sorted_tables:
        found = {column["name"] for column in existing.get_columns(table.name)}
        if missing := {column.name for column in table.columns} - found:
            raise ConfigError(
                f"the database was made by another version: {table.name} lacks {', '.join(sorted(missing))}.",
                where="database_url",
                remedy="Name a new database; the old one stays as it is.",
            )


def _engine(url: str, folder: Path) -> Engine:
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite":
        return create_engine(parsed, pool_size=CONNECTIONS, pool_pre_ping=True)
    if not parsed.database or parsed.database == ":memory:":
        raise ConfigError(
            "a database in memory is lost with the service.",
            where="database_url",
            remedy="Name a file: sqlite:///dataset-service.sqlite.",
        )
    path = folder / parsed.database
    path.parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(
        parsed.set(database=str(path)),
        pool_size=CONNECTIONS,
        connect_args={"timeout": LOCK_WAIT_S, "check_same_thread": False},
    )
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # the driver must not begin transactions by itself
    cursor = connection.cursor()
    # Synchronous stays FULL: what was answered as stored survives a power cut too.
    for pragma in ("journal_mode = WAL", "foreign_keys = ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    write = connection.get_execution_options().get("write_lock", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")
