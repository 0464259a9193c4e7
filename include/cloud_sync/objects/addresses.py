"""Reading object URLs: which bucket and key a URL means, in every form that is in use.

Per provider, since a host says whose URL it is only where no store of one's own is concerned. What is written
is for `urls` to say; here belongs also what Encord's users have in old manifests.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote

from cloud_sync.clouds import AWS_DOMAIN, AWS_DOMAINS, MRAP_ARN
from cloud_sync.errors import ConfigError
from cloud_sync.safe_url import without_secrets

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

AWS_HOST = re.compile(
    r"(?:(?P<bucket>.+)\.)?s3(?:-accelerate|-fips|-external-1)?(?:[.-]dualstack)?"
    r"(?:[.-](?P<region>[a-z]{2,}(?:-[a-z]+)+-\d+))?\."
    rf"(?:{'|'.join(map(re.escape, (AWS_DOMAIN, *AWS_DOMAINS.values())))})"
)
MRAP_HOST = re.compile(rf"([a-z0-9.-]+\.mrap)\.accesspoint\.s3-global\.{re.escape(AWS_DOMAIN)}")
USUAL_PORT = {"http": ":80", "https": ":443"}
GOOGLE_HOST = re.compile(r"(?:(?P<bucket>.+)\.)?storage\.googleapis\.com|storage\.cloud\.google\.com")
OTC_HOST = re.compile(r"(?:(?P<bucket>.+)\.)?obs\.[a-z0-9-]+(?:\.sc)?\.otc\.t-systems\.com")

OWN_HOST: Mapping[str, re.Pattern[str]] = {
    "s3": AWS_HOST,
    "gcs": GOOGLE_HOST,
    "azure": re.compile(r"(?!)"),  # every account has a host of its own
    "otc": OTC_HOST,
}
"""The hosts of each cloud, which are not the endpoint of anybody."""

ROOT_CONTAINER = "$root"
"""Azure's container of blobs whose URL names none. Their names hold no slash."""


@dataclass(frozen=True, slots=True)
class ObjectAddress:
    """What a URL points at.

    Attributes:
        provider: `s3` (also for S3-compatible stores), `gcs`, `azure` or `otc`.
        bucket: The bucket or container, or the ARN of the Multi-Region Access Point.
        key: The object's key, decoded.
    """

    provider: str
    bucket: str
    key: str


def parse_object_url(url: str, provider: str, endpoint_url: str | None = None) -> ObjectAddress:
    """Read a URL in any form that a provider's objects have.

    - `s3`: virtual-hosted, path, `s3://` (in any case), the legacy forms without a region or with
      `s3-<region>`, dual-stack, FIPS and accelerated hosts, and the ARN of a Multi-Region Access Point
      followed by the object's name; the host of such a point names the bucket `<alias>.mrap`. In the HTTP
      forms of AWS a bare `+` is a space, as S3 itself reads it and as its console writes it.
    - `gcs`: `gs://`, and the hosts storage.cloud.google.com and storage.googleapis.com.
    - `azure`: what lies below the account's URL, which is `endpoint_url`.
    - `otc`: virtual-hosted and path, of any region.

    Args:
        url: The URL.
        provider: Whose forms count.
        endpoint_url: Address of an S3-compatible store: its path and virtual-hosted URLs count instead of
            those of AWS or Open Telekom Cloud. For azure the account's URL. Google's do not depend on it.

    Raises:
        ConfigError: The URL has none of these forms, or carries whitespace, a query or a fragment.
    """
    address = find_address(url, provider, endpoint_url)
    if address is None:
        raise not_readable(url, "has no known form", provider)
    return address


def find_address(url: str, provider: str, endpoint_url: str | None = None) -> ObjectAddress | None:
    """Do as `parse_object_url`, but return None for a URL that has none of the forms.

    Raises:
        ConfigError: It carries whitespace, a query or a fragment, or names no object.
    """
    if any(character.isspace() for character in url):
        raise not_readable(url, "contains whitespace, which must be written %20", provider)
    if "?" in url or "#" in url:
        fault = "carries a query or a fragment (a `?` or `#` of a key is written %3F or %23)"
        raise not_readable(url, fault, provider)
    found = FORMS[provider](url, endpoint_url)
    if found is None:
        return None
    bucket, path = found
    if not bucket or not path:
        raise not_readable(url, "names no bucket and object", provider)
    return ObjectAddress(provider, bucket, decode(url, path, provider))


def key_in_bucket(
    url: str, provider: str, bucket: str, endpoint_url: str | None = None, mrap_arn: str | None = None
) -> str:
    """Return the key of a URL of one bucket, in whatever form it is written.

    Args:
        url: The URL.
        provider: The bucket's provider.
        bucket: The bucket's name.
        endpoint_url: As `parse_object_url`.
        mrap_arn: ARN of the Multi-Region Access Point, which names the bucket too.

    Raises:
        ConfigError: It is a URL of another bucket or store, or none that can be read.
    """
    address = find_address(url, provider, endpoint_url)
    names = {bucket, mrap_arn, mrap_arn.rpartition("/")[2] if mrap_arn else bucket}
    if address is None or address.bucket not in names:
        raise not_readable(url, f"is none of the bucket {bucket}", provider)
    return address.key


def endpoint_behind(url_base: str, provider: str, bucket: str) -> str | None:
    """Return the endpoint of a bucket, as `parse_object_url` wants it, from what its URLs start with.

    Args:
        url_base: Of an `ObjectUrls`.
        provider: The bucket's provider.
        bucket: The bucket's name.
    """
    scheme, _, rest = url_base.partition("://")
    host, _, path = rest.partition("/")
    if scheme not in {"http", "https"} or OWN_HOST[provider].fullmatch(host):
        return None
    host, path = host.removeprefix(f"{bucket}."), path.removesuffix(f"{bucket}/")
    return f"{scheme}://{host}/{path}"


def decode(url: str, path: str, provider: str) -> str:
    """Return the key that a part of a URL means.

    Raises:
        ConfigError: It is no text.
    """
    try:
        return unquote(path, errors="strict")
    except UnicodeDecodeError as error:
        raise not_readable(url, "is not UTF-8 after percent-decoding", provider) from error


def not_readable(url: str, fault: str, provider: str) -> ConfigError:
    """Return the error of a URL that cannot be read."""
    return ConfigError(
        f"object URL {without_secrets(url)!r} {fault}.",
        remedy=f"Write it as {USUAL_FORM[provider]}, percent-encoded.",
    )


USUAL_FORM: Mapping[str, str] = {
    "s3": "https://<bucket>.s3.<region>.amazonaws.com/<key>",
    "gcs": "gs://<bucket>/<key>",
    "azure": "https://<account>.blob.core.windows.net/<container>/<blob>",
    "otc": "https://<bucket>.obs.<region>.otc.t-systems.com/<key>",
}

# Each form gives bucket and path, the path still percent-encoded; None if it is another form.
Found = tuple[str, str] | None


def _s3(url: str, endpoint_url: str | None) -> Found:
    found = _arn(url) or _scheme(url, "s3")
    if found is None and endpoint_url is not None and _is_elsewhere(endpoint_url, AWS_HOST):
        return _endpoint(url, endpoint_url)
    return found or _aws(url)


def _gcs(url: str, endpoint_url: str | None) -> Found:
    return _scheme(url, "gs") or _hosted(url, GOOGLE_HOST)


def _azure(url: str, endpoint_url: str | None) -> Found:
    path = _path_below(url, endpoint_url) if endpoint_url else None
    if path is None:
        return None
    container, slash, blob = path.partition("/")
    return (unquote(container), blob) if slash else (ROOT_CONTAINER, container)


def _otc(url: str, endpoint_url: str | None) -> Found:
    if endpoint_url is not None and _is_elsewhere(endpoint_url, OTC_HOST):
        return _endpoint(url, endpoint_url)
    return _hosted(url, OTC_HOST)


def _is_elsewhere(endpoint_url: str, hosts: re.Pattern[str]) -> bool:
    """Tell whether an endpoint is none of a cloud's own places, whose URLs have more forms."""
    return hosts.fullmatch(_split(endpoint_url)[1]) is None


def _arn(url: str) -> Found:
    match = MRAP_ARN.match(url)
    if match is None or url[match.end() : match.end() + 1] != "/":
        return None
    return match.group(), url[match.end() + 1 :]


def _scheme(url: str, wanted: str) -> Found:
    scheme, separator, rest = url.partition("://")
    if not separator or scheme.lower() != wanted:
        return None
    bucket, _, path = rest.partition("/")
    return bucket, path


def _aws(url: str) -> Found:
    found = _hosted(url, AWS_HOST) or _access_point(url)
    return (found[0], found[1].replace("+", "%20")) if found else None


def _access_point(url: str) -> Found:
    scheme, host, path = _split(url)
    match = MRAP_HOST.fullmatch(host)
    return (match[1], path) if match and scheme in USUAL_PORT else None


def _hosted(url: str, hosts: re.Pattern[str]) -> Found:
    """Read a URL of a cloud's own hosts, whose group `bucket` is the bucket in front of them, if any."""
    scheme, host, path = _split(url)
    match = hosts.fullmatch(host)
    if match is None or scheme not in USUAL_PORT:
        return None
    if bucket := match["bucket"]:
        return bucket, path
    bucket, _, path = path.partition("/")
    return bucket, path


def _split(url: str) -> tuple[str, str, str]:
    """Return scheme and host in lower case, without the port that the scheme has anyway, and the path."""
    scheme, _, rest = url.partition("://")
    host, _, path = rest.partition("/")
    scheme = scheme.lower()
    return scheme, host.lower().removesuffix(USUAL_PORT.get(scheme, "")), path


def _endpoint(url: str, endpoint_url: str) -> Found:
    path = _path_below(url, endpoint_url)
    if path is not None:
        bucket, _, path = path.partition("/")
        return bucket, path
    scheme, _, host_and_path = endpoint_url.rstrip("/").partition("://")
    host, _, prefix = f"{host_and_path}/".partition("/")
    match = re.match(rf"{scheme}://([^/:@]+)\.{re.escape(host)}/{re.escape(prefix)}", url, re.IGNORECASE)
    return (match.group(1), url[match.end() :]) if match else None


def _path_below(url: str, endpoint_url: str) -> str | None:
    base = endpoint_url.rstrip("/") + "/"
    return url[len(base) :] if url.lower().startswith(base.lower()) else None


FORMS: Mapping[str, Callable[[str, str | None], Found]] = {
    "s3": _s3,
    "gcs": _gcs,
    "azure": _azure,
    "otc": _otc,
}
