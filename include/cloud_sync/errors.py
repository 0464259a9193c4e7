"""The errors of the project: what went wrong, where, what to do, and whether trying again can help."""

from __future__ import annotations

import errno
from typing import Final, Self

WRONG_FILE: Final = frozenset(
    {
        errno.ENOENT,
        errno.EACCES,
        errno.EPERM,
        errno.EISDIR,
        errno.ENOTDIR,
        errno.ELOOP,
        errno.ENAMETOOLONG,
        errno.EINVAL,
        errno.ENXIO,
    }
)
"""What a system says of a file that a person has to change, its name or its permissions included."""


class CloudSyncError(Exception):
    """An error that a person can act on.

    Args:
        message: What went wrong, in one sentence, without secrets or URLs that carry a query.
        where: The place: a file with its line, a bucket, a connection, a dataset.
        remedy: What to do about it, in the imperative.
        transient: True if the same call may succeed later; False if a person must change something.
        retry_after_s: Seconds that the remote side asked to be left alone, if it did.
    """

    def __init__(
        self,
        message: str,
        *,
        where: str | None = None,
        remedy: str | None = None,
        transient: bool = False,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.remedy = remedy
        self.transient = transient
        self.retry_after_s = retry_after_s

    def __str__(self) -> str:
        """One line: place, message, remedy."""
        text = f"{self.where}: {self.message}" if self.where else self.message
        return f"{text} {self.remedy}" if self.remedy else text


class ConfigError(CloudSyncError):
    """An integration file, connection or setting is wrong."""


class FormError(CloudSyncError):
    """What a person gave in a form is wrong: a field, or the manifest or failure list that it names.

    Whoever filled it in sees the run fail, so nobody else is told.
    """


class ManifestError(CloudSyncError):
    """A manifest cannot be read or written."""

    @classmethod
    def unreadable(cls, error: OSError, file: str) -> Self:
        """Return the error about a file that was given and cannot be read.

        Args:
            error: What the system said. If it is not about the file, but about the disk or share that it lies
                on, trying again can help.
            file: What to call the file.
        """
        is_wrong = error.errno in WRONG_FILE
        return cls(
            f"cannot be read: {error.strerror}.",
            where=file,
            remedy="Check that it is a file and its permissions."
            if is_wrong
            else "It is tried again; if it stays so, check the disk or share that it lies on.",
            transient=not is_wrong,
        )


class StorageError(CloudSyncError):
    """Object storage or the run folder refused or failed."""


class EncordError(CloudSyncError):
    """Encord refused or failed."""
