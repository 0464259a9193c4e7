"""What a good integration file says and probably does not mean: told when it is checked, never refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from cloud_sync.integration.model import Integration
from cloud_sync.integration.prefixes import doubts_of
from cloud_sync.integration.storage import Storage
from cloud_sync.yaml_file import read_yaml


def doubts_about(path: Path, integration: Integration) -> list[str]:
    """Return what may be wrong with a file that was read, each with file, line and field.

    Args:
        path: The file.
        integration: What it says.
    """
    file = read_yaml(path)
    return [
        "{}, line {}, {}: {}".format(path, *file.place(("storage", field)), text)
        for field, text in _about_storage(integration.storage)
    ]


def _about_storage(storage: Storage) -> Iterator[tuple[str, str]]:
    if "." in storage.bucket and storage.url_style == "virtual-hosted":
        yield (
            "bucket",
            f"{storage.bucket} has dots, so the certificate of its https URLs does not fit its host name. "
            "If that matters to Encord or to the store, write url_style: path.",
        )
    for doubt in doubts_of(storage.prefix):
        yield "prefix", f"{storage.prefix!r} {doubt}. Correct it unless it is meant so."
