"""Files that commands write: whole or not at all, and never over another without --force."""

from __future__ import annotations

from pathlib import Path

from cloud_sync.errors import ConfigError, StorageError


def check_new(path: Path, *, force: bool | None) -> None:
    """Refuse a file that would be overwritten; `force` is None for a command that has no --force.

    A link is refused always: the new file would take its place, not that of the file that it names, and
    `/dev/stdout` is one.

    Raises:
        ConfigError: It exists and `force` is false, or it is no plain file.
    """
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise ConfigError("is no plain file.", where=str(path), remedy="Give the name of a file to write.")
    if path.is_file() and not force:
        other = "move it away" if force is None else "add --force to replace it"
        raise ConfigError("exists already.", where=str(path), remedy=f"Choose another name, or {other}.")


def write_whole(path: Path, data: bytes) -> None:
    """Write a file so that it appears whole or not at all.

    Raises:
        StorageError: It cannot be written.
    """
    from cloud_sync.run_folder import RunFolder

    try:
        RunFolder(path.parent).write(path.name, data)
    except StorageError as error:
        error.remedy = "Check the disk and the permissions of the folder."
        raise
