"""A source-storage sync of Label Studio without its web server: Django, SQLite, the storage's own `sync`.

Run with the Python of an environment that has `label-studio`, and with nothing of this project:

    python label_studio_sync.py prepare <data folder>
    python label_studio_sync.py sync <data folder> <bucket>

`prepare` makes the database. `sync` makes a project with a storage of all objects of a bucket, if there is
none, runs the storage's sync, and prints as JSON how many tasks the project has, how many of them are new,
and how long the sync took. The store's address and login come by the environment (`S3_ENDPOINT`,
`AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`): a storage's own settings may not name loopback.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

LABEL_CONFIG = (
    '<View><Image name="image" value="$image"/>'
    '<Choices name="choice" toName="image"><Choice value="good"/></Choices></View>'
)
TITLE = "bench"
SWITCHED_OFF = ("COLLECT_ANALYTICS", "LATEST_VERSION_CHECK", "DEBUG")


def set_up(data: str) -> None:
    """Load Label Studio as its command does, with its data in a folder; nothing of it calls home."""
    os.environ |= {"LABEL_STUDIO_BASE_DATA_DIR": data, "DJANGO_DB": "sqlite", "LOG_LEVEL": "ERROR"}
    os.environ |= dict.fromkeys(SWITCHED_OFF, "false") | {"SENTRY_DSN": "", "FRONTEND_SENTRY_DSN": ""}
    from label_studio.server import _setup_env

    _setup_env()


def prepare() -> None:
    """Make the tables and a user with an organization."""
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    from organizations.models import Organization
    from users.models import User

    user = User.objects.create_user(email="bench@example.com", password="bench")  # noqa: S106
    user.active_organization = Organization.create_organization(created_by=user, title=TITLE)
    user.save()


def sync(bucket: str) -> dict[str, Any]:
    """Run the storage's sync in this process."""
    from io_storages.s3.models import S3ImportStorage
    from projects.models import Project
    from users.models import User

    user = User.objects.get()
    project, _ = Project.objects.get_or_create(
        title=TITLE,
        defaults={"organization": user.active_organization, "created_by": user, "label_config": LABEL_CONFIG},
    )
    storage, _ = S3ImportStorage.objects.get_or_create(
        project=project, bucket=bucket, defaults={"use_blob_urls": True, "recursive_scan": True}
    )
    started = time.perf_counter()
    storage.sync()
    seconds = time.perf_counter() - started
    storage.refresh_from_db()
    if storage.status != S3ImportStorage.Status.COMPLETED:
        sys.exit(f"the sync ended as {storage.status}: {storage.traceback}")
    return {"tasks": project.tasks.count(), "created": storage.last_sync_count, "seconds": seconds}


def main(command: str, data: str, bucket: str = "") -> None:
    """Run a command."""
    set_up(str(Path(data).resolve()))
    if command == "prepare":
        prepare()
    else:
        print(json.dumps(sync(bucket)))


if __name__ == "__main__":
    main(*sys.argv[1:])
