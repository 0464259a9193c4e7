"""Addresses that stand where the name of a bucket or a prefix belongs: what they say, to write it apart."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

from cloud_sync.clouds import PROVIDER_OF_SCHEME
from cloud_sync.nearest import all_of

URL: Final = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<rest>.*)", re.DOTALL)
QUERY: Final = re.compile(r"[?#]")
ARN: Final = re.compile(r"arn:[a-z-]+:s3:::(?P<rest>.*)", re.DOTALL)
BUCKET_IN_HOST: Final = re.compile(r"(?P<bucket>.+)\.(?:s3|obs|storage)[.-].+")
BUCKET_IN_PATH: Final = re.compile(r"(?:s3|obs|storage)[.-].+|.+\.(?:blob|dfs)\.core\..+")


@dataclass(frozen=True, slots=True)
class Address:
    """What an address says.

    Attributes:
        provider: The provider that its scheme is of; None if that tells none.
        bucket: The bucket or container; empty if nothing tells it.
        prefix: What stands behind it.
    """

    provider: str | None
    bucket: str
    prefix: str

    @classmethod
    def of(cls, text: str) -> Self | None:
        """Read a text; None if it is no address."""
        text = QUERY.split(text.strip(), maxsplit=1)[0]
        if arn := ARN.fullmatch(text):
            return cls("s3", *_split(arn["rest"]))
        if url := URL.fullmatch(text):
            return cls._of_url(url["scheme"].lower(), url["rest"])
        return None

    @classmethod
    def _of_url(cls, scheme: str, rest: str) -> Self:
        place, path = _split(rest)
        user, _, host = place.rpartition("@")
        if provider := PROVIDER_OF_SCHEME.get(scheme):
            # abfss://<container>@<account>.dfs.core.windows.net/<path>
            return cls(provider, user if user and provider == "azure" else host, path)
        if found := BUCKET_IN_HOST.fullmatch(host):
            return cls(None, found["bucket"], path)
        if BUCKET_IN_PATH.fullmatch(host):
            return cls(None, *_split(path))
        return cls(None, "", "")

    def as_fields(self, *, without: Mapping[str, str | None]) -> str:
        """Return it as fields of the section `storage`.

        Args:
            without: Fields that are not named if they say the same.
        """
        fields = {"provider": self.provider, "bucket": self.bucket, "prefix": folder_of(self.prefix)}
        told = {name: value for name, value in fields.items() if value and without.get(name) != value}
        if not told:
            return "nothing, for the whole bucket"
        return all_of(f"`{name}: {value}`" for name, value in told.items())


def folder_of(prefix: str) -> str:
    """Return the prefix of a pattern, up to the last slash before its first `*`; any other text as it is."""
    before, star, _ = prefix.partition("*")
    return before[: before.rfind("/") + 1] if star else prefix


def _split(path: str) -> tuple[str, str]:
    bucket, _, prefix = path.partition("/")
    return bucket, prefix
