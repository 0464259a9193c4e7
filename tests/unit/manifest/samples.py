"""What the tests of manifests share: the examples of the product document, readers, items to try."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from cloud_sync.errors import ManifestError
from cloud_sync.manifest.content import ReadManifest
from cloud_sync.manifest.items import Item, VideoMetadata
from cloud_sync.manifest.lint import lint
from cloud_sync.manifest.reader import read_manifest

EXAMPLES = Path(__file__).parent / "examples"
B = "https://b.s3.eu-central-1.amazonaws.com/"
SECRET_URLS = (
    "https://b/k?X-Amz-Signature=secret",
    "https://b/k#token=secret",
    "https://user:secret@b/k",
)
"""Of one object, with a secret where a URL can have one."""

VIDEO_METADATA = VideoMetadata(25.0, 10.5, 640, 480, 1000, "video/mp4")


def example(name: str, **options: Any) -> ReadManifest:
    """Read an example of the document."""
    return read_manifest(EXAMPLES / name, file=name, **options)


def read(text: str | bytes, **options: Any) -> ReadManifest:
    """Read a manifest of which only the content matters."""
    return read_manifest(text.encode() if isinstance(text, str) else text, file="m", **options)


def outcome(data: bytes, **options: Any) -> ReadManifest | ManifestError:
    """Read bytes of whatever kind; only the one error may come out."""
    try:
        return read(data, **options)
    except ManifestError as error:
        return error


def codes(manifest: ReadManifest, *, of: str = "error warning") -> list[str]:
    """Return the codes of all findings of the levels, in order."""
    return [finding.code for finding in lint(manifest) if finding.level in of.split()]


# Text that a manifest can hold: whole characters only.
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
urls = st.one_of(st.sampled_from([f"{B}a.mp4", f"{B}b,c.jpg", f"s3://b/ä;{chr(34)}x", "x"]), texts)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
metadata = st.none() | st.dictionaries(texts, json_values, max_size=3)
videos = st.builds(
    Item,
    st.just("video"),
    st.tuples(urls),
    st.none() | texts,
    metadata,
    st.none() | st.just(VIDEO_METADATA),
)
files = st.builds(
    Item, st.sampled_from(["image", "audio", "text"]), st.tuples(urls), st.none() | texts, metadata
)
groups = st.builds(
    Item,
    st.sampled_from(["image_group", "image_sequence", "dicom_series"]),
    st.lists(urls, min_size=1, max_size=12).map(tuple),
    texts,
    metadata,
)
sdk_only = st.builds(Item, st.sampled_from(["pdf", "nifti"]), st.tuples(urls), st.none() | texts, metadata)
raw_items = st.lists(st.one_of(videos, files, groups), max_size=6)
all_items = st.lists(st.one_of(videos, files, groups, sdk_only), max_size=6)
