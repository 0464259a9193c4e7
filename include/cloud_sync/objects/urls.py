"""Object URLs: the one place that builds them, and tells whose they are.

Encord compares URLs as strings when it looks for duplicates, so one object must always get the same URL:
everything except unreserved characters (RFC 3986) and `/` is percent-encoded, in `s3://` and `gs://` URLs
too. That also keeps whitespace out, which Encord refuses, and `+`, which S3 would read as a space.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from cloud_sync.encord_limits import MAX_URL_BYTES
from cloud_sync.errors import ConfigError, ManifestError
from cloud_sync.objects.addresses import decode, key_in_bucket, not_readable
from cloud_sync.objects.url_bases import BASE_BUILDERS

if TYPE_CHECKING:
    from collections.abc import Sequence


SAFE_IN_URL = re.compile(r"[A-Za-z0-9\-._~/]*")
UNSAFE_IN_URL = re.compile(r"[^A-Za-z0-9\-._~/]+")
KEYS_PER_TEST = 1_000


class UrlStyle(StrEnum):
    """How an object's URL is written. An integration keeps its style: another style is another URL.

    VIRTUAL_HOSTED and PATH are of S3 and Open Telekom Cloud, S3 (`s3://`) and MRAP of S3, GS (`gs://`) of
    Google; HTTPS is Google's and Azure's own.
    """

    VIRTUAL_HOSTED = "virtual-hosted"
    PATH = "path"
    S3 = "s3"
    MRAP = "mrap"
    GS = "gs"
    HTTPS = "https"


@dataclass(frozen=True, slots=True)
class ObjectUrls:
    """Builds and reads the URLs of one bucket in one style.

    Args:
        provider: `s3`, `gcs`, `azure` or `otc`.
        bucket: The bucket's or container's name.
        style: How URLs are written.
        region: The bucket's region. Needed by AWS and Open Telekom Cloud in the styles virtual-hosted and
            path.
        endpoint_url: Address of an S3-compatible store, None for AWS and Open Telekom Cloud; URL of the Azure
            storage account.
        mrap_arn: ARN of the Multi-Region Access Point, for the style mrap.

    Attributes:
        base: What every URL of this bucket starts with. Two of these with the same base give the same URLs.

    Raises:
        ConfigError: The style does not exist for the provider or lacks what it needs.
    """

    provider: str
    bucket: str
    style: UrlStyle = UrlStyle.VIRTUAL_HOSTED
    region: str | None = None
    endpoint_url: str | None = None
    mrap_arn: str | None = None
    base: str = field(init=False)

    def __post_init__(self) -> None:
        builder = BASE_BUILDERS.get((self.provider, self.style))
        if builder is None:
            known = ", ".join(f"{provider}/{style}" for provider, style in BASE_BUILDERS)
            raise ConfigError(
                f"there are no {self.provider} URLs in the style {self.style!s}.",
                where=self.bucket,
                remedy=f"Choose one of {known}.",
            )
        object.__setattr__(self, "base", builder(self))

    def build(self, key: str) -> str:
        """Return the URL of an object.

        Raises:
            ManifestError: The URL would be longer than Encord accepts.
        """
        return self.build_many((key,))[0]

    def build_many(self, keys: Sequence[str]) -> list[str]:
        """Return the URLs of many objects, in order; 0.2 us a key while keys need no encoding.

        Raises:
            ManifestError: A URL would be longer than Encord accepts.
        """
        urls: list[str] = []
        for start in range(0, len(keys), KEYS_PER_TEST):
            urls += self._build_some(keys[start : start + KEYS_PER_TEST])
        return urls

    def _build_some(self, keys: Sequence[str]) -> list[str]:
        # One test for many keys: most buckets hold none that needs encoding.
        base = self.base
        if SAFE_IN_URL.fullmatch("/".join(keys)):
            urls = [base + key for key in keys]
        else:
            urls = [base + UNSAFE_IN_URL.sub(_encode, key) for key in keys]
        if max(map(len, urls)) > MAX_URL_BYTES:
            _refuse_long_urls(keys, urls)
        return urls

    def parse(self, url: str) -> str:
        """Return the key of a URL that `build` made: its exact inverse.

        Raises:
            ConfigError: The URL is not one of this bucket in this style.
        """
        if not url.startswith(self.base):
            raise not_readable(url, f"does not start with {self.base}", self.provider)
        return decode(url, url.removeprefix(self.base), self.provider)

    def is_own(self, url: str) -> bool:
        """Tell whether `build` makes exactly this URL, so that Encord takes both for the same."""
        path = url.removeprefix(self.base)
        if not path or path == url:
            return False
        return SAFE_IN_URL.fullmatch(path) is not None or quote(unquote(path)) == path

    def key_of(self, url: str) -> str:
        """Return the key of a URL of this bucket, in whatever form it is written.

        Raises:
            ConfigError: It is a URL of another bucket or store, or none that can be read.
        """
        return key_in_bucket(url, self.provider, self.bucket, self.endpoint_url, self.mrap_arn)


def _encode(unsafe: re.Match[str]) -> str:
    return quote(unsafe[0])


def _refuse_long_urls(keys: Sequence[str], urls: Sequence[str]) -> None:
    for key, url in zip(keys, urls, strict=True):
        if len(url) > MAX_URL_BYTES:
            raise ManifestError(
                f"the URL of this object has {len(url):,} bytes; Encord accepts {MAX_URL_BYTES:,}.",
                where=f"object {key[:200]!r}",
                remedy="Rename the object or exclude it in the integration file.",
            )
