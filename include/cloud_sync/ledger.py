"""The ledger: what this project knows to be registered, and what is quarantined.

One ledger belongs to one dataset and one integration. Each run writes a new version as Parquet and then
moves the pointer `current.json` to it, so a killed run leaves the old version in force. The ledger saves
work and is never the guarantee: that is `skip_duplicate_urls`. A lost ledger costs one full pass, in which
Encord skips single files and unchanged groups; a group that has grown or changed becomes a second item.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path, PurePath
from typing import Any

from cloud_sync import ledger_sql as sql
from cloud_sync import releases
from cloud_sync.errors import ConfigError, StorageError
from cloud_sync.run_folder import FileRef, RunFolder
from cloud_sync.run_folder.files import DamagedFileError, Files, Tag
from cloud_sync.run_folder.folder import Draft, is_named_after
from cloud_sync.sql_engine import copy, sql_engine, view

POINTER_NAME = "current.json"
LOCK_NAME = "commit.lock"

VERSIONS_KEPT = 30

REBUILD = "cloud-sync ledger rebuild <integration file>"

FORMAT = 2
"""What this release writes. Pointers without a number are of format 1, which knew no removed objects."""
FORMATS_READ = frozenset({1, 2})

ROWS_AT_ONCE = 1000


class UnreadableLedgerError(StorageError):
    """The files of a ledger are damaged, or of a format that this release does not read."""


class LedgerState(StrEnum):
    """What is known of an object."""

    REGISTERED = "registered"
    FAILED = "failed"  # for a passing reason: a later run tries again
    QUARANTINED = "quarantined"  # not sent again until the object changes or a person asks
    REMOVED = "removed"  # gone from the storage, and taken out of the dataset; if it comes back, it is new


@dataclass(frozen=True, slots=True)
class LedgerVersion:
    """One version of a ledger, as the pointer names it.

    Attributes:
        number: Counts up from 1.
        previous: The version that it was made from; None for the first.
        previous_file: The name of its file.
        run_id: The DAG run that wrote it.
        url_base: How object URLs began; Encord tells duplicates by the exact URL.
        counts: Objects by state.
        file: The name of the Parquet file.
        path: A path with its content.
        releases: Which objects were released lately; None if none were.
    """

    number: int
    previous: int | None
    previous_file: str | None
    run_id: str
    url_base: str
    counts: Mapping[str, int]
    file: str
    path: Path = field(compare=False)
    releases: FileRef | None = None


@dataclass(frozen=True, slots=True)
class SettledManifest:
    """A manifest whose upload job has ended: all its items go into the ledger."""

    number: int
    name: str
    upload_job_id: str
    finished_at: datetime


@dataclass(frozen=True, slots=True)
class SettledFailure:
    """A file at fault for an item that was not registered, by its object URL."""

    url: str
    failure_class: str
    state: LedgerState
    reason: str = ""
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Left:
    """Registered objects whose items have left the dataset.

    Attributes:
        list_path: Parquet with `key`.
        at: When they left; what was registered after that has come back.
    """

    list_path: Path
    at: datetime


@dataclass(frozen=True, slots=True)
class FailureHistory:
    """What the ledger knows of earlier failures of one object.

    Attributes:
        attempts: How often it was sent and failed; each retry round is one more.
        first_failed_at: When it failed for the first time.
        runs: In how many runs it failed; those that stopped themselves do not count.
        last_failed_at: When it failed last.
        manifest: The manifest in which it failed last.
        upload_job_id: That manifest's upload job; empty if Encord refused the manifest.
    """

    attempts: int
    first_failed_at: datetime | None
    runs: int
    last_failed_at: datetime
    manifest: str
    upload_job_id: str


class Ledger:
    """The versions of one ledger in a folder.

    Raises:
        UnreadableLedgerError: The pointer, or a file that it names, is missing, torn or not ours.
        StorageError: The place cannot be read or written.
    """

    def __init__(self, folder: Path | Files) -> None:
        self.files = RunFolder(folder)

    def current(self) -> LedgerVersion | None:
        """Return the version in force, or None if nothing was ever settled."""
        return self._current()[0]

    def tag(self) -> Tag | None:
        """Return what the pointer is known by, whatever is in it; None if it is not there."""
        found = self.files.files.read_tagged(POINTER_NAME)
        return found[1] if found is not None else None

    def salvage(self) -> tuple[LedgerVersion | None, Tag | None]:
        """Return what can be read of a ledger that may be damaged, and what its pointer is known by.

        Raises:
            StorageError: The place cannot be read, so nothing is known about damage.
        """
        tag = self.tag()
        try:
            version = self._in_force()[0]
        except UnreadableLedgerError:
            return None, tag
        try:
            self._check_releases(version)
        except UnreadableLedgerError:
            version = replace(version, releases=None) if version is not None else None
        return version, tag

    def _current(self) -> tuple[LedgerVersion | None, Tag | None]:
        """Return the version in force, and what its pointer is known by."""
        version, tag = self._in_force()
        self._check_releases(version)
        return version, tag

    def _in_force(self) -> tuple[LedgerVersion | None, Tag | None]:
        """Return what `_current` does, without a look at what was released."""
        try:
            found = self.files.read_tagged_json(POINTER_NAME)
        except StorageError as error:
            raise self._damage(error) from None
        if found is None:
            # First versions without a pointer are of runs that were killed between the two.
            if later := [name for name in self.files.names("v*.parquet") if not name.startswith("v000001-")]:
                raise self._damaged(f"the pointer {POINTER_NAME} is missing beside {later[-1]}")
            return None, None
        pointer, tag = found
        self._check_format(pointer)
        try:
            path = self.files.verified(FileRef(pointer["file"], pointer["sha256"], {}))
            return self._version(pointer, path), tag
        except (LookupError, TypeError, ValueError):
            raise self._damaged(f"{POINTER_NAME} is not a pointer") from None
        except StorageError as error:
            raise self._damage(error) from None

    def _check_releases(self, version: LedgerVersion | None) -> None:
        if version is None or version.releases is None:
            return
        try:
            self.files.verified(version.releases)
        except StorageError as error:
            raise self._damage(error) from None

    def before(self, run_id: str) -> LedgerVersion | None:
        """Return the version that a run starts from, also when the run has settled once already."""
        return self._before(run_id, self.current())

    def _before(self, run_id: str, version: LedgerVersion | None) -> LedgerVersion | None:
        if version is None or version.run_id != run_id:
            return version
        return self._previous(version)

    def _previous(self, version: LedgerVersion) -> LedgerVersion | None:
        file = version.previous_file
        if version.previous is None or file is None:
            return None
        if not self.files.exists(file):
            raise self._damaged(f"{file}, on which this run builds, is missing")
        path = self.files.local(file)
        if not is_named_after(path, file):
            raise self._damaged(f"{file}, on which this run builds, is not what was written")
        return LedgerVersion(version.previous, None, None, "", version.url_base, {}, file, path)

    def check_url_base(self, url_base: str) -> None:
        """Refuse object URLs that begin otherwise than those already registered.

        Raises:
            ConfigError: Every object would be registered a second time under its new URL.
        """
        version = self.current()
        if version is not None and version.url_base != url_base:
            raise ConfigError(
                f"object URLs would begin with {url_base}, but this dataset holds objects registered under "
                f"{version.url_base}, and Encord would register all of them a second time.",
                where=self.files.address(),
                remedy="Restore bucket, endpoint, region, account and url_style, or give the integration a "
                "new name.",
            )

    def histories(self, run_id: str, items_path: Path, urls: Iterable[str]) -> dict[str, FailureHistory]:
        """Return the earlier failures of some objects, as known before this run.

        An object that has changed since, or was registered since, begins anew. If this run has settled
        already and another one after it, this run's own failures are among them.

        Args:
            run_id: The DAG run.
            items_path: Its `items.parquet`.
            urls: Object URLs in it; others have no history.
        """
        version = self.before(run_id)
        if version is None:
            return {}
        with sql_engine(self.files.scratch()) as engine:
            engine.execute("CREATE TEMP TABLE wanted AS SELECT unnest($1::VARCHAR[]) AS url", [list(urls)])
            sql.view_known(engine, version.path)
            view(engine, "items", items_path)
            rows = engine.execute(sql.HISTORIES).fetchall()
        return {url: FailureHistory(*history) for url, *history in rows}

    def states(self, keys: Iterable[str]) -> dict[str, LedgerState]:
        """Return the states of some objects, by their keys; objects that are not known have none."""
        version = self.current()
        if version is None:
            return {}
        with sql_engine(self.files.scratch()) as engine:
            engine.execute("CREATE TEMP TABLE wanted AS SELECT unnest($1::VARCHAR[]) AS key", [list(keys)])
            view(engine, "known", version.path)
            rows = engine.execute("SELECT key, state FROM known SEMI JOIN wanted USING (key)").fetchall()
        return {key: LedgerState(state) for key, state in rows}

    def commit(
        self,
        *,
        run_id: str,
        url_base: str,
        items_path: Path,
        manifests: Iterable[SettledManifest],
        failures: Iterable[SettledFailure],
        later: Sequence[Path] = (),
        left: Left | None = None,
        stopped: bool = False,
    ) -> LedgerVersion:
        """Write the next version from the one before this run, and make it the one in force.

        Commits of several runs, and releases, follow each other: each builds on what the one before has
        written.

        Args:
            run_id: The DAG run; a second commit of one run replaces the first.
            url_base: How this run's object URLs begin.
            items_path: Parquet with key, url, size_bytes, etag, last_modified, item_type, item_key, manifest.
            manifests: The manifests whose upload jobs have ended.
            failures: For each of their items that were not registered, the files at fault.
            later: More such files, of what was sent again: an item in one of them is no longer that of the
                files before it, and was tried once more.
            left: What has left the dataset before the manifests were sent.
            stopped: Whether the run stopped itself: it then does not count among the runs in which an
                object failed.
        """
        with self.files.locked(LOCK_NAME):
            return self._commit(
                run_id, url_base, [items_path, *later], manifests, failures, left=left, stopped=stopped
            )

    def _commit(
        self,
        run_id: str,
        url_base: str,
        items_paths: Sequence[Path],
        manifests: Iterable[SettledManifest],
        failures: Iterable[SettledFailure],
        *,
        left: Left | None,
        stopped: bool,
    ) -> LedgerVersion:
        version, seen = self._current()
        base, released = self._before(run_id, version), version.releases if version else None
        number = base.number + 1 if base else 1
        with self._new_version(number) as draft, sql_engine(self.files.scratch()) as engine:
            sql.load(engine, manifests, failures)
            engine.execute("SET VARIABLE run_counts = $1", [0 if stopped else 1])
            before = base.path if base else None
            released_path = self.files.verified(released) if released else None
            counts = sql.write_version(
                engine, before, items_paths, draft.path, released=released_path, left=left
            )
        return self._publish(
            {
                "number": number,
                "previous": base.number if base else None,
                "previous_file": base.file if base else None,
                "run_id": run_id,
                "url_base": url_base,
                "counts": counts,
            },
            draft.ref,
            released,
            seen,
        )

    def quarantined(self) -> Iterator[releases.QuarantinedObject]:
        """Yield the objects that are not sent until they change or are released, in the order of keys."""
        version = self.current()
        if version is None:
            return
        with sql_engine(self.files.scratch()) as engine:
            sql.view_known(engine, version.path)
            found = engine.execute(releases.QUARANTINED)
            while rows := found.fetchmany(ROWS_AT_ONCE):
                yield from (releases.QuarantinedObject(*row) for row in rows)

    def release(
        self,
        *,
        urls: Collection[str] = (),
        classes: Collection[str] = (),
        everything: bool = False,
        now: datetime | None = None,
    ) -> int:
        """Let quarantined objects be tried again by the next run; attempts and times stay as they are.

        Of a group all files are released with any of them. The version in force is replaced by one of the
        same number and run, so that the run finds what it began from also when it settles once more. A
        failure that is older than the release, of whatever run, quarantines nothing any more.

        Args:
            urls: The object URLs to release.
            classes: Release what failed for one of these classes.
            everything: Release all.
            now: The time of the release; failures after it count.

        Returns:
            How many objects were released.
        """
        # Jobs end at whole seconds: one that ends in this very second may have been sent after the release.
        now = (now or datetime.now(UTC)).replace(microsecond=0)
        wanted = {"urls": list(urls), "classes": list(classes), "everything": everything}
        with self.files.locked(LOCK_NAME):
            return self._release(wanted, now)

    def _release(self, wanted: Mapping[str, Any], now: datetime) -> int:
        version, seen = self._current()
        if version is None:
            return 0
        with sql_engine(self.files.scratch()) as engine:
            view(engine, "known", version.path)
            engine.execute(releases.CHOSEN, wanted)
            count = int(engine.execute("SELECT count(*) FROM chosen").fetchall()[0][0])
            if not count:
                return 0
            sql.load_releases(engine, self.files.verified(version.releases) if version.releases else None)
            with self.files.writing_by_content("released", ".parquet") as remembered:
                times = {"now": now, "oldest": now - releases.KEPT}
                engine.execute(f"CREATE TEMP TABLE remembered AS {releases.REMEMBERED}", times)
                copy(engine, "FROM remembered", remembered.path)
            with self._new_version(version.number) as draft:
                counts = sql.copy_version(engine, releases.RELEASED_VERSION, draft.path)
        pointer = self.files.read_json(POINTER_NAME)
        self._publish({**pointer, "counts": counts}, draft.ref, remembered.ref, seen)
        return count

    def mark_removed(self, left: Left) -> int:
        """Note that the items of registered objects have left the dataset.

        As with a release the version in force is replaced by one of the same number and run.

        Args:
            left: The objects.

        Returns:
            How many objects of the list are removed, now or before.
        """
        with self.files.locked(LOCK_NAME):
            version, seen = self._current()
            if version is None:
                return 0
            with (
                sql_engine(self.files.scratch()) as engine,
                self._new_version(version.number) as draft,
            ):
                sql.view_known(engine, version.path)
                sql.view_going(engine, left)
                counts = sql.copy_version(engine, sql.VERSION_WITH_REMOVED, draft.path)
                removed = int(engine.execute(sql.REMOVED_OF_LIST).fetchall()[0][0])
            pointer = {**self.files.read_json(POINTER_NAME), "counts": counts}
            self._publish(pointer, draft.ref, version.releases, seen)
            return removed

    def replace(
        self,
        *,
        number: int,
        run_id: str,
        url_base: str,
        releases: FileRef | None,
        seen: Tag | None,
        write: Callable[[Path], dict[str, int]],
    ) -> LedgerVersion:
        """Put a version in force that was not made from the one before. The caller holds the lock.

        Args:
            number: Its number.
            run_id: Who writes it.
            url_base: How its object URLs begin.
            releases: Which objects were released lately.
            seen: What the pointer is known by that this version takes the place of.
            write: Writes the Parquet file, and returns its objects by state.
        """
        with self._new_version(number) as draft:
            counts = write(draft.path)
        pointer = {
            "number": number,
            "previous": None,
            "previous_file": None,
            "run_id": run_id,
            "url_base": url_base,
            "counts": counts,
        }
        return self._publish(pointer, draft.ref, releases, seen)

    def _new_version(self, number: int) -> AbstractContextManager[Draft]:
        """Give a draft of a version. Its name comes from its content: a file in force is never touched."""
        return self.files.writing_by_content(f"v{number:06d}", ".parquet")

    def _publish(
        self, pointer: Mapping[str, Any], version: FileRef | None, released: FileRef | None, seen: Tag | None
    ) -> LedgerVersion:
        """Put the version that was written in force, if the one that it was made from still is."""
        assert version is not None  # noqa: S101 (it was written)
        pointer = {**pointer, "format": FORMAT, "file": version.path, "sha256": version.sha256}
        if released is not None:
            pointer["released"] = {"file": released.path, "sha256": released.sha256}
        if not self.files.swap_json(POINTER_NAME, pointer, seen):
            raise StorageError(
                "another task has written into this ledger meanwhile.",
                where=self.files.address(POINTER_NAME),
                remedy="It is tried again, on what that task has written.",
                transient=True,
            )
        needed = {pointer["file"], pointer["previous_file"], released.path if released else None}
        old = self.files.names("v*.parquet")[:-VERSIONS_KEPT] + self.files.names("released-*.parquet")
        for name in old:
            if name not in needed:
                self.files.remove(name)
        return self._version(pointer, self.files.local(version.path))

    def _version(self, pointer: Mapping[str, Any], path: Path) -> LedgerVersion:
        released = pointer.get("released")
        return LedgerVersion(
            number=pointer["number"],
            previous=pointer["previous"],
            previous_file=pointer["previous_file"] or None,
            run_id=pointer["run_id"],
            url_base=pointer["url_base"],
            counts=pointer["counts"],
            file=pointer["file"],
            path=path,
            releases=FileRef(released["file"], released["sha256"], {}) if released else None,
        )

    def _check_format(self, pointer: Any) -> None:
        if not isinstance(pointer, Mapping) or (number := pointer.get("format", 1)) in FORMATS_READ:
            return  # what is no pointer at all is found out by its reader
        raise UnreadableLedgerError(
            f"the ledger is of format {number!r}, and this release reads {min(FORMATS_READ)} to {FORMAT}.",
            where=self.files.address(POINTER_NAME),
            remedy=f"Install the release that wrote it, or write it anew from the dataset: {REBUILD}.",
        )

    def _damage(self, error: StorageError) -> StorageError:
        """Return what an error of the ledger's files means: one of access stays what it is."""
        if not isinstance(error, DamagedFileError):
            return error
        return self._damaged(f"{PurePath(error.where or '').name} {error.message.rstrip('.')}")

    def _damaged(self, what: str) -> UnreadableLedgerError:
        return UnreadableLedgerError(
            f"the ledger is damaged: {what}.",
            where=self.files.address(),
            remedy=f"Write it anew from the dataset: {REBUILD}. Or move this folder away; the next run sends "
            "all, and Encord skips what has not changed.",
        )
