"""How far a listing has come: durable after each full part, so that the next try of a task goes on there."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from cloud_sync.errors import StorageError
from cloud_sync.objects.parts import Part

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cloud_sync.run_folder import RunFolder


@dataclass(frozen=True, slots=True)
class Progress:
    """What earlier tries of a listing have done.

    Attributes:
        listed_at: When the first of them began.
        parts: The full files that they have left, each as it was written.
        requests: Pages asked of the store until the last of these files.
        resumed: How often a range was taken up again after the store failed.
        seconds: Wall time.
    """

    listed_at: datetime
    parts: tuple[Part, ...] = ()
    requests: int = 0
    resumed: int = 0
    seconds: float = 0.0


class ProgressFile:
    """Keeps the progress of one listing in the run folder.

    Args:
        folder: The run folder.
        name: The file.
        listing: What the listing is of, and which attempt it is. A progress of any other is none.
    """

    def __init__(self, folder: RunFolder, name: str, listing: Mapping[str, Any]) -> None:
        self._folder = folder
        self._name = name
        self._listing = dict(listing)

    def save(self, progress: Progress) -> None:
        """Keep the progress, durably."""
        content = asdict(progress) | {"listed_at": progress.listed_at.isoformat(), "listing": self._listing}
        self._folder.write_json(self._name, content)

    def forget(self) -> None:
        """Have the next try begin anew."""
        self._folder.remove(self._name)

    def load(self) -> Progress | None:
        """Return the progress up to the first file that is not as it was written; None if there is none."""
        if not self._folder.exists(self._name):
            return None
        try:
            content = self._folder.read_json(self._name)
            if content["listing"] != self._listing:
                return None
            parts = tuple(Part(**part) for part in content["parts"])
            whole = next(
                (n for n, part in enumerate(parts) if not self._folder.has(part.path, part.sha256)),
                len(parts),
            )
            return Progress(
                listed_at=datetime.fromisoformat(content["listed_at"]),
                parts=parts[:whole],
                requests=content["requests"],
                resumed=content["resumed"],
                seconds=content["seconds"],
            )
        except StorageError as error:
            if error.transient:
                raise
        except (KeyError, TypeError, ValueError):
            pass  # of another version of this program
        return None
