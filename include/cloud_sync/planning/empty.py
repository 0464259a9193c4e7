"""What people are told of a listing of nothing: to list what is not there is no error to a store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from cloud_sync.integration import Storage


@dataclass(frozen=True, slots=True)
class NothingListed:
    """Where nothing was listed, and what to check. New integrations may be empty, so it fails no run."""

    why: str
    remedy: str

    @classmethod
    def under(cls, storage: Storage, prefix: str, *, access: str) -> Self:
        """Say it of one listing.

        Args:
            storage: Of the integration.
            prefix: What was listed.
            access: What lets into the bucket, for people to check: a connection, or options of a command.
        """
        bucket = f"{'container' if storage.provider == 'azure' else 'bucket'} {storage.bucket}"
        if not prefix:
            return cls(f"the {bucket} holds no objects.", f"Check its name, and {access}.")
        return cls(
            f"the {bucket} holds no objects whose keys begin with {prefix!r}.",
            "Check the prefix (case counts, and keys mostly begin without a slash), the bucket, and "
            f"{access}.",
        )
