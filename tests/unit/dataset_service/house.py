"""A whole service but for its HTTP: a database, a store in memory and workers that come and go."""

from __future__ import annotations

import threading
import uuid
from pathlib import Path

from sqlalchemy import select

from cloud_sync.dataset_service.config import Limits
from cloud_sync.dataset_service.database import Database
from cloud_sync.dataset_service.datasets import create_dataset
from cloud_sync.dataset_service.folders import child_items, list_items
from cloud_sync.dataset_service.jobs import job_state, start_job
from cloud_sync.dataset_service.tables import DataRow, Item
from cloud_sync.dataset_service.wire import CreateDataset, ItemAnswer, ItemFilter, StartJob
from cloud_sync.dataset_service.worker import Worker

from .memory import INTEGRATION, JPEG, MemoryReader

USER = "engineer@example.com"
LIMITS = Limits()


def images(*urls: str, **flags) -> dict:
    return {"images": [{"objectUrl": url} for url in urls], **flags}


def group(title: str, *urls: str, **fields) -> dict:
    return {
        "title": title,
        "createVideo": False,
        **{f"objectUrl_{n}": u for n, u in enumerate(urls)},
        **fields,
    }


class House:
    """A database with one dataset, a store, and workers that come and go."""

    def __init__(self, folder: Path, database_url: str = "sqlite:///service.sqlite") -> None:
        self.database = Database.open(database_url, folder)
        self.store = MemoryReader({f"s3://b/{n}.jpg": JPEG for n in range(300)})
        with self.database.writing() as session:
            made = create_dataset(session, USER, CreateDataset(title="d", create_backing_folder=True))
        self.dataset, self.folder = made.dataset_uuid, made.backing_folder_uuid
        self.ended = threading.Semaphore(0)
        self.worker: Worker | None = None

    def work(self, threads: int = 4) -> None:
        self.worker = Worker(
            self.database, {INTEGRATION: self.store}, LIMITS, threads, lambda _: self.ended.release()
        )
        self.worker.start()

    def submit(self, content: dict | None, **settings) -> uuid.UUID:
        asked = StartJob(external_files=content, integration_hash=INTEGRATION, **settings)
        with self.database.writing() as session:
            job = start_job(session, USER, self.folder, asked, limits=LIMITS, integrations=[INTEGRATION])
        if self.worker:
            self.worker.wake()
        return job

    def state(self, job: uuid.UUID):
        with self.database.reading() as session:
            return job_state(session, USER, job, self.folder)

    def run(self, content: dict | None, **settings):
        job = self.submit(content, **settings)
        self.wait()
        return self.state(job)

    def wait(self) -> None:
        assert self.ended.acquire(timeout=20)

    def urls(self) -> list[str]:
        with self.database.reading() as session:
            return sorted(session.scalars(select(Item.url).where(Item.parent_item_uuid.is_(None))))

    def items(self) -> list[ItemAnswer]:
        """The items of the folder, by name."""
        with self.database.reading() as session:
            return list_items(session, USER, self.folder, ItemFilter(page_size=1000)).results

    def children(self, item: ItemAnswer) -> list[ItemAnswer]:
        with self.database.reading() as session:
            return child_items(session, USER, self.folder, item.uuid).results

    def linked(self) -> int:
        with self.database.reading() as session:
            return len(session.scalars(select(DataRow.id).where(DataRow.dataset_uuid == self.dataset)).all())
