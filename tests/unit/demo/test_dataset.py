"""A dataset as the SDK tells it: single files by their own URL, groups by those of their files, in order."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from rich.console import Console

from demo.dataset import DatasetItem, dataset_table, read_items

BASE = "http://127.0.0.1:1/demo-media/incoming/"


@dataclass(frozen=True)
class Type:
    name: str


@dataclass
class Stored:
    """A storage item of the SDK."""

    uuid: str
    item_type: Type
    url: str | None
    client_metadata: dict[str, Any] | None = None
    files: list[str] = field(default_factory=list)

    def get_child_items(self) -> list[Stored]:
        return [Stored(f"child of {self.uuid}", Type("IMAGE"), url) for url in self.files]


@dataclass
class Row:
    title: str
    backing_item_uuid: str


@dataclass
class Client:
    """The SDK's client with one dataset."""

    rows: list[Row]
    items: list[Stored]

    def get_dataset(self, uuid: str) -> Client:
        assert uuid == "dataset-1"
        return self

    def list_data_rows(self) -> list[Row]:
        return self.rows

    def get_storage_items(self, uuids: list[str]) -> list[Stored]:
        assert len(set(uuids)) == len(uuids)
        return [item for item in self.items if item.uuid in uuids]


FRAMES = [BASE + "2.jpg", BASE + "10.jpg"]


@pytest.fixture
def client() -> Client:
    return Client(
        [Row("Frames", "b"), Row("note", "a"), Row("note", "a")],
        [
            Stored("b", Type("IMAGE_SEQUENCE"), "s3://made/video.mp4", {"weather": "snow"}, FRAMES),
            Stored("a", Type("PLAIN_TEXT"), BASE + "a%20note.html"),
        ],
    )


def test_items_with_their_files_in_order(client: Client) -> None:
    note = DatasetItem("a", "text", "note", (BASE + "a%20note.html",), {})
    frames = DatasetItem("b", "image_sequence", "Frames", tuple(FRAMES), {"weather": "snow"})
    found = read_items(client, "dataset-1")
    assert found == [frames, note, note]
    assert [one.keys for one in found][:2] == [
        ("incoming/2.jpg", "incoming/10.jpg"),
        ("incoming/a note.html",),
    ]


def test_an_empty_dataset_asks_for_nothing() -> None:
    assert read_items(Client([], []), "dataset-1") == []


def test_the_table_has_a_line_for_each_type_and_fits(client: Client) -> None:
    long = DatasetItem("c", "video", "v" * 300, (BASE + "v" * 300,), {"key": "x" * 300})
    short = DatasetItem("d", "video", "short", (BASE + "s.mp4",), {})
    console = Console(width=120)
    with console.capture() as capture:
        console.print(dataset_table("Now", [*read_items(client, "dataset-1"), long, short]))
    lines = capture.get().splitlines()
    assert max(map(len, lines)) <= 120
    cells = [[cell.strip() for cell in line.strip("│").split("│")] for line in lines if line.startswith("│")]
    assert ["image_sequence", "1", "2", "Frames", "2.jpg, 10.jpg", "weather: snow"] in cells
    assert [cell[:3] for cell in cells if cell[0]] == [
        ["image_sequence", "1", "2"],
        ["text", "2", "2"],
        ["video", "2", "2"],
    ]
