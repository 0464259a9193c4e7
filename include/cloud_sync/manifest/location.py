"""Where manifests and failure lists may lie that a person names by path: in one folder, and nowhere else."""

from __future__ import annotations

import posixpath
from pathlib import Path

from cloud_sync.errors import ConfigError, ManifestError
from cloud_sync.run_folder import RunFolder
from cloud_sync.run_folder.files import DamagedFileError

MANIFEST, FAILURE_LIST = "manifest", "failure list"


def find_manifest(folder: RunFolder, name: str, *, what: str = MANIFEST) -> Path:
    """Return the file that a path names, with all symbolic links followed; of a bucket a copy.

    Nothing is said of what lies outside of the folder, not even whether it exists.

    Args:
        folder: The folder of manifests.
        name: A path in it, relative to it or absolute.
        what: What a person knows the file as.

    Raises:
        ConfigError: The folder does not exist.
        ManifestError: The path leads out of the folder, or to no file.
    """
    return _on_disk(folder.root, name, what) if folder.is_on_disk else _in_bucket(folder, name, what)


def _in_bucket(folder: RunFolder, name: str, what: str) -> Path:
    path = posixpath.normpath(name.removeprefix(f"{folder.address()}/"))
    if path.startswith(("/", "../")) or path in {".", ".."}:
        raise _leads_out(folder.address(), name, what)
    try:
        return folder.local(path)
    except DamagedFileError:
        raise _not_found(folder.address(), name, what) from None


def _on_disk(folder: Path, name: str, what: str) -> Path:
    if not folder.is_dir():
        raise ConfigError(
            "the folder of manifests does not exist.",
            where=str(folder),
            remedy="Create it, or correct the setting manifests_folder in the section cloud_sync"
            + (", or paste the manifest as text." if what == MANIFEST else "."),
        )
    root = folder.resolve()
    try:
        path = (root / name).resolve()
        is_file = path.is_relative_to(root) and path.is_file()
    except (OSError, RuntimeError, ValueError):  # a name too long, a circle of links, a NUL character
        raise _not_found(root, name, what) from None
    if not path.is_relative_to(root):
        raise _leads_out(root, name, what)
    if not is_file:
        raise _not_found(root, name, what)
    return path


def _leads_out(root: Path | str, name: str, what: str) -> ManifestError:
    return ManifestError(
        f"leads out of the folder of manifests, {root}.",
        where=_shown(name, what),
        remedy=f"Put the {what} into that folder and name its path there.",
    )


def _not_found(root: Path | str, name: str, what: str) -> ManifestError:
    return ManifestError(
        f"is no file in the folder of manifests, {root}.",
        where=_shown(name, what),
        remedy="Correct the path; it is relative to that folder.",
    )


def _shown(name: str, what: str) -> str:
    return f"{what} {name[:200]!r}"
