"""What manifests cost: writing a large set, reading and linting a large one, and making one of a bucket.

    python -m benchmarks.bench_manifest [--items 1000000] [--read 500000] [--objects 100000]

Reading is compared with a pydantic model per item that checks the same, fed by pydantic's own JSON parser.
Making a manifest of a bucket is compared with the script in the product document, against a server that
replays pages from memory.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.measure import Measurement, measure, table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cloud_sync.manifest.items import Item

THIS = "benchmarks.bench_manifest"
BASE = "https://bench.s3.eu-central-1.amazonaws.com/"
BUCKET = "bench"
FOLDER = "raw/camera-00/2026-11-01"
ITEMS_PER_MANIFEST = 5_000
OURS = "ours"
MODELS = "a pydantic model per item, the same checks"
MODELS_WITH_SHORTCUTS = "the same, with our shortcuts in its validators"
PYDANTIC = "pydantic's JSON parser, fewer checks"
IMAGES_IN_A_GROUP = 4
SCRIPT = "the document's script"


def some_items(count: int, *, metadata: bool = False) -> Iterator[Item]:
    """Yield videos with a title, images without one, and a group of four images now and then."""
    from cloud_sync.manifest.items import Item

    for number in range(count):
        stem = f"{BASE}raw/camera-{number % 10:02d}/2026-11-{number % 28 + 1:02d}/frame_{number:09d}"
        data = (
            {"camera": f"camera-{number % 10:02d}", "weather": "rain", "take": number} if metadata else None
        )
        if number % 100 == 0:
            urls = tuple([f"{stem}_{part}.jpg" for part in range(IMAGES_IN_A_GROUP)])
            yield Item("image_sequence", urls, f"sequence {number}", data)
        elif number % 2:
            yield Item("video", (f"{stem}.mp4",), f"Video {number}", data)
        else:
            yield Item("image", (f"{stem}.jpg",), None, data)


def write_set(folder: str, items: int) -> int:
    """Write a set of manifests, as the build stage does, and return how many items are in it."""
    from itertools import islice

    from cloud_sync.manifest.json_format import encode_manifest
    from cloud_sync.run_folder import RunFolder

    run = RunFolder(folder)
    rest = some_items(items)
    written = number = 0
    while chunk := list(islice(rest, ITEMS_PER_MANIFEST)):
        run.write(f"manifests/{number:04d}.json", encode_manifest(chunk, skip_duplicate_urls=True))
        written += len(chunk)
        number += 1
    return written


def only_make_items(items: int) -> int:
    """Make the items of `write_set` and drop them: what the writing is measured above."""
    return sum(1 for _ in some_items(items))


def write_one(path: str, items: int, metadata: bool) -> int:
    """Write one manifest of many items."""
    from cloud_sync.manifest.json_format import encode_manifest

    return Path(path).write_bytes(
        encode_manifest(some_items(items, metadata=metadata), skip_duplicate_urls=True)
    )


def read_with_ours(path: str) -> int:
    """Read and lint a manifest."""
    from cloud_sync.manifest.lint import lint
    from cloud_sync.manifest.reader import read_manifest

    manifest = read_manifest(Path(path), file="bench")
    found = {finding.code for finding in lint(manifest)}
    assert found <= {"many-items", "metadata-jsonb"}, found
    return len(manifest.items)


def read_with_models(path: str, shortcuts: bool) -> int:
    """Read and check a manifest with a model for each item, as the reader here does: repeated keys included.

    Pydantic cannot see keys that stand twice, so the text is parsed with a hook, and the models are given
    dicts. Their validators call the same checks of URLs and extensions as the lint; with shortcuts also what
    makes these cheap where there is nothing to find, as nobody writes who starts from models.
    """
    import json

    FileEntry, GroupEntry = _models(shortcuts=shortcuts)  # noqa: N806 - they are classes

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        assert len(found) == len(pairs)
        return found

    content = json.loads(Path(path).read_bytes(), object_pairs_hook=once)
    files = [
        FileEntry.model_validate(entry, context=key)
        for key in ("videos", "images")
        for entry in content.get(key, [])
    ]
    groups = [GroupEntry.model_validate(entry, context="image_groups") for entry in content["image_groups"]]
    assert len({entry.objectUrl for entry in files}) == len(files)
    return len(files) + len(groups)


def read_with_pydantic_json(path: str) -> int:
    """Read a manifest with pydantic's own parser and the checks that it makes without calling Python.

    Types, lengths, the form of URLs, duplicates; neither repeated keys nor extensions.
    """
    from pydantic import BaseModel, ConfigDict

    FileEntry, GroupEntry = _models(in_python=False)  # noqa: N806 - they are classes

    class Manifest(BaseModel):
        model_config = ConfigDict(extra="forbid")
        videos: list[FileEntry] = []
        images: list[FileEntry] = []
        image_groups: list[GroupEntry] = []
        skip_duplicate_urls: bool = False

    Manifest.model_rebuild(_types_namespace={"FileEntry": FileEntry, "GroupEntry": GroupEntry})
    manifest = Manifest.model_validate_json(Path(path).read_bytes())
    files = [*manifest.videos, *manifest.images]
    assert len({entry.objectUrl for entry in files}) == len(files)
    return len(files) + len(manifest.image_groups)


def _models(*, in_python: bool = True, shortcuts: bool = True) -> tuple[Any, Any]:
    """Return models of an entry of one file and of a group."""
    from typing import Annotated

    import msgspec
    from pydantic import AfterValidator, ConfigDict, StringConstraints, ValidationInfo, create_model

    from cloud_sync.encord_limits import MAX_CLIENT_METADATA_BYTES
    from cloud_sync.manifest.json_entries import TYPE_OF_KEY
    from cloud_sync.manifest.lint import TYPES_OF_EXTENSION, extension_of
    from cloud_sync.manifest.lint_urls import USUAL_FORM, url_faults

    def good(url: str, info: ValidationInfo) -> str:
        is_usual = shortcuts and USUAL_FORM.fullmatch(url)
        assert is_usual or not url_faults(url, has_video_metadata=False)
        item_type = TYPE_OF_KEY[info.context]
        assert item_type in TYPES_OF_EXTENSION.get(extension_of(url), (item_type,))
        return url

    def no_blank(title: str) -> str:
        assert not title.isspace()
        return title

    def fits(metadata: dict[str, Any]) -> dict[str, Any]:
        encoded = msgspec.json.encode(metadata)
        assert len(encoded) <= MAX_CLIENT_METADATA_BYTES
        assert b"\\u0000" not in encoded
        return metadata

    form = r"^(https?|s3|gs)://[^/\s]+/[^\s?#]+$"
    in_rust = Annotated[str, StringConstraints(max_length=16384, pattern=form)]
    url = Annotated[str, AfterValidator(good)] if in_python else in_rust
    title: Any = Annotated[str, StringConstraints(min_length=1, max_length=300)]
    metadata: Any = dict[str, Any]
    if in_python:
        title, metadata = (
            Annotated[title, AfterValidator(no_blank)],
            Annotated[metadata, AfterValidator(fits)],
        )
    fields: dict[str, Any] = {"title": (title | None, None), "clientMetadata": (metadata | None, None)}
    file_entry = create_model(
        "FileEntry", __config__=ConfigDict(extra="forbid"), objectUrl=(url, ...), **fields
    )
    numbered: dict[str, Any] = {f"objectUrl_{n}": (url, ...) for n in range(IMAGES_IN_A_GROUP)}
    group_entry = create_model(
        "GroupEntry", __config__=ConfigDict(extra="forbid"), createVideo=(bool, ...), **fields, **numbered
    )
    return file_entry, group_entry


def with_script(endpoint_url: str, path: str) -> int:
    """Do what the script in the product document does: list all, keep one folder, dump with an indent."""
    import json

    import boto3

    s3 = boto3.resource(
        "s3",
        endpoint_url=endpoint_url,
        region_name="eu-central-1",
        aws_access_key_id="bench",
        aws_secret_access_key="bench",  # noqa: S106
    )
    images = []
    for summary in s3.Bucket(BUCKET).objects.all():
        split_key = summary.key.split("/")
        if len(split_key) >= 2 and "/".join(split_key[0:-1]) == FOLDER:
            images.append({"objectUrl": f"{endpoint_url}/{BUCKET}/{summary.key}"})
    with Path(path).open("w") as output:
        json.dump({"images": images}, output, indent=4)
    return len(images)


def with_ours(endpoint_url: str, path: str, prefix: str) -> int:
    """List a prefix and write its objects as a manifest."""
    import pyarrow.parquet as pq

    from cloud_sync.manifest.items import Item
    from cloud_sync.manifest.json_format import encode_manifest
    from cloud_sync.objects.listing import list_objects
    from cloud_sync.objects.model import read_listing
    from cloud_sync.objects.stores import open_s3
    from cloud_sync.objects.urls import ObjectUrls, UrlStyle
    from cloud_sync.run_folder import RunFolder

    with tempfile.TemporaryDirectory() as root:
        run = RunFolder(root)
        store = open_s3(BUCKET, endpoint_url=endpoint_url, access_key_id="bench", secret_access_key="bench")  # noqa: S106
        parts = read_listing(run, list_objects(store, prefix, run).index).parts
        keys = [key for part in parts for key in pq.read_table(part, columns=["key"])["key"].to_pylist()]
    urls = ObjectUrls("s3", BUCKET, UrlStyle.PATH, endpoint_url=endpoint_url).build_many(keys)
    data = encode_manifest([Item("image", (url,)) for url in urls], skip_duplicate_urls=True)
    Path(path).write_bytes(data)
    return len(keys)


def measure_writing(scratch: Path, items: int) -> None:
    """Print items a second and peak memory of writing."""
    made = measure("making the items only", f"{THIS}:only_make_items", items=items)
    wrote = measure("writing them too", f"{THIS}:write_set", folder=f"{scratch}/set", items=items)
    assert made.result == wrote.result == items
    print(table([made, wrote], base=made.name))
    print(
        f"\n{items / (wrote.cpu_s - made.cpu_s):,.0f} items a CPU second, {items / wrote.cpu_s:,.0f} with "
        "start and making of the items. Targets: 400,000 items a second, 200 MB."
    )


def measure_reading(scratch: Path, items: int, *, metadata: bool) -> None:
    """Compare reading and linting one manifest."""
    path = f"{scratch}/one.json"
    size = measure("-", f"{THIS}:write_one", path=path, items=items, metadata=metadata).result
    # The cheaper of three runs each: a machine that others use too only ever makes a run dearer.
    measured = [
        min((measure(name, f"{THIS}:{case}", path=path, **how) for _ in range(3)), key=lambda run: run.cpu_s)
        for name, case, how in (
            (MODELS, "read_with_models", {"shortcuts": False}),
            (MODELS_WITH_SHORTCUTS, "read_with_models", {"shortcuts": True}),
            (PYDANTIC, "read_with_pydantic_json", {}),
            (OURS, "read_with_ours", {}),
        )
    ]
    assert {each.result for each in measured} == {items}
    kind = "with clientMetadata" if metadata else "without clientMetadata"
    print(f"\n{items:,} items {kind}, {size / 1e6:.0f} MB:\n")
    print(table(measured, base=MODELS))
    print("\nTargets: 5 times as fast, 400 MB.")


def measure_bucket(scratch: Path, objects: int) -> None:
    """Compare making a manifest of one folder, and of the whole bucket, with the document's script."""
    from benchmarks.listing_responder import running_responder

    with running_responder(objects) as url:
        measured: list[Measurement] = [
            measure(SCRIPT, f"{THIS}:with_script", endpoint_url=url, path=f"{scratch}/script.json"),
            measure(
                "ours, the same folder",
                f"{THIS}:with_ours",
                endpoint_url=url,
                path=f"{scratch}/folder.json",
                prefix=f"{FOLDER}/",
            ),
            measure(
                "ours, the whole bucket",
                f"{THIS}:with_ours",
                endpoint_url=url,
                path=f"{scratch}/bucket.json",
                prefix="",
            ),
        ]
    assert measured[0].result == measured[1].result
    assert measured[2].result == objects
    print(f"\n{objects:,} objects in the bucket, {measured[0].result:,} in the folder:\n")
    print(table(measured, base=SCRIPT))


def main() -> None:
    """Read the command line, measure, print Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--items", type=int, default=1_000_000, help="in the set that is written")
    parser.add_argument("--read", type=int, default=500_000, help="in the manifest that is read")
    parser.add_argument("--objects", type=int, default=100_000, help="in the bucket")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-manifest-") as scratch:
        measure_writing(Path(scratch), options.items)
        for metadata in (False, True):
            measure_reading(Path(scratch), options.read, metadata=metadata)
        measure_bucket(Path(scratch), options.objects)


if __name__ == "__main__":
    main()
