"""`python -m cloud_sync.cli`."""

from cloud_sync.cli.app import app

if __name__ == "__main__":
    app(prog_name="cloud-sync")
