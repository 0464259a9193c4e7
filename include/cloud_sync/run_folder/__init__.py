"""The run folder: the files of one DAG run, on a disk or in a bucket."""

from cloud_sync.run_folder.folder import RunFolder
from cloud_sync.run_folder.refs import FileRef, discard, safe_name, sha256_of

__all__ = ["FileRef", "RunFolder", "discard", "safe_name", "sha256_of"]
