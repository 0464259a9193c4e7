"""The command line `cloud-sync`.

Commands are thin: they read options, call the rooms that the pipelines use, and show what comes back. Heavy
packages are imported inside the commands, so that `cloud-sync --help` answers at once.
"""

from cloud_sync.cli.app import app

__all__ = ["app"]
