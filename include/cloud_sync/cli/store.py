"""The bucket, opened with the credentials of this machine instead of an Airflow connection."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from cloud_sync.errors import ConfigError

if TYPE_CHECKING:
    from cloud_sync.cli.options import Access
    from cloud_sync.integration import Storage
    from cloud_sync.objects.model import ObjectStore
    from cloud_sync.objects.urls import ObjectUrls

LATER: Final = {"gs": "Google Cloud Storage", "az": "Azure Blob Storage", "obs": "Open Telekom Cloud OBS"}

REMEDIES: Final = {
    "forbidden": "Check --profile, AWS_PROFILE or AWS_ACCESS_KEY_ID: the credentials have to be valid, with "
    "s3:ListBucket on the bucket and s3:GetObject on its objects.",
    "missing": "Check the bucket's name, --region and --endpoint-url.",
    "no_bucket": "Check the bucket's name, --region and --endpoint-url.",
    "unreachable": "Check --endpoint-url and the network, then try again.",
    "other": "Check --region and --endpoint-url.",
}
"""What to do here about an error of the store, whose own remedies speak of Airflow connections."""


@dataclass(frozen=True, slots=True)
class OpenStorage:
    """A bucket that was opened, and how its object URLs are written."""

    store: ObjectStore
    urls: ObjectUrls


def parse_source(source: str) -> tuple[str, str]:
    """Return bucket and prefix of `s3://bucket/prefix`.

    Raises:
        ConfigError: It is something else; says what works today.
    """
    scheme, separator, rest = source.partition("://")
    scheme = scheme.lower()
    if separator and scheme in LATER:
        raise ConfigError(
            f"{LATER[scheme]} arrives later.",
            where=source,
            remedy="Today s3:// works, with AWS S3 and S3-compatible stores (--endpoint-url).",
        )
    bucket, _, prefix = rest.partition("/")
    if not separator or scheme != "s3" or not bucket:
        raise ConfigError("names no bucket.", where=source, remedy="Write it as s3://bucket/prefix.")
    return bucket, prefix


def open_storage(storage: Storage, access: Access) -> OpenStorage:
    """Open an integration's bucket. Makes no request to it.

    Raises:
        ConfigError: The style of the URLs needs a region or endpoint that is not known.
        StorageError: There are no credentials.
    """
    from botocore.exceptions import BotoCoreError

    from cloud_sync.objects.errors import from_botocore
    from cloud_sync.objects.stores import open_s3
    from cloud_sync.objects.urls import ObjectUrls, UrlStyle

    region = storage.region or access.region
    try:
        session = _session(access.profile, region)
        region = region or session.region_name
        endpoint_url, addressing = _configured(session, access.endpoint_url)
    except BotoCoreError as error:
        raise from_botocore(error, f"bucket {storage.bucket}") from None
    except ValueError as error:
        raise ConfigError(f"{error}.", where="--endpoint-url", remedy="Write https://host:port.") from None
    style = UrlStyle(storage.url_style)
    if region is None and endpoint_url is None and style in {UrlStyle.VIRTUAL_HOSTED, UrlStyle.PATH}:
        raise ConfigError(
            f"the region of the bucket is unknown, and {style} URLs contain it.",
            where=f"bucket {storage.bucket}",
            remedy="Add --region, or set a region in the profile or in AWS_DEFAULT_REGION.",
        )
    try:
        urls = ObjectUrls(
            storage.provider,
            storage.bucket,
            style,
            region=region,
            endpoint_url=endpoint_url,
            mrap_arn=storage.mrap_arn,
        )
    except ConfigError as error:
        if endpoint_url is not None:
            error.remedy = "Change --endpoint-url, or write URLs in the style path (url_style, --url-style)."
        raise
    store = open_s3(
        storage.bucket,
        endpoint_url=endpoint_url,
        region=region,
        session=session,
        virtual_hosted=addressing == "virtual",
    )
    return OpenStorage(store, urls)


@contextmanager
def local_remedies() -> Iterator[None]:
    """Give errors of the store remedies for someone at a command line."""
    from cloud_sync.objects.errors import ObjectStoreError

    try:
        yield
    except ObjectStoreError as error:
        error.remedy = REMEDIES[error.reason]
        raise


def _session(profile: str | None, region: str | None) -> Any:
    import boto3

    return boto3.Session(profile_name=profile, region_name=region)


def _configured(session: Any, endpoint_url: str | None) -> tuple[str | None, str | None]:
    """Return the endpoint, None for AWS itself, and how the bucket is addressed.

    botocore knows from where both may come: AWS_ENDPOINT_URL, profiles, sections of services. A client that
    signs nothing tells, without looking for credentials.
    """
    from botocore import UNSIGNED
    from botocore.config import Config

    region, config = session.region_name or "us-east-1", Config(signature_version=UNSIGNED)
    client = session.client("s3", endpoint_url=endpoint_url, region_name=region, config=config)
    host = urlsplit(client.meta.endpoint_url).hostname or ""
    is_aws = host.endswith((".amazonaws.com", ".amazonaws.com.cn"))
    addressing = (client.meta.config.s3 or {}).get("addressing_style")
    return (None if is_aws else client.meta.endpoint_url), addressing
