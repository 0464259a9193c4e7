"""Diagnose: ask the store about each failed object, and say what is wrong and what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from cloud_sync.errors import CloudSyncError
from cloud_sync.failures.causes import look_at
from cloud_sync.failures.inquiry import REQUESTS_AT_MOST, Inquiry, ObjectReader
from cloud_sync.failures.model import Diagnosis, Evidence, FailureClass, Suspect
from cloud_sync.failures.words import diagnose_by_words
from cloud_sync.numbers import agreeing, counted

__all__ = ["REQUESTS_AT_MOST", "ObjectReader", "Suspect", "classify", "diagnose", "open_and_diagnose"]

# Encord may refuse a healthy object for a reason that passes; after so many runs it is not passing.
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

TRY_AGAIN = "Nothing: the next run tries it again."
ENCORD_TOO = "The credential stored in Encord needs to read it, too."

# By the refusal of the store. What it said itself follows the reason, and its remedy wins.
REFUSALS: Mapping[str, Diagnosis] = {
    "missing": Diagnosis(
        FailureClass.MISSING,
        "The object is not in the bucket any more.",
        "Nothing, if it was deleted on purpose; otherwise upload it again.",
    ),
    "forbidden": Diagnosis(
        FailureClass.FORBIDDEN,
        "The object cannot be read.",
        "Allow the connection to read it.",
    ),
    "archived": Diagnosis(
        FailureClass.FORBIDDEN, "The object cannot be read.", "Restore it, or leave it out."
    ),
    # Nor is anything wrong with an object when whoever asks is refused.
    "connection": Diagnosis(
        FailureClass.TRANSIENT,
        "The store could not be asked about the object.",
        "Check the connection.",
        looked_at=False,
    ),
    # Nothing is wrong with any object then: when the bucket is back, all can be registered.
    "no_bucket": Diagnosis(
        FailureClass.TRANSIENT,
        "The store could not be asked about the object.",
        "Check storage.bucket and the endpoint of the connection.",
        looked_at=False,
    ),
    "unreachable": Diagnosis(
        FailureClass.TRANSIENT,
        "The store could not be asked about the object.",
        TRY_AGAIN,
        looked_at=False,
    ),
}


def diagnose(
    reader: ObjectReader, suspects: Iterable[Suspect], *, requests_at_most: int = REQUESTS_AT_MOST
) -> list[Diagnosis]:
    """Look at the failed objects and return the diagnoses, in order.

    Args:
        reader: The store.
        suspects: The failed files.
        requests_at_most: How many requests to the store may be made. What is not looked at for want of them
            is taken for transient, so that it is tried again.
    """
    suspects = list(suspects)
    evidence = look_at(Inquiry(reader, requests_at_most), suspects)
    return [classify(suspect, found) for suspect, found in zip(suspects, evidence, strict=True)]


def open_and_diagnose(
    open_reader: Callable[[], ObjectReader],
    suspects: Iterable[Suspect],
    *,
    requests_at_most: int = REQUESTS_AT_MOST,
) -> list[Diagnosis]:
    """Diagnose with a store that has to be opened first; if it cannot be, all is taken for transient.

    What is registered has to be written down even then, and what has failed has to be named.
    """
    try:
        reader = open_reader()
    except CloudSyncError as error:
        unopened = Evidence(refusal="unopened", detail=error.message, remedy=error.remedy or "")
        return [classify(suspect, unopened) for suspect in suspects]
    return diagnose(reader, suspects, requests_at_most=requests_at_most)


def classify(suspect: Suspect, found: Evidence) -> Diagnosis:
    """Turn evidence into a class, a reason and a remedy."""
    return (
        _cannot_be_read(found)
        or _is_unfit(suspect, found)
        or _is_elsewhere(suspect)
        or _was_not_looked_at(suspect, found)
        or _is_healthy(suspect, found)
    )


def _cannot_be_read(found: Evidence) -> Diagnosis | None:
    said = REFUSALS.get(found.refusal or "")
    if said is None:
        return None
    remedy = found.remedy or said.remedy
    if found.refusal == "forbidden":
        remedy = f"{remedy} {ENCORD_TOO}"
    return replace(said, reason=_with_detail(said.reason, found), remedy=remedy)


def _with_detail(reason: str, found: Evidence) -> str:
    """Say for how many others it holds, and what the store said itself."""
    reason = reason.removesuffix(".")
    if found.alike > 1:
        asked = f"{found.asked:,} of them {agreeing(found.asked, 'was', 'were')} asked about"
        reason = f"{reason} (like {counted(found.alike - 1, 'other')} of this cause; {asked})"
    return f"{reason}: {found.detail}" if found.detail else f"{reason}."


def _was_not_looked_at(suspect: Suspect, found: Evidence) -> Diagnosis | None:
    if found.refusal == "unasked":
        state = "Not looked at: other failures took all requests of failures.diagnosis_requests."
    elif found.refusal == "unopened":
        state = f"Not looked at, because the store could not be opened: {found.detail}"
    else:
        return None
    remedy = found.remedy or TRY_AGAIN
    return Diagnosis(FailureClass.TRANSIENT, f"{state} {_said(suspect)}", remedy, looked_at=False)


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
    if found.refusal is not None:
        reason = f"{_with_detail('The object could not be looked at.', found)} {_said(suspect)}"
        return Diagnosis(FailureClass.TRANSIENT, reason, found.remedy or TRY_AGAIN, looked_at=False)
    state = "The object looks healthy."
    if suspect.attempts < ATTEMPTS_BEFORE_REJECTED or not suspect.is_named:
        return Diagnosis(FailureClass.TRANSIENT, f"{state} {_said(suspect)}", TRY_AGAIN)
    return Diagnosis(
        FailureClass.REJECTED,
        f"{state} It failed in {suspect.attempts} runs. {_said(suspect)}",
        "Give Encord's support the upload job and unit ids of this row.",
    )


def _said(suspect: Suspect) -> str:
    said = suspect.encord_error
    return f"Encord said: {said or 'nothing'}" if suspect.is_named else said
