"""Lint: everything that can be said about a manifest from its own content.

Most manifests have no fault, so an overview asks about many items at once, in C; single items are looked at
only where its answer is not clear.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, groupby
from operator import attrgetter
from typing import Any, Final

import msgspec

from cloud_sync.encord_limits import (
    ITEMS_AT_ONE_TIME,
    MAX_CLIENT_METADATA_BYTES,
    MAX_ITEMS,
    MAX_TITLE_CHARACTERS,
    MAX_URL_BYTES,
    MAX_URLS,
)
from cloud_sync.manifest.content import ReadManifest
from cloud_sync.manifest.findings import Finding, Findings, in_file_order
from cloud_sync.manifest.items import GROUPED_TYPES, Item, ItemType, VideoMetadata
from cloud_sync.manifest.lint_urls import (
    SHOWN_CHARACTERS,
    USUAL_FORM,
    are_usual,
    file_name,
    url_faults,
)
from cloud_sync.safe_url import without_secrets

TYPES_OF_EXTENSION: Final[dict[str, frozenset[str]]] = {
    extension: frozenset(types)
    for types, extensions in (
        (("video",), "mp4 mov m4v webm mkv avi mpg mpeg wmv"),
        (("image", "image_group", "image_sequence"), "jpg jpeg png webp avif bmp tif tiff gif heic"),
        (("dicom_series",), "dcm dicom"),
        (("audio",), "mp3 wav flac m4a aac ogg"),
        (("text",), "txt html htm xml json md csv"),
        (("pdf",), "pdf"),
        (("nifti",), "nii"),
    )
    for extension in extensions.split()
}
"""Which item types the files of an extension can be of; other extensions say nothing."""

ENDING_CHARACTERS: Final = 6
"""Enough for each of these extensions with its dot, and few enough that most files end alike."""

AT_ONCE: Final = 4_000
"""Items looked at together: as many as the processor's cache holds."""

NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
LARGEST_FPS: Final = 10_000


def lint(manifest: ReadManifest) -> tuple[Finding, ...]:
    """Return all findings, those of reading too, in the order of the file."""
    overview = _overview(manifest.items)
    checks = _Lint(manifest, Findings())
    checks.manifest_as_a_whole(overview.urls)
    if not overview.are_usual:
        checks.forms()
    if not all(_is_clear(item_type, ending) for item_type, ending in overview.endings):
        checks.extensions()
    if not overview.have_files:
        checks.empty_groups()
    if len(overview.distinct_urls) < overview.urls:
        checks.files_twice()
        checks.duplicates()
    if not overview.have_good_titles:
        checks.titles()
    if overview.longest_url > MAX_TITLE_CHARACTERS:
        checks.file_names()
    if not overview.have_good_metadata:
        checks.metadata()
    if overview.have_client_metadata:
        checks.mention_jsonb()
    return in_file_order(manifest.findings + checks.findings.all())


@dataclass(slots=True)
class _Overview:
    """What can be told of all items at once.

    Attributes:
        urls: How many object URLs there are.
        distinct_urls: The different ones.
        longest_url: How many characters the longest has.
        are_usual: Whether the form of each is usual, so that there is nothing to say about it.
        endings: How the files of each type end.
        have_files: Whether each item has a file.
        have_good_titles: Whether there is nothing to say about any title.
        have_client_metadata: Whether any item has clientMetadata.
        have_good_metadata: Whether there is nothing to say about the metadata of any single item.
    """

    urls: int = 0
    distinct_urls: set[str] = field(default_factory=set)
    longest_url: int = 0
    are_usual: bool = True
    endings: set[tuple[ItemType, str]] = field(default_factory=set)
    have_files: bool = True
    have_good_titles: bool = True
    have_client_metadata: bool = False
    have_good_metadata: bool = True

    def add(self, item_type: ItemType, items: Sequence[Item]) -> None:
        """Take some items of one type."""
        files = [item.object_urls for item in items]
        urls = list(chain.from_iterable(files))
        self.urls += len(urls)
        self.distinct_urls.update(urls)
        self.longest_url = max(self.longest_url, *map(len, urls), 0)
        self.are_usual = self.are_usual and are_usual(urls)
        self.endings |= {(item_type, ending) for ending in {url[-ENDING_CHARACTERS:] for url in urls}}
        self.have_files = self.have_files and all(files)
        self.have_good_titles = self.have_good_titles and _are_good(
            [item.title for item in items], may_be_absent=item_type not in GROUPED_TYPES
        )
        client_metadata = [item.client_metadata for item in items if item.client_metadata is not None]
        if client_metadata:
            self.have_client_metadata = True
            self.have_good_metadata = self.have_good_metadata and _are_small(client_metadata)
        if any(item.video_metadata is not None for item in items):
            self.have_good_metadata = False


def _overview(items: Sequence[Item]) -> _Overview:
    overview = _Overview()
    for start in range(0, len(items), AT_ONCE):
        for item_type, some in groupby(items[start : start + AT_ONCE], key=attrgetter("item_type")):
            overview.add(item_type, list(some))
    return overview


def _are_small(client_metadata: Sequence[Mapping[str, Any]]) -> bool:
    """Tell whether all together are as small as each may be, so that each is, and hold no NUL character."""
    try:
        encoded = msgspec.json.encode(client_metadata)
    except RecursionError:
        return False
    return len(encoded) <= MAX_CLIENT_METADATA_BYTES and b"\\u0000" not in encoded


def _are_good(titles: Sequence[str | None], *, may_be_absent: bool) -> bool:
    given = [title for title in titles if title is not None]
    return (
        (may_be_absent or len(given) == len(titles))
        and all(given)
        and max(map(len, given), default=0) <= MAX_TITLE_CHARACTERS
        and not any(map(str.isspace, given))
    )


def _is_clear(item_type: ItemType, ending: str) -> bool:
    """Tell whether the end of a file's name is enough to see that its type fits."""
    return "." in ending and not ending.endswith("gz") and _fits(item_type, ending)


@dataclass(frozen=True, slots=True)
class _Lint:
    """The checks of one manifest.

    Attributes:
        manifest: The manifest.
        findings: What was found so far.
    """

    manifest: ReadManifest
    findings: Findings

    @property
    def items(self) -> Sequence[Item]:
        return self.manifest.items

    def _add(self, code: str, item: int, message: str, remedy: str) -> None:
        place = self.manifest.place_of(item) if self.findings.wants(code) else ""
        self.findings.add(code, place, message, remedy)

    def manifest_as_a_whole(self, urls: int) -> None:
        """Check counts and flags."""
        items = len(self.items)
        add = self.findings.add
        if not items and not self.manifest.unread:
            add("empty-manifest", "", "holds no items.", "Add some, or do not submit it.")
        if items > MAX_ITEMS:
            add("too-many-items", "", f"holds {items:,} items; Encord takes {MAX_ITEMS:,}.", "Split it.")
        elif items > ITEMS_AT_ONE_TIME:
            limit = f"{ITEMS_AT_ONE_TIME:,} at one time"
            add("many-items", "", f"holds {items:,} items; Encord works on {limit}.", "Split it.")
        if urls > MAX_URLS:
            add("too-many-urls", "", f"holds {urls:,} URLs; Encord takes {MAX_URLS:,}.", "Split it.")
        # What is said of a flag that cannot be read is said already.
        skips = self.manifest.skip_duplicate_urls or "skip_duplicate_urls" in self.manifest.unread_flags
        if self.manifest.skip_duplicate_urls is None and not skips:
            add(
                "skip-duplicates-unset",
                "",
                "does not state skip_duplicate_urls: sent twice, it registers everything twice.",
                "State it." if self.manifest.format == "json" else "Write JSON to state it.",
            )
        if self.manifest.upsert_metadata and not skips:
            add(
                "upsert-without-skip", "", "states upsert_metadata alone.", "State skip_duplicate_urls: true."
            )

    def forms(self) -> None:
        """Check the form of every URL."""
        usual = USUAL_FORM.fullmatch
        for position, item in enumerate(self.items):
            for file, url in enumerate(item.object_urls):
                if usual(url) is None or len(url) > MAX_URL_BYTES:
                    self._url(position, file, url)

    def _url(self, position: int, file: int, url: str) -> None:
        item = self.items[position]
        which = f"in file {file} of the group, " if item.item_type in GROUPED_TYPES else ""
        for code, message, remedy in url_faults(url, has_video_metadata=item.video_metadata is not None):
            self._add(code, position, which + message, remedy)

    def extensions(self) -> None:
        """Compare the extension of every file with the type of its item."""
        for position, item in enumerate(self.items):
            other = next((url for url in item.object_urls if not _fits(item.item_type, url)), None)
            if other is not None:
                message = f"is of the type {item.item_type}, but its file ends with .{extension_of(other)}."
                self._add("type-mismatch", position, message, "Put it under the key or heading of its type.")

    def empty_groups(self) -> None:
        """Look for groups without files."""
        for position, item in enumerate(self.items):
            if not item.object_urls:
                self._add("empty-group", position, "has no files.", "Add some, or remove the entry.")

    def files_twice(self) -> None:
        """Look for groups that have a file twice."""
        for position, item in enumerate(self.items):
            if len(set(item.object_urls)) < len(item.object_urls):
                twice = without_secrets(Counter(item.object_urls).most_common(1)[0][0])
                message = f"has a file twice: {twice[:SHOWN_CHARACTERS]}."
                self._add("url-twice-in-group", position, message, "Remove one of them.")

    def duplicates(self) -> None:
        """Look for items that have the same files."""
        first: dict[tuple[str, ...], int] = {}
        for position, item in enumerate(self.items):
            earlier = first.setdefault(item.object_urls, position)
            if earlier != position and self.findings.wants("duplicate-item"):
                message = f"has the same files as {self.manifest.place_of(earlier)}."
                self._add("duplicate-item", position, message, "Remove one of them.")

    def titles(self) -> None:
        """Check the titles."""
        for position, item in enumerate(self.items):
            title = item.title
            if title is None:
                if item.item_type in GROUPED_TYPES:
                    self._add("title-missing", position, "has no title.", "Give it one.")
            elif not title or title.isspace():
                code = "title-missing" if item.item_type in GROUPED_TYPES else "title-blank"
                self._add(code, position, "has a blank title.", "Give it one, or leave out the key.")
            elif len(title) > MAX_TITLE_CHARACTERS:
                message = f"has a title of {len(title):,} characters; Encord takes {MAX_TITLE_CHARACTERS}."
                self._add("title-too-long", position, message, "Shorten it.")

    def file_names(self) -> None:
        """Check the file names that stand in for titles."""
        for position, item in enumerate(self.items):
            if item.title or item.item_type in GROUPED_TYPES:
                continue
            characters = len(file_name(item.object_urls[0]))
            if characters > MAX_TITLE_CHARACTERS:
                message = (
                    f"has no title but a file name of {characters:,} characters; "
                    f"Encord takes {MAX_TITLE_CHARACTERS} as title."
                )
                remedy = "Give it a title; an upload shortens the name."
                self._add("file-name-too-long", position, message, remedy)

    def metadata(self) -> None:
        """Check clientMetadata and videoMetadata."""
        for position, item in enumerate(self.items):
            if item.client_metadata is not None:
                self._client_metadata(position, item)
            if item.video_metadata is not None:
                for fault in _implausible(item.video_metadata):
                    self._add(
                        "video-metadata-implausible",
                        position,
                        f"has {fault} in videoMetadata, which Encord would believe.",
                        "Correct it, or remove videoMetadata.",
                    )

    def mention_jsonb(self) -> None:
        """Say what happens to clientMetadata."""
        self.findings.add(
            "metadata-jsonb", "", "has clientMetadata, which is stored without the order of its keys."
        )

    def _client_metadata(self, position: int, item: Item) -> None:
        try:
            encoded = msgspec.json.encode(item.client_metadata)
        except RecursionError:
            self._add(
                "metadata-too-deep", position, "has clientMetadata that is nested too deeply.", "Flatten it."
            )
            return
        if len(encoded) > MAX_CLIENT_METADATA_BYTES:
            message = (
                f"has {len(encoded):,} bytes of clientMetadata; Encord takes {MAX_CLIENT_METADATA_BYTES:,}."
            )
            self._add("metadata-too-large", position, message, "Keep large data elsewhere, and its URL here.")
        if b"\\u0000" in encoded and NUL.search(encoded):
            self._add(
                "metadata-nul",
                position,
                "has a NUL character in clientMetadata, which PostgreSQL's jsonb refuses.",
                "Remove it.",
            )


def extension_of(url: str) -> str:
    """Return the extension of a URL's file in lower case, without the dot; `nii` of `a.nii.gz`."""
    stem, dot, extension = without_secrets(url).rpartition("/")[2].rpartition(".")
    if extension.lower() == "gz":
        extension = stem.rpartition(".")[2]
    return extension.lower() if dot else ""


def _fits(item_type: ItemType, url: str) -> bool:
    return item_type in TYPES_OF_EXTENSION.get(extension_of(url), (item_type,))


def _implausible(metadata: VideoMetadata) -> Iterator[str]:
    if not 0 < metadata.fps <= LARGEST_FPS:
        yield f"fps {metadata.fps}"
    for name in ("duration", "width", "height", "file_size"):
        if getattr(metadata, name) <= 0:
            yield f"{name} {getattr(metadata, name)}"
    if not metadata.mime_type.startswith("video/"):
        yield f"mime_type {metadata.mime_type[:40]!r}"
