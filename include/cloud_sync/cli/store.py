"""The bucket, opened with the credentials of this machine instead of an Airflow connection."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from cloud_sync.clouds import is_aws
from cloud_sync.errors import ConfigError

if TYPE_CHECKING:
    from cloud_sync.cli.options import Access
    from cloud_sync.integration import Storage
    from cloud_sync.objects.model import ObjectStore
    from cloud_sync.objects.urls import ObjectUrls

PROVIDER_OF: Final = {"s3": "s3", "gs": "gcs", "az": "azure", "obs": "otc"}
"""By the scheme with which a person names a bucket."""

AWS_ACCESS: Final = (
    "Check --profile, AWS_PROFILE or AWS_ACCESS_KEY_ID: the credentials have to be valid, with "
)
FORBIDDEN: Final[Mapping[str, str]] = {
    "s3": f"{AWS_ACCESS}s3:ListBucket on the bucket and s3:GetObject on its objects.",
    "otc": f"{AWS_ACCESS}obs:bucket:ListBucket on the bucket and obs:object:GetObject on its objects.",
    "gcs": "Check GOOGLE_APPLICATION_CREDENTIALS or run `gcloud auth application-default login`: the "
    "credentials have to be valid, with storage.objects.list and storage.objects.get on the bucket.",
    "azure": "Check AZURE_STORAGE_CONNECTION_STRING, AZURE_STORAGE_KEY or AZURE_STORAGE_SAS_TOKEN, or run "
    "`az login`: the credentials have to be valid, with the role Storage Blob Data Reader on the container.",
}
WRONG_PLACE: Final[Mapping[str, str]] = {
    "s3": "Check the bucket's name, --region and --endpoint-url.",
    "otc": "Check the bucket's name, --region and --endpoint-url.",
    "gcs": "Check the bucket's name.",
    "azure": "Check the container's name and the storage account.",
}
"""What to do here about an error of the store, whose own remedies speak of Airflow connections."""


@dataclass(frozen=True, slots=True)
class OpenStorage:
    """A bucket that was opened, and how its object URLs are written."""

    store: ObjectStore
    urls: ObjectUrls


def parse_source(source: str) -> tuple[str, str, str]:
    """Return provider, bucket and prefix of `s3://bucket/prefix`, or `gs://`, `az://`, `obs://`.

    Raises:
        ConfigError: It is something else; says what works.
    """
    scheme, separator, rest = source.partition("://")
    bucket, _, prefix = rest.partition("/")
    provider = PROVIDER_OF.get(scheme.lower())
    if not separator or provider is None or not bucket:
        raise ConfigError(
            "names no bucket.",
            where=source,
            remedy="Write it as s3://bucket/prefix, or with gs:// (Google), az:// (container of Azure) or "
            "obs:// (Open Telekom Cloud).",
        )
    return provider, bucket, prefix


def open_storage(storage: Storage, access: Access) -> OpenStorage:
    """Open an integration's bucket. Makes no request to it.

    Raises:
        ConfigError: The style of the URLs needs a region, endpoint or account that is not known.
        StorageError: There are no credentials.
    """
    return OPENERS[storage.provider](storage, access)


@contextmanager
def local_remedies(provider: str) -> Iterator[None]:
    """Give errors of the store remedies for someone at a command line."""
    from cloud_sync.objects.errors import ObjectStoreError

    try:
        yield
    except ObjectStoreError as error:
        if error.reason == "forbidden":
            error.remedy = FORBIDDEN[provider]
        elif error.reason == "unreachable":
            error.remedy = "Check --endpoint-url and the network, then try again."
        else:
            error.remedy = WRONG_PLACE[provider]
        raise


def _open_s3(storage: Storage, access: Access) -> OpenStorage:
    from cloud_sync.objects.urls import UrlStyle

    region = storage.region or access.region
    session, endpoint_url, in_host = _aws(storage, access)
    region = region or session.region_name
    style = UrlStyle(storage.url_style)
    is_of_aws = endpoint_url is None or is_aws(endpoint_url)
    if region is None and is_of_aws and style in {UrlStyle.VIRTUAL_HOSTED, UrlStyle.PATH}:
        raise ConfigError(
            f"the region of the bucket is unknown, and {style} URLs contain it.",
            where=f"bucket {storage.bucket}",
            remedy="Add --region, or set a region in the profile or in AWS_DEFAULT_REGION.",
        )
    return _opened_s3(storage, session, endpoint_url, region, virtual_hosted=in_host)


def _open_otc(storage: Storage, access: Access) -> OpenStorage:
    from cloud_sync.objects.otc import is_otc, otc_endpoint

    session, endpoint_url, in_host = _aws(storage, access)
    region = storage.region or access.region or session.region_name
    if region is None and endpoint_url is None:
        raise ConfigError(
            "the region of the bucket is unknown, and with it the endpoint.",
            where=f"bucket {storage.bucket}",
            remedy="Add --region eu-de, or set a region in the profile or in AWS_DEFAULT_REGION.",
        )
    endpoint_url = endpoint_url or otc_endpoint(region or "")
    virtual_hosted = in_host or is_otc(endpoint_url)
    return _opened_s3(storage, session, endpoint_url, region, virtual_hosted=virtual_hosted)


def _opened_s3(
    storage: Storage, session: Any, endpoint_url: str | None, region: str | None, *, virtual_hosted: bool
) -> OpenStorage:
    from cloud_sync.objects.stores import open_s3

    # Encord may not reach the endpoint of a private network, and URLs stay the same without it.
    own_url = None if endpoint_url is None or is_aws(endpoint_url) else endpoint_url
    try:
        urls = _urls(storage, own_url, region)
    except ConfigError as error:
        if own_url is not None:
            error.remedy = "Change --endpoint-url, or write URLs in the style path (url_style, --url-style)."
        raise
    store = open_s3(
        storage.bucket,
        endpoint_url=endpoint_url,
        region=region,
        session=session,
        virtual_hosted=virtual_hosted,
    )
    return OpenStorage(store, urls)


def _open_gcs(storage: Storage, access: Access) -> OpenStorage:
    from cloud_sync.objects.gcs import open_gcs

    emulator = os.environ.get("STORAGE_EMULATOR_HOST")
    credentials = google_credentials(storage.bucket, is_needed=emulator is None)
    store = open_gcs(storage.bucket, credentials=credentials, endpoint_url=access.endpoint_url or emulator)
    return OpenStorage(store, _urls(storage))


def google_credentials(bucket: str, *, is_needed: bool) -> Any:
    import google.auth
    from google.auth.credentials import AnonymousCredentials
    from google.auth.exceptions import GoogleAuthError

    from cloud_sync.objects.errors import ObjectStoreError

    try:
        credentials, _ = google.auth.default()
    except (GoogleAuthError, ValueError, OSError) as error:
        if not is_needed:
            return AnonymousCredentials()  # type: ignore[no-untyped-call]
        raise ObjectStoreError(
            f"no credentials could be obtained ({type(error).__name__}).",
            reason="forbidden",
            where=f"bucket {bucket}",
        ) from None
    return credentials


def _open_azure(storage: Storage, access: Access) -> OpenStorage:
    from cloud_sync.objects.azure import open_azure
    from cloud_sync.objects.azure_account import AzureAccount

    where = f"container {storage.bucket}"
    try:
        client = azure_client(storage.account, access.endpoint_url)
    except ValueError as error:
        raise ConfigError(
            f"there is no way to the storage account ({type(error).__name__}).",
            where=where,
            remedy="Set AZURE_STORAGE_CONNECTION_STRING, or AZURE_STORAGE_ACCOUNT and AZURE_STORAGE_KEY, to "
            "what the account's page `Access keys` says.",
        ) from None
    if client is None:
        raise ConfigError(
            "the storage account is unknown, and its URLs contain it.",
            where=where,
            remedy="Add --account, or set `account` in the integration file or AZURE_STORAGE_ACCOUNT.",
        )
    account = AzureAccount.of(client, where=where, wanted=storage.account)
    store = open_azure(storage.bucket, account_url=account.url, credential=account.credential)
    return OpenStorage(store, _urls(storage, account.url))


def azure_client(account: str | None, account_url: str | None) -> Any:
    """Return a client of Azure's SDK, made of the variables of Azure's command line; None without account."""
    from azure.storage.blob import BlobServiceClient

    if text := os.environ.get("AZURE_STORAGE_CONNECTION_STRING"):
        return BlobServiceClient.from_connection_string(text)
    account = account or os.environ.get("AZURE_STORAGE_ACCOUNT")
    if account is None and account_url is None:
        return None
    credential: Any = os.environ.get("AZURE_STORAGE_KEY") or os.environ.get("AZURE_STORAGE_SAS_TOKEN")
    if not credential:
        from azure.identity import DefaultAzureCredential

        credential = DefaultAzureCredential()
    return BlobServiceClient(account_url or f"https://{account}.blob.core.windows.net", credential=credential)


def _urls(storage: Storage, endpoint_url: str | None = None, region: str | None = None) -> ObjectUrls:
    from cloud_sync.objects.urls import ObjectUrls, UrlStyle

    return ObjectUrls(
        storage.provider,
        storage.bucket,
        UrlStyle(storage.url_style),
        region=region,
        endpoint_url=endpoint_url,
        mrap_arn=storage.mrap_arn,
    )


def _aws(storage: Storage, access: Access) -> tuple[Any, str | None, bool]:
    """Return a session, the endpoint and whether it wants the bucket in its host."""
    import boto3
    from botocore.exceptions import BotoCoreError

    from cloud_sync.objects.errors import from_botocore

    try:
        session = boto3.Session(
            profile_name=access.profile, region_name=storage.region or access.region or None
        )
        endpoint_url, in_host = configured(session, access.endpoint_url)
    except BotoCoreError as error:
        raise from_botocore(error, f"bucket {storage.bucket}") from None
    except ValueError as error:
        raise ConfigError(f"{error}.", where="--endpoint-url", remedy="Write https://host:port.") from None
    return session, endpoint_url, in_host


def configured(session: Any, endpoint_url: str | None) -> tuple[str | None, bool]:
    """Return the endpoint to ask, None for the usual one of AWS, and whether it wants the bucket in its host.

    botocore knows from where both may come: AWS_ENDPOINT_URL, profiles, sections of services. A client that
    signs nothing tells, without looking for credentials.
    """
    from botocore import UNSIGNED
    from botocore.config import Config

    region = session.region_name or "us-east-1"

    def client(url: str | None, **options: Any) -> Any:
        config = Config(signature_version=UNSIGNED, **options)
        return session.client("s3", endpoint_url=url, region_name=region, config=config).meta

    found = client(endpoint_url)
    addressing = (found.config.s3 or {}).get("addressing_style")
    if not is_aws(found.endpoint_url):
        return found.endpoint_url, addressing == "virtual"
    usual = client(None, ignore_configured_endpoint_urls=True).endpoint_url
    return (None if found.endpoint_url == usual else found.endpoint_url), addressing != "path"


OPENERS: Final[Mapping[str, Callable[[Storage, Access], OpenStorage]]] = {
    "s3": _open_s3,
    "gcs": _open_gcs,
    "azure": _open_azure,
    "otc": _open_otc,
}
