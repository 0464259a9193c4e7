"""Entries of a JSON manifest, in both dialects, as items."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from cloud_sync.manifest.content import Dialect
from cloud_sync.manifest.findings import Findings
from cloud_sync.manifest.items import Item, ItemType, VideoMetadata
from cloud_sync.manifest.json_format import TYPED_FIGURES
from cloud_sync.manifest.json_walk import RepeatingObject, repeats_key

POSITION = re.compile(r"objectUrl_(\d{1,9})", re.ASCII)

TYPE_OF_KEY: Final[Mapping[str, ItemType]] = {
    "videos": "video",
    "images": "image",
    "image_groups": "image_group",
    "dicom_series": "dicom_series",
    "audio": "audio",
    "text": "text",
    "pdf": "pdf",
    "nifti": "nifti",
}
"""The item type of each key of the raw dialect; `createVideo` makes a sequence of a group."""

KEYS_IN_ORDER: Final = tuple(TYPE_OF_KEY)

FILE_TYPES: Final[Mapping[str, str]] = {
    "video": "VIDEO",
    "image": "IMAGE",
    "image_group": "IMG_GROUP",
    "dicom_series": "DICOM",
    "audio": "AUDIO",
    "text": "PLAIN_TEXT",
    "pdf": "PDF",
    "nifti": "NIFTI",
}
"""What the SDK's `externalFileType` says of each; it always is what the key says already."""

FILE_LISTS: Final[Mapping[str, str]] = {"image_group": "images", "dicom_series": "dicomFiles"}
"""Where the typed dialect has the files of a group or series."""

NOT_CARRIED: Final = frozenset(
    ("imageMetadata", "audioMetadata", "textMetadata", "pdfMetadata", "dicomMetadata", "placeholderItemUuid")
)
"""Keys of the SDK that an item has no room for."""

OPTIONAL: Final = NOT_CARRIED | {"videoMetadata"}
"""Keys that say nothing while they are null."""

FORMS: Final = 'Write it as docs/manifests.md shows: {"objectUrl": "https://..."} for a file.'
"""What to do about an entry that cannot be read."""

SHOWN_CHARACTERS: Final = 40

SHARED_KEYS: Final = frozenset(("title", "clientMetadata", "createVideo", "externalFileType"))


class _Fields(msgspec.Struct, rename="camel"):
    """What entries of every type may state; the types are checked, not the presence."""

    title: str | None = None
    client_metadata: dict[str, Any] | None = None
    create_video: bool | None = None
    external_file_type: str | None = None


@dataclass(frozen=True, slots=True)
class EntryReader:
    """Reads the entries of one top-level key.

    Args:
        item_type: Of the key.
        dialect: Of the file.
        findings: Where to note what is wrong.
    """

    item_type: ItemType
    dialect: Dialect
    findings: Findings

    def read(self, entry: Any, place: str) -> Item | None:
        """Return the item, or None with a finding of the level error."""
        if not isinstance(entry, dict):
            self._unreadable(place, "is not an object")
            return None
        if self._repeats(entry, place):
            return None
        try:
            fields = msgspec.convert(entry, _Fields)
        except msgspec.ValidationError as error:
            self._unreadable(place, _fault(error))
            return None
        urls, rest = self._urls(entry, place)
        if urls is None or not self._nothing_else(rest, fields, place):
            return None
        return self._item(entry, fields, urls, place)

    def _item(self, entry: dict[str, Any], fields: _Fields, urls: tuple[str, ...], place: str) -> Item | None:
        metadata = entry.get("videoMetadata")
        video_metadata = None
        if metadata is not None:
            try:
                video_metadata = read_video_metadata(metadata)
            except msgspec.ValidationError as error:
                self._unreadable(place, f"has no good videoMetadata: {_fault(error)}")
                return None
        if repeats_key(entry.get("clientMetadata")):
            self.findings.add(
                "metadata-duplicate-key",
                place,
                "has a key twice in clientMetadata; Encord keeps the last value.",
                "Rename one of them.",
            )
        return Item(
            self._type(fields.create_video, place),
            urls,
            fields.title,
            fields.client_metadata,
            video_metadata,
        )

    def _type(self, create_video: bool | None, place: str) -> ItemType:
        if self.item_type == "image_group":
            if create_video is None:
                create_video = self.dialect == "raw"
                self.findings.add(
                    "create-video-unset",
                    place,
                    "does not state createVideo and is taken for an image "
                    f"{'sequence' if create_video else 'group'}.",
                    "State true for an image sequence, false for an image group.",
                )
            return "image_sequence" if create_video else "image_group"
        if create_video:
            self.findings.add(
                "create-video-on-file",
                place,
                "states createVideo: true, which only image_groups can have.",
                "Remove it, or make it an entry of image_groups.",
            )
        return self.item_type

    def _urls(self, entry: dict[str, Any], place: str) -> tuple[tuple[str, ...] | None, set[str]]:
        """Return the URLs in order, or None with a finding, and the keys that are not read yet."""
        rest = entry.keys() - SHARED_KEYS
        rest -= {key for key in rest & OPTIONAL if entry[key] is None}
        if self.item_type not in FILE_LISTS:
            url = entry.get("objectUrl")
            if not isinstance(url, str):
                self._unreadable(place, "has no text as objectUrl")
                return None, rest
            return (url,), rest - {"objectUrl"}
        files = entry.get(FILE_LISTS[self.item_type])
        if files is not None:
            return self._listed_urls(files, place), rest - {FILE_LISTS[self.item_type]}
        numbered = {key: match for key in rest if (match := POSITION.fullmatch(key))}
        return self._numbered_urls(entry, numbered, place), rest - numbered.keys()

    def _numbered_urls(
        self, entry: dict[str, Any], numbered: Mapping[str, re.Match[str]], place: str
    ) -> tuple[str, ...] | None:
        if numbered and self.dialect == "typed":
            self.findings.add(
                "mixed-dialects", place, "has objectUrl_n among keys in camel case.", "Use one dialect."
            )
        by_position = {int(match[1]): entry[key] for key, match in numbered.items()}
        if len(by_position) < len(numbered):
            self.findings.add(
                "url-position-twice", place, "has one number of objectUrl_n twice.", "Number them from 0."
            )
            return None
        positions = sorted(by_position)
        if not all(isinstance(url, str) for url in by_position.values()):
            self._unreadable(place, "has an objectUrl_n that is no text")
            return None
        if positions and positions[-1] != len(positions) - 1:
            missing = next(n for n in range(len(positions)) if n not in by_position)
            self.findings.add(
                "url-gap",
                f"{place}.objectUrl_{missing}",
                "is missing; the files after it were moved up.",
                "Add the missing file, or number the files from 0 without a gap.",
            )
        return tuple([by_position[position] for position in positions])

    def _listed_urls(self, files: Any, place: str) -> tuple[str, ...] | None:
        """Read `[{"url": ...}]`."""
        where = f"{place}.{FILE_LISTS[self.item_type]}"
        if self.dialect == "raw":
            self.findings.add("mixed-dialects", where, "stands among keys in snake case.", "Use one dialect.")
        if not isinstance(files, list):
            self._unreadable(where, "is not a list")
            return None
        urls: list[str] = []
        for index, file in enumerate(files):
            one = f"{where}[{index}]"
            if not isinstance(file, dict) or not isinstance(file.get("url"), str):
                self._unreadable(one, "has no text as url")
                return None
            if self._repeats(file, one):
                return None
            for key in file.keys() - {"url"}:
                if file[key] is not None:
                    self._refuse_key(key, one, known=key in NOT_CARRIED or key == "title")
                    return None
            urls.append(file["url"])
        return tuple(urls)

    def _nothing_else(self, rest: set[str], fields: _Fields, place: str) -> bool:
        if self.item_type == "video":
            rest = rest - {"videoMetadata"}
        file_type = fields.external_file_type
        if file_type not in {None, FILE_TYPES[self.item_type]}:
            self._unreadable(place, "has the externalFileType of another key")
            return False
        for key in sorted(rest):
            self._refuse_key(key, place, known=key in NOT_CARRIED)
        return not rest

    def _refuse_key(self, key: str, place: str, *, known: bool) -> None:
        self.findings.add(
            "unsupported-key" if known else "unknown-key",
            f"{place}.{shown(key)}",
            "is not carried by this project." if known else "is no key of such an entry.",
            "Remove it, or submit the file in Encord itself."
            if known
            else "Correct its spelling, or remove it.",
        )

    def _repeats(self, entry: dict[str, Any], place: str) -> bool:
        for part in (entry, entry.get("videoMetadata")):
            if isinstance(part, RepeatingObject):
                names = ", ".join(shown(name) for name in part.repeated)
                self.findings.add("duplicate-key", place, f"has a key twice: {names}.", "Keep one of them.")
                return True
        return False

    def _unreadable(self, place: str, fault: str) -> None:
        self.findings.add("unreadable-value", place, f"{fault}.", FORMS)


def read_video_metadata(metadata: Any) -> VideoMetadata:
    """Read videoMetadata of either dialect.

    Raises:
        msgspec.ValidationError: A figure is absent, unknown or of the wrong type.
    """
    if isinstance(metadata, dict):
        raw = {typed: name for name, typed in TYPED_FIGURES.items()}
        metadata = {raw.get(key, key): value for key, value in metadata.items()}
    return msgspec.convert(metadata, VideoMetadata)


def shown(key: str) -> str:
    """Return a key fit for a message: short, and on one line."""
    return key if key.isidentifier() and len(key) <= SHOWN_CHARACTERS else repr(key[:SHOWN_CHARACTERS])


def _fault(error: msgspec.ValidationError) -> str:
    """Turn msgspec's `Expected `str`, got `int` - at `$.title`` into the end of a sentence."""
    problem, _, path = str(error).partition(" - at `$.")
    return f"{path.rstrip('`')}: {problem}" if path else problem
