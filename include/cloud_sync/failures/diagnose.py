"""Diagnose: ask the store about each failed object, and say what is wrong and what to do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

from cloud_sync.errors import StorageError
from cloud_sync.failures.model import Diagnosis, FailureClass
from cloud_sync.failures.words import diagnose_by_words
from cloud_sync.media.completeness import TAIL_BYTES, has_end_mark, is_whole
from cloud_sync.media.sniff import HEAD_BYTES, sniff

# Reads of a few kilobytes wait for the network, not for this machine.
READS_IN_FLIGHT = 16

# Encord may refuse a healthy object for a reason that passes; after so many nights it is not passing.
ATTEMPTS_BEFORE_REJECTED = 3


@dataclass(frozen=True, slots=True)
class FileRule:
    """What a file of an item of one type has to be.

    Attributes:
        noun: What Encord expects, with its article.
        kinds: How the MIME types of such files begin; anything else is another kind of file.
        supported: The MIME types of Encord's documented formats; None where all of the kind are.
        limit_bytes: Encord's documented limit for one file; None where there is none.
    """

    noun: str
    kinds: tuple[str, ...]
    supported: frozenset[str] | None = None
    limit_bytes: int | None = None


VIDEOS = frozenset({"video/mp4", "video/quicktime", "video/webm", "video/x-matroska"})
IMAGES = frozenset({"image/jpeg", "image/png", "image/webp", "image/avif", "image/bmp", "image/tiff"})
SOUNDS = frozenset({"audio/mpeg", "audio/wav", "audio/flac"})

# By the item's type: for a group or series, what each of its files has to be.
RULES: Mapping[str, FileRule] = {
    "video": FileRule("a video", ("video/",), VIDEOS, 1_000_000_000),
    "image": FileRule("an image", ("image/",), IMAGES, 1_000_000_000),
    "image_group": FileRule("an image", ("image/",), IMAGES, 1_000_000_000),
    "image_sequence": FileRule("an image", ("image/",), IMAGES - {"image/tiff"}, 1_000_000_000),
    "dicom_series": FileRule("a DICOM file", ("application/dicom",), None, 25_000_000),
    "audio": FileRule("an audio file", ("audio/",), SOUNDS),
    "text": FileRule("a text file", ("text/", "application/json", "application/xml")),
    "pdf": FileRule("a PDF file", ("application/pdf",)),
    "nifti": FileRule("a NIfTI file", ("application/nifti",)),
}


class ObjectReader(Protocol):
    """What diagnosis needs of an object store (`cloud_sync.objects.stores.ObjectStore`).

    Each method raises a StorageError with an attribute `reason`: missing, forbidden, unreachable, other.
    """

    def head(self, key: str) -> Any:
        """Return an object with `size_bytes`."""

    def read_range(self, key: str, start: int, length: int) -> bytes:
        """Return `length` bytes from `start`."""

    def read_tail(self, key: str, length: int) -> bytes:
        """Return the last `length` bytes."""


@dataclass(frozen=True, slots=True)
class Suspect:
    """A failed file, before it is looked at.

    Attributes:
        url: Its object URL.
        key: Its key; None if the URL is not one of this bucket.
        item_type: What its item was to be; empty for a URL that was not sent.
        encord_error: What Encord said; if it did not name the file, what is known instead.
        attempts: How often its item failed, this time included.
        is_named: True if Encord refused this very file, False if it only was not registered.
    """

    url: str
    key: str | None
    item_type: str
    encord_error: str
    attempts: int
    is_named: bool = True


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the store says of an object.

    Attributes:
        refusal: `missing`, `forbidden`, `unreachable` or `other` if it cannot be read.
        size_bytes: Its size.
        mime: Its type by the first bytes.
        whole: False if its end is missing.
    """

    refusal: str | None = None
    size_bytes: int = 0
    mime: str = ""
    whole: bool = True


def diagnose(reader: ObjectReader, suspects: Iterable[Suspect]) -> list[Diagnosis]:
    """Look at each failed object and return the diagnoses, in order."""
    suspects = list(suspects)
    with ThreadPoolExecutor(READS_IN_FLIGHT, thread_name_prefix="diagnose") as pool:
        evidence = pool.map(lambda suspect: gather(reader, suspect.key), suspects)
        return [classify(suspect, found) for suspect, found in zip(suspects, evidence, strict=True)]


def gather(reader: ObjectReader, key: str | None) -> Evidence:
    """Ask the store about one object: up to three small requests."""
    if key is None:
        return Evidence(refusal="other")
    try:
        size_bytes = reader.head(key).size_bytes
        head = reader.read_range(key, 0, min(size_bytes, HEAD_BYTES)) if size_bytes else b""
        mime = sniff(head)
        whole = not has_end_mark(mime) or is_whole(mime, reader.read_tail(key, TAIL_BYTES))
    except StorageError as error:
        return Evidence(refusal=getattr(error, "reason", "other"))
    return Evidence(size_bytes=size_bytes, mime=mime, whole=whole)


def classify(suspect: Suspect, found: Evidence) -> Diagnosis:
    """Turn evidence into a class, a reason and a remedy."""
    return (
        _cannot_be_read(found)
        or _is_unfit(suspect, found)
        or _is_elsewhere(suspect)
        or _is_healthy(suspect, found)
    )


def _cannot_be_read(found: Evidence) -> Diagnosis | None:
    if found.refusal == "missing":
        return Diagnosis(
            FailureClass.MISSING,
            "The object is not in the bucket any more.",
            "Nothing, if it was deleted on purpose; otherwise upload it again.",
        )
    if found.refusal == "forbidden":
        return Diagnosis(
            FailureClass.FORBIDDEN,
            "The object cannot be read.",
            "Allow s3:GetObject on it for the Airflow connection and for the credential stored in Encord.",
        )
    if found.refusal == "unreachable":
        return Diagnosis(
            FailureClass.TRANSIENT,
            "The store could not be asked about the object.",
            "Nothing: the next run tries it again.",
        )
    return None


def _is_unfit(suspect: Suspect, found: Evidence) -> Diagnosis | None:
    if found.refusal is not None:
        return None
    if found.size_bytes == 0:
        return Diagnosis(FailureClass.CORRUPT, "The object is empty.", "Upload it again, or delete it.")
    rule = RULES.get(suspect.item_type)
    if rule is None:  # a URL that was not sent
        return None
    return _wrong_type(rule, found) or _wrong_content(rule, found)


def _wrong_type(rule: FileRule, found: Evidence) -> Diagnosis | None:
    if not found.mime.startswith(rule.kinds):
        return Diagnosis(
            FailureClass.WRONG_TYPE,
            f"Expected {rule.noun}, got a file of type {found.mime}.",
            "Give it the right extension, or leave it out with select.exclude.",
        )
    if rule.supported is not None and found.mime not in rule.supported:
        return Diagnosis(
            FailureClass.UNSUPPORTED,
            f"Encord does not support {found.mime}.",
            "Convert it, or leave it out with select.exclude.",
        )
    return None


def _wrong_content(rule: FileRule, found: Evidence) -> Diagnosis | None:
    if not found.whole:
        return Diagnosis(FailureClass.CORRUPT, "The file is cut off: its end is missing.", "Upload it again.")
    if rule.limit_bytes is not None and found.size_bytes > rule.limit_bytes:
        return Diagnosis(
            FailureClass.TOO_LARGE,
            f"The object has {found.size_bytes:,} bytes, Encord takes {rule.limit_bytes:,}.",
            "Split or compress it, or leave it out with select.maximum_size.",
        )
    return None


def _is_elsewhere(suspect: Suspect) -> Diagnosis | None:
    """Go by Encord's words where there is nothing else: the file lies in no store that could be asked."""
    if suspect.key is not None or not suspect.is_named:
        return None
    return diagnose_by_words(suspect.encord_error)


def _is_healthy(suspect: Suspect, found: Evidence) -> Diagnosis:
    said = suspect.encord_error
    said = f"Encord said: {said or 'nothing'}" if suspect.is_named else said
    state = "The object looks healthy." if found.refusal is None else "The object could not be looked at."
    if suspect.attempts < ATTEMPTS_BEFORE_REJECTED or not suspect.is_named:
        return Diagnosis(FailureClass.TRANSIENT, f"{state} {said}", "Nothing: the next run tries it again.")
    return Diagnosis(
        FailureClass.REJECTED,
        f"{state} It failed {suspect.attempts} times. {said}",
        "Give Encord's support the upload job and unit ids of this row.",
    )
