"""Small DICOM files, made with pydicom."""

from __future__ import annotations

import io
from collections.abc import Sequence


def dicom_file(
    *,
    study_uid: str | None = "1.2.3",
    series_uid: str | None = "1.2.3.4",
    instance_uid: str | None = "",
    number: int | None = 1,
    position: Sequence[float] | None = None,
    orientation: Sequence[float] | None = None,
    patient: str = "",
    padding: int = 0,
    pixels: int = 8,
) -> bytes:
    """Make a file of one image.

    Args:
        study_uid: And the other tags: None leaves them out.
        series_uid: Of the series.
        instance_uid: Of the file; empty for one made of series and number.
        number: InstanceNumber.
        position: ImagePositionPatient.
        orientation: ImageOrientationPatient.
        patient: PatientName.
        padding: Bytes in front of the UIDs.
        pixels: Bytes of pixel data.
    """
    from pydicom import config
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

    # Tests want wrong values too.
    config.settings.reading_validation_mode = config.settings.writing_validation_mode = config.IGNORE
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = CTImageStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = "1.2.3.4.5"
    tags = {
        "SOPInstanceUID": f"{series_uid}.{number}" if instance_uid == "" else instance_uid,
        "StudyInstanceUID": study_uid,
        "SeriesInstanceUID": series_uid,
        "InstanceNumber": number,
        "ImagePositionPatient": list(position) if position else None,
        "ImageOrientationPatient": list(orientation) if orientation else None,
        "PatientName": patient or None,
        "AdditionalPatientHistory": "x" * padding or None,
    }
    for name, value in tags.items():
        if value is not None:
            setattr(dataset, name, value)
    dataset.add_new(0x7FE00010, "OW", b"\0" * pixels)
    file = io.BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    return file.getvalue()
