"""Where a state folder is: a path on this disk, or the URL of a part of a bucket."""

from __future__ import annotations

import re
from dataclasses import dataclass

from cloud_sync.errors import ConfigError

SCHEMES = {"s3": "s3", "gs": "gcs", "az": "azure"}
"""The providers that a state folder may be at, by the beginning of its URL."""

URL = re.compile(r"([a-z][a-z0-9+.-]*)://(.*)", re.IGNORECASE | re.DOTALL)
# What every store keeps and lists as it is.
PLAIN = re.compile(r"[A-Za-z0-9._+=@-]+")


@dataclass(frozen=True, slots=True)
class BucketAddress:
    """A part of a bucket.

    Attributes:
        scheme: `s3`, `gs` or `az`.
        bucket: The bucket's name; of Azure the container's.
        prefix: Without slashes around it; empty for the whole bucket.
    """

    scheme: str
    bucket: str
    prefix: str

    @property
    def provider(self) -> str:
        """The provider, as integration files call it."""
        return SCHEMES[self.scheme]

    def __str__(self) -> str:
        """Return the URL, without a slash at its end."""
        return "/".join(part for part in (f"{self.scheme}://{self.bucket}", self.prefix) if part)

    def below(self, folder: str) -> BucketAddress:
        """Return a folder in this part."""
        return BucketAddress(
            self.scheme, self.bucket, "/".join(part for part in (self.prefix, folder) if part)
        )


def is_url(text: str) -> bool:
    """Tell whether a folder is named by a URL, and not by a path on this disk."""
    return URL.fullmatch(text) is not None


def parse_address(text: str, where: str) -> BucketAddress:
    """Read the URL of a part of a bucket.

    Args:
        text: The URL.
        where: The place that names it, for errors.

    Raises:
        ConfigError: It is of another scheme, names no bucket, or has a prefix that stores do not keep.
    """
    match = URL.fullmatch(text)
    scheme, rest = (match[1].lower(), match[2]) if match else ("", "")
    bucket, *folders = rest.rstrip("/").split("/")
    if scheme not in SCHEMES or not bucket:
        raise ConfigError(
            f"{text.partition('?')[0]!r} names no bucket.",
            where=where,
            remedy="Write s3://bucket/prefix, gs://bucket/prefix, az://container/prefix, or a path.",
        )
    for part in (bucket, *folders):
        if not PLAIN.fullmatch(part) or part in {".", ".."}:
            raise ConfigError(
                f"the part {part!r} of the URL would not be kept as it is by every store.",
                where=where,
                remedy="Use letters, digits and . _ + = @ - only, and no empty part.",
            )
    return BucketAddress(scheme, bucket, "/".join(folders))
