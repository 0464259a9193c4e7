"""What a file must be, and whether it is: by its first bytes, in the product document's words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cloud_sync.dataset_service.reader import FetchError
from cloud_sync.dataset_service.units import UnitError
from cloud_sync.media.completeness import TAIL_BYTES, has_end_mark, is_whole
from cloud_sync.media.sniff import HEAD_BYTES, sniff

if TYPE_CHECKING:
    from cloud_sync.dataset_service.reader import ObjectReader
    from cloud_sync.dataset_service.units import FileSpec


@dataclass(frozen=True, slots=True)
class FileKind:
    """One kind of file.

    Attributes:
        noun: With its article, as in "Expected a video".
        mime_prefixes: How the MIME types begin that such a file may have.
    """

    noun: str
    mime_prefixes: tuple[str, ...]

    def check(self, file: FileSpec, reader: ObjectReader) -> dict[str, Any]:
        """Return the media metadata of a file: what was supplied, else its size and type.

        Fetches the first bytes, compares the type, and looks for the end of a picture.

        Raises:
            UnitError: It is not what it should be or cannot be read; names its URL.
        """
        if file.supplied is not None:
            return file.supplied
        try:
            return self._look_into(file.url, reader)
        except FetchError as error:
            raise UnitError(str(error)) from error

    def _look_into(self, url: str, reader: ObjectReader) -> dict[str, Any]:
        size_bytes = reader.size(url)
        if size_bytes == 0:
            raise UnitError(f"The file is empty: {url}")
        mime = sniff(reader.read(url, 0, min(size_bytes, HEAD_BYTES)))
        if not mime.startswith(self.mime_prefixes):
            raise UnitError(f"Expected {self.noun}, got a file of type {mime}: {url}")
        if not _is_whole(mime, url, size_bytes, reader):
            raise UnitError(f"The file is truncated, its end is missing: {url}")
        return {"file_size": size_bytes, "mime_type": mime}


def _is_whole(mime: str, url: str, size_bytes: int, reader: ObjectReader) -> bool:
    if not has_end_mark(mime):
        return True
    start = max(0, size_bytes - TAIL_BYTES)
    return is_whole(mime, reader.read(url, start, size_bytes - start))


VIDEO_FILE = FileKind("a video", ("video/",))
IMAGE_FILE = FileKind("an image", ("image/",))
DICOM_FILE = FileKind("a DICOM file", ("application/dicom",))
AUDIO_FILE = FileKind("an audio file", ("audio/",))
TEXT_FILE = FileKind("a text file", ("text/", "application/json", "application/xml"))
PDF_FILE = FileKind("a PDF file", ("application/pdf",))
NIFTI_FILE = FileKind("a NIfTI file", ("application/nifti",))
