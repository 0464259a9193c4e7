"""Read which series a DICOM file belongs to, and its place there, from the file's first kilobytes."""

from __future__ import annotations

import io
import logging
import math
import struct
import warnings
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from cloud_sync.media.sniff import sniff

HEAD_BYTES: Final = (16 * 1024, 1024 * 1024)
"""How much of a file is read: nearly always the first is enough, long sequences before the UIDs need more."""

LAST_TAG: Final = 0x00200037
"""ImageOrientationPatient, the last of the tags below; tags stand in a file in their order."""

TAGS: Final = (
    "SOPInstanceUID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "InstanceNumber",
    "ImagePositionPatient",
    "ImageOrientationPatient",
)
LONGEST_UID: Final = 64

# What pydicom lets through for damaged bytes, beside its own errors.
DAMAGED: Final = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    NotImplementedError,
    OSError,
    RecursionError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)


@dataclass(frozen=True, slots=True)
class SeriesPlace:
    """The series of one DICOM file and its place there.

    Attributes:
        study_uid: StudyInstanceUID.
        series_uid: SeriesInstanceUID.
        instance_uid: SOPInstanceUID; empty if the file has none.
        instance_number: InstanceNumber, if it has one.
        orientation: ImageOrientationPatient as text of three decimals; files are only comparable by position
            where it is the same. None without position or orientation.
        along_normal_mm: Position along the normal of the image plane, in millimetres; None as above.
    """

    study_uid: str
    series_uid: str
    instance_uid: str
    instance_number: int | None
    orientation: str | None
    along_normal_mm: float | None


class UnreadableHeader(Exception):  # noqa: N818 (a finding about a file, not a failure of the program)
    """A file that says nothing of its series; the message completes "the file ..."."""


def read_place(read_head: Callable[[int], bytes]) -> SeriesPlace:
    """Read the series of a DICOM file and its place there.

    Args:
        read_head: Returns the first bytes of the file, as many as asked for or all of a shorter one.

    Raises:
        UnreadableHeader: It is no DICOM file, is damaged, or names no series. Never tells a tag's value.
    """
    from pydicom.errors import BytesLengthException, InvalidDicomError

    damaged = (BytesLengthException, InvalidDicomError, *DAMAGED)
    for most in HEAD_BYTES:
        head = read_head(most)
        if (found := sniff(head)) != "application/dicom":
            raise UnreadableHeader(f"is no DICOM file but {found}")
        try:
            dataset, is_all_there = _parse(head)
            if is_all_there or len(head) < most:
                return _place(dataset)
        except damaged:  # as a head that was cut off inside a tag may look
            if len(head) < most:
                break
    raise UnreadableHeader("has a damaged header")


def _parse(head: bytes) -> tuple[Any, bool]:
    """Return the tags, and whether the bytes reached behind the last of them."""
    from pydicom.filereader import read_partial
    from pydicom.tag import Tag

    reached = False

    def stop(tag: int, _vr: str | None, _length: int) -> bool:
        nonlocal reached
        reached = tag > LAST_TAG
        return reached

    _keep_quiet()
    dataset = read_partial(io.BytesIO(head), stop_when=stop, specific_tags=list(map(Tag, TAGS)))
    return dataset, reached


def _keep_quiet() -> None:
    """Keep values of tags, which may name a patient, out of logs and warnings."""
    from pydicom import config

    config.settings.reading_validation_mode = config.IGNORE
    logging.getLogger("pydicom").setLevel(logging.CRITICAL + 1)
    warnings.filterwarnings("ignore", module=r"pydicom\b")


def _place(dataset: Any) -> SeriesPlace:
    study, series, instance = (
        str(dataset.get(name) or "").strip(" \0")
        for name in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
    )
    if not study or not series or max(map(len, (study, series, instance))) > LONGEST_UID:
        raise UnreadableHeader("has no StudyInstanceUID or SeriesInstanceUID")
    number = dataset.get("InstanceNumber")
    orientation, along_normal_mm = _along_normal(
        dataset.get("ImagePositionPatient"), dataset.get("ImageOrientationPatient")
    )
    return SeriesPlace(
        study_uid=study,
        series_uid=series,
        instance_uid=instance,
        instance_number=int(number) if number is not None else None,
        orientation=orientation,
        along_normal_mm=along_normal_mm,
    )


def _along_normal(
    position: Sequence[Any] | None, orientation: Sequence[Any] | None
) -> tuple[str | None, float | None]:
    if not position or not orientation or (len(position), len(orientation)) != (3, 6):
        return None, None
    x, y, z = map(float, position)
    (a, b, c), (d, e, f) = map(float, orientation[:3]), map(float, orientation[3:])
    along = x * (b * f - c * e) + y * (c * d - a * f) + z * (a * e - b * d)
    if not math.isfinite(along):
        return None, None
    return " ".join(f"{value:.3f}" for value in map(float, orientation)), round(along, 4)
