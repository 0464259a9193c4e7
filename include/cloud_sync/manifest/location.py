"""Where manifests may lie that a person names by path: in one folder, and nowhere else."""

from __future__ import annotations

from pathlib import Path

from cloud_sync.errors import ConfigError, ManifestError


def find_manifest(folder: Path, name: str) -> Path:
    """Return the file that a path names, with all symbolic links followed.

    Nothing is said of what lies outside of the folder, not even whether it exists.

    Args:
        folder: The folder of manifests.
        name: A path in it, relative to it or absolute.

    Raises:
        ConfigError: The folder does not exist.
        ManifestError: The path leads out of the folder, or to no file.
    """
    if not folder.is_dir():
        raise ConfigError(
            "the folder of manifests does not exist.",
            where=str(folder),
            remedy="Create it, correct the setting manifests_folder in the section cloud_sync, or paste the "
            "manifest as text.",
        )
    root = folder.resolve()
    try:
        path = (root / name).resolve()
        is_file = path.is_relative_to(root) and path.is_file()
    except (OSError, RuntimeError, ValueError):  # a name too long, a circle of links, a NUL character
        raise _not_found(root, name) from None
    if not path.is_relative_to(root):
        raise ManifestError(
            f"leads out of the folder of manifests, {root}.",
            where=_shown(name),
            remedy="Put the manifest into that folder and name its path there.",
        )
    if not is_file:
        raise _not_found(root, name)
    return path


def _not_found(root: Path, name: str) -> ManifestError:
    return ManifestError(
        f"is no file in the folder of manifests, {root}.",
        where=_shown(name),
        remedy="Correct the path; it is relative to that folder.",
    )


def _shown(name: str) -> str:
    return f"manifest {name[:200]!r}"
