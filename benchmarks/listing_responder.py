"""A store that only lists: pages cut from memory, faster than every client.

    python -m benchmarks.listing_responder --api s3 --objects 1000000 --delay-ms 80

Gives the pages of S3 (`s3_pages.py` beside this), Google Cloud Storage (`gcs_pages.py`) or Azure
(`azure_pages.py`), with prefixes, the delimiter `/` and what continues a listing. Signatures are not looked
at. With a delay every page takes that long, as from a real store.
"""

from __future__ import annotations

import argparse
import importlib
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl, urlsplit

from benchmarks.responder import running, serve, target_of, whole

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from benchmarks.listing_pages import Pages
    from benchmarks.responder import Parts

FOLDERS_PER_CAMERA: Final = 20
CAMERAS: Final = 10
APIS: Final = ("s3", "gcs", "azure")


def camera_keys(count: int, *, flat: bool = False, in_each: int | None = None) -> list[str]:
    """Return keys in listing order: 10 cameras x 20 days, all in one folder, or so many in each folder."""
    if in_each is not None:
        return [f"raw/scene_{number // in_each:09d}/{number % in_each:05d}.jpg" for number in range(count)]
    if flat:
        return [f"raw/frame_{number:09d}.jpg" for number in range(count)]
    folders = [
        f"raw/camera-{camera:02d}/2026-11-{day + 1:02d}/"
        for camera in range(CAMERAS)
        for day in range(FOLDERS_PER_CAMERA)
    ]
    bounds = [count * number // len(folders) for number in range(len(folders) + 1)]
    return [
        f"{folder}frame_{number:09d}.jpg"
        for folder, (first, last) in zip(folders, pairwise(bounds), strict=True)
        for number in range(first, last)
    ]


def answer(pages: Pages, request: bytes) -> Parts:
    """Return the answer to one request: a page; or, if it is only asked what there is, the bucket alone."""
    target = urlsplit(target_of(request))
    if request.startswith(b"HEAD "):
        is_bucket = "/" not in target.path.strip("/")
        return whole(status="200 OK" if is_bucket else "404 Not Found")
    return whole(*pages.page(dict(parse_qsl(target.query))), kind=pages.kind)


def running_responder(
    objects: int,
    *,
    api: str = "s3",
    delay_ms: float = 0,
    checksums: bool = False,
    in_each: int | None = None,
) -> AbstractContextManager[str]:
    """Run the server in a process of its own, and yield its address."""
    arguments: list[object] = ["--api", api, "--objects", objects, "--delay-ms", delay_ms]
    arguments += ["--checksums"] if checksums else []
    arguments += ["--in-each", in_each] if in_each else []
    return running("benchmarks.listing_responder", *arguments)


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one and prints it")
    parser.add_argument("--api", choices=APIS, default="s3", help="whose pages to give")
    parser.add_argument("--objects", type=int, default=1_000_000)
    parser.add_argument("--delay-ms", type=float, default=0)
    parser.add_argument("--flat", action="store_true", help="all keys in one folder")
    parser.add_argument("--in-each", type=int, help="so many keys in each folder, for very many folders")
    parser.add_argument("--checksums", action="store_true", help="objects with checksums (S3)")
    options = parser.parse_args()
    keys = camera_keys(options.objects, flat=options.flat, in_each=options.in_each)
    module = importlib.import_module(f"benchmarks.{options.api}_pages")
    pages = module.pages_of(keys, checksums=options.checksums)
    serve(options.port, partial(answer, pages), options.delay_ms)


if __name__ == "__main__":
    main()
