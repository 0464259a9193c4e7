"""Object URLs: the one place that builds and reads them.

Encord compares URLs as strings when it looks for duplicates, so one object must always get the same URL:
everything except unreserved characters (RFC 3986) and `/` is percent-encoded. That also keeps whitespace
out, which Encord refuses, and `+`, which S3 would read as a space.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, urlsplit

from cloud_sync.encord_limits import MAX_URL_BYTES
from cloud_sync.errors import ConfigError, ManifestError
from cloud_sync.safe_url import without_secrets

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


SAFE_IN_URL = re.compile(r"[A-Za-z0-9\-._~/]*")
UNSAFE_IN_URL = re.compile(r"[^A-Za-z0-9\-._~/]+")
KEYS_PER_TEST = 1_000

MRAP_ARN = re.compile(r"arn:aws[a-z-]*:s3::\d{12}:accesspoint/[A-Za-z0-9.-]+\.mrap")
AWS_HOST = re.compile(
    r"(?:(?P<bucket>.+)\.)?s3(?:-accelerate)?(?:[.-]dualstack)?"
    r"(?:[.-](?P<region>[a-z]{2,}(?:-[a-z]+)+-\d+))?\.amazonaws\.com(?:\.cn)?"
)


class UrlStyle(StrEnum):
    """How an object's URL is written. An integration keeps its style: another style is another URL."""

    VIRTUAL_HOSTED = "virtual-hosted"
    PATH = "path"
    S3 = "s3"
    MRAP = "mrap"


@dataclass(frozen=True, slots=True)
class ObjectAddress:
    """What a URL points at.

    Attributes:
        provider: `s3`, also for S3-compatible stores.
        bucket: The bucket, or the ARN of the Multi-Region Access Point.
        key: The object's key, decoded.
    """

    provider: str
    bucket: str
    key: str


@dataclass(frozen=True, slots=True)
class ObjectUrls:
    """Builds and reads the URLs of one bucket in one style.

    Args:
        provider: `s3`.
        bucket: The bucket's name.
        style: How URLs are written.
        region: The bucket's region. Needed by AWS in the styles virtual-hosted and path.
        endpoint_url: Address of an S3-compatible store; None for AWS.
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
            raise _not_readable(url, f"does not start with {self.base}")
        return _decode(url, url.removeprefix(self.base))

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
        if fault := _unfit(url):
            raise _not_readable(url, fault)
        address = _parse_arn(url) or _parse_s3_scheme(url)
        if address is None:
            address = _parse_endpoint(url, self.endpoint_url) if self.endpoint_url else _parse_aws(url)
        if address is None or not address.key or address.bucket not in {self.bucket, self.mrap_arn}:
            raise _not_readable(url, f"is none of the bucket {self.bucket}")
        return address.key


def parse_object_url(url: str, endpoint_urls: Sequence[str] = ()) -> ObjectAddress:
    """Read a URL in any S3 form that Encord's documentation names.

    Virtual-hosted, path, `s3://` (in any case), the legacy forms without a region or with `s3-<region>`, and
    the ARN of a Multi-Region Access Point followed by the object's name. For `endpoint_urls`
    (S3-compatible stores) path and virtual-hosted style.

    In the HTTP forms of AWS a bare `+` is a space, as S3 itself reads it and as its console writes it.

    Raises:
        ConfigError: The URL has none of these forms, or carries whitespace, a query or a fragment.
    """
    if fault := _unfit(url):
        raise _not_readable(url, fault)
    address = _parse_arn(url) or _parse_s3_scheme(url)
    for endpoint_url in endpoint_urls:
        address = address or _parse_endpoint(url, endpoint_url)
    address = address or _parse_aws(url)
    if address is None:
        raise _not_readable(url, "has no known form")
    if not address.bucket or not address.key:
        raise _not_readable(url, "names no bucket and object")
    return address


def _unfit(url: str) -> str | None:
    if any(character.isspace() for character in url):
        return "contains whitespace, which must be written %20"
    if "?" in url or "#" in url:
        return "carries a query or a fragment (a `?` or `#` of a key is written %3F or %23)"
    return None


def _parse_arn(url: str) -> ObjectAddress | None:
    match = MRAP_ARN.match(url)
    if match is None or url[match.end() : match.end() + 1] != "/":
        return None
    return ObjectAddress("s3", match.group(), _decode(url, url[match.end() + 1 :]))


def _parse_s3_scheme(url: str) -> ObjectAddress | None:
    scheme, separator, rest = url.partition("://")
    if not separator or scheme.lower() != "s3":
        return None
    bucket, _, path = rest.partition("/")
    return ObjectAddress("s3", bucket, _decode(url, path))


def _parse_endpoint(url: str, endpoint_url: str) -> ObjectAddress | None:
    base = endpoint_url.rstrip("/") + "/"
    if url.lower().startswith(base.lower()):
        bucket, _, path = url[len(base) :].partition("/")
        return ObjectAddress("s3", bucket, _decode(url, path))
    scheme, _, host_and_path = base.partition("://")
    host, _, prefix = host_and_path.partition("/")
    match = re.match(rf"{scheme}://([^/:@]+)\.{re.escape(host)}/{re.escape(prefix)}", url, re.IGNORECASE)
    if match is None:
        return None
    return ObjectAddress("s3", match.group(1), _decode(url, url[match.end() :]))


def _parse_aws(url: str) -> ObjectAddress | None:
    scheme, _, rest = url.partition("://")
    host, _, path = rest.partition("/")
    match = AWS_HOST.fullmatch(host.lower())
    if match is None or scheme.lower() not in {"http", "https"}:
        return None
    path = path.replace("+", "%20")
    if bucket := match["bucket"]:
        return ObjectAddress("s3", bucket, _decode(url, path))
    bucket, _, path = path.partition("/")
    return ObjectAddress("s3", bucket, _decode(url, path))


def _encode(unsafe: re.Match[str]) -> str:
    return quote(unsafe[0])


def _decode(url: str, path: str) -> str:
    try:
        return unquote(path, errors="strict")
    except UnicodeDecodeError as error:
        raise _not_readable(url, "is not UTF-8 after percent-decoding") from error


def _not_readable(url: str, fault: str) -> ConfigError:
    return ConfigError(
        f"object URL {without_secrets(url)!r} {fault}.",
        remedy="Write it as https://<bucket>.s3.<region>.amazonaws.com/<key>, percent-encoded.",
    )


def _refuse_long_urls(keys: Sequence[str], urls: Sequence[str]) -> None:
    for key, url in zip(keys, urls, strict=True):
        if len(url) > MAX_URL_BYTES:
            raise ManifestError(
                f"the URL of this object has {len(url):,} bytes; Encord accepts {MAX_URL_BYTES:,}.",
                where=f"object {key[:200]!r}",
                remedy="Rename the object or exclude it in the integration file.",
            )


def _virtual_hosted_base(urls: ObjectUrls) -> str:
    if urls.endpoint_url is None:
        return f"https://{urls.bucket}.s3.{_aws_domain(urls)}/"
    scheme, separator, rest = _endpoint(urls).partition("://")
    if _is_ip_address(rest):
        raise ConfigError(
            f"a bucket cannot stand in front of the IP address of {urls.endpoint_url}.",
            where=f"bucket {urls.bucket}",
            remedy="Write url_style: path, or give the connection an endpoint with a host name.",
        )
    return f"{scheme}{separator}{urls.bucket}.{rest}"


def _is_ip_address(host_and_path: str) -> bool:
    host = urlsplit(f"//{host_and_path}").hostname or ""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _path_base(urls: ObjectUrls) -> str:
    if urls.endpoint_url is None:
        return f"https://s3.{_aws_domain(urls)}/{urls.bucket}/"
    return f"{_endpoint(urls)}{urls.bucket}/"


def _s3_scheme_base(urls: ObjectUrls) -> str:
    return f"s3://{urls.bucket}/"


def _mrap_base(urls: ObjectUrls) -> str:
    if urls.mrap_arn is None or not MRAP_ARN.fullmatch(urls.mrap_arn):
        raise ConfigError(
            "the URL style mrap needs the ARN of the Multi-Region Access Point.",
            where=urls.bucket,
            remedy="Set `mrap_arn` to arn:aws:s3::<account>:accesspoint/<alias>.mrap.",
        )
    return f"{urls.mrap_arn}/"


def _aws_domain(urls: ObjectUrls) -> str:
    if not urls.region:
        raise ConfigError(
            f"the region of the bucket is unknown, and {urls.style} URLs contain it.",
            where=urls.bucket,
            remedy="Set `region_name` in the extras of the AWS connection to the bucket's region.",
        )
    suffix = ".cn" if urls.region.startswith("cn-") else ""
    return f"{urls.region}.amazonaws.com{suffix}"


def _endpoint(urls: ObjectUrls) -> str:
    """Return the endpoint with one slash at its end, after checking that nothing secret stands in it."""
    parts = urlsplit(urls.endpoint_url or "")
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username or parts.query:
        raise ConfigError(
            "the endpoint URL of the connection is not of the form http(s)://host[:port].",
            where=urls.bucket,
            remedy="Set `endpoint_url` in the extras of the AWS connection, without credentials or a query.",
        )
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}/"


BASE_BUILDERS: Mapping[tuple[str, UrlStyle], Callable[[ObjectUrls], str]] = {
    ("s3", UrlStyle.VIRTUAL_HOSTED): _virtual_hosted_base,
    ("s3", UrlStyle.PATH): _path_base,
    ("s3", UrlStyle.S3): _s3_scheme_base,
    ("s3", UrlStyle.MRAP): _mrap_base,
}
"""What a URL starts with, by provider and style. A further provider is a further line here."""
