"""`python -m cloud_sync.dataset_service`."""

from cloud_sync.dataset_service.cli import app

if __name__ == "__main__":
    app(prog_name="python -m cloud_sync.dataset_service")
