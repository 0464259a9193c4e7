"""What object URLs start with, by provider and style."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from cloud_sync.clouds import MRAP_ARN, MRAP_FORM, aws_endpoint
from cloud_sync.errors import ConfigError
from cloud_sync.objects.otc import otc_endpoint

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cloud_sync.objects.urls import ObjectUrls

PLACE_OF_ENDPOINT: Mapping[str, str] = {
    "s3": "Set `endpoint_url` in the extras of the AWS connection, without credentials or a query.",
    "otc": "Set `endpoint_url` in the extras of the AWS connection, without credentials or a query.",
    "azure": "Set the host of the connection to https://<account>.blob.core.windows.net.",
}


def _virtual_hosted(urls: ObjectUrls) -> str:
    scheme, separator, rest = _endpoint(urls).partition("://")
    if _is_ip_address(rest):
        raise ConfigError(
            f"a bucket cannot stand in front of the IP address of {urls.endpoint_url}.",
            where=f"bucket {urls.bucket}",
            remedy="Write url_style: path, or give the connection an endpoint with a host name.",
        )
    return f"{scheme}{separator}{urls.bucket}.{rest}"


def _path(urls: ObjectUrls) -> str:
    return f"{_endpoint(urls)}{urls.bucket}/"


def _scheme(scheme: str) -> Callable[[ObjectUrls], str]:
    return lambda urls: f"{scheme}://{urls.bucket}/"


def _mrap(urls: ObjectUrls) -> str:
    if urls.mrap_arn is None or not MRAP_ARN.fullmatch(urls.mrap_arn):
        raise ConfigError(
            "the URL style mrap needs the ARN of the Multi-Region Access Point.",
            where=urls.bucket,
            remedy=f"Set `mrap_arn` to {MRAP_FORM}.",
        )
    return f"{urls.mrap_arn}/"


def _google(urls: ObjectUrls) -> str:
    return f"https://storage.cloud.google.com/{urls.bucket}/"


def _azure(urls: ObjectUrls) -> str:
    if urls.endpoint_url is None:
        raise ConfigError(
            "the storage account is unknown, and its URLs contain it.",
            where=f"container {urls.bucket}",
            remedy=PLACE_OF_ENDPOINT["azure"],
        )
    return f"{_endpoint(urls)}{urls.bucket}/"


def _endpoint(urls: ObjectUrls) -> str:
    """Return the endpoint with one slash at its end, after checking that nothing secret stands in it."""
    if urls.endpoint_url is None:
        return f"{ENDPOINT_OF_REGION[urls.provider](_region(urls))}/"
    parts = urlsplit(urls.endpoint_url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username or parts.query:
        raise ConfigError(
            "the endpoint URL of the connection is not of the form http(s)://host[:port].",
            where=urls.bucket,
            remedy=PLACE_OF_ENDPOINT[urls.provider],
        )
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}/"


def _region(urls: ObjectUrls) -> str:
    if not urls.region:
        raise ConfigError(
            f"the region of the bucket is unknown, and {urls.style} URLs contain it.",
            where=urls.bucket,
            remedy="Set `region_name` in the extras of the AWS connection to the bucket's region.",
        )
    return urls.region


def _is_ip_address(host_and_path: str) -> bool:
    host = urlsplit(f"//{host_and_path}").hostname or ""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


ENDPOINT_OF_REGION: Mapping[str, Callable[[str], str]] = {"s3": aws_endpoint, "otc": otc_endpoint}
"""Where a cloud's own stores are."""

BASE_BUILDERS: Mapping[tuple[str, str], Callable[[ObjectUrls], str]] = {
    ("s3", "virtual-hosted"): _virtual_hosted,
    ("s3", "path"): _path,
    ("s3", "s3"): _scheme("s3"),
    ("s3", "mrap"): _mrap,
    ("gcs", "gs"): _scheme("gs"),
    ("gcs", "https"): _google,
    ("azure", "https"): _azure,
    ("otc", "virtual-hosted"): _virtual_hosted,
    ("otc", "path"): _path,
}
"""What a URL starts with, by provider and style. A further provider is further lines here."""
