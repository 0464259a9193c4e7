"""A store in memory, for the rules that need no server."""

from __future__ import annotations

import threading
import uuid
from dataclasses import dataclass, field

from cloud_sync.dataset_service.reader import FetchError

INTEGRATION = uuid.UUID(int=7)
JPEG = b"\xff\xd8\xff\xe0" + b"\x11" * 6000 + b"\xff\xd9"
PNG = b"\x89PNG\r\n\x1a\n" + b"\x00" * 40 + b"IEND\xaeB`\x82"
DICOM = b"\x00" * 128 + b"DICM" + b"\x02\x00" * 20
NIFTI = b"\x5c\x01\x00\x00" + b"\x00" * 340 + b"n+1\x00" + b"\x00" * 20
WAV = b"RIFF\x24\x00\x00\x00WAVEfmt " + b"\x00" * 20
MP4 = b"\x00\x00\x00\x18ftypisom\x00\x00\x02\x00isommp41" + b"\x00" * 100


@dataclass
class MemoryReader:
    """Objects by URL. `gate` holds every read back until it is set; `reads` remembers them."""

    objects: dict[str, bytes] = field(default_factory=dict)
    reads: list[str] = field(default_factory=list)
    gate: threading.Event = field(default_factory=threading.Event)
    storage_location: str = "s3"
    writable: bool = True

    def __post_init__(self) -> None:
        self.gate.set()

    def size(self, url: str) -> int:
        self.reads.append(url)
        self.gate.wait(10)
        if url not in self.objects:
            raise FetchError(f"The object does not exist: {url}")
        return len(self.objects[url])

    def read(self, url: str, start: int, length: int) -> bytes:
        return self.objects[url][start : start + length]
