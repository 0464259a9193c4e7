"""Open the bucket of a state folder with credentials that somebody else found."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from cloud_sync.clouds import AWS_DOMAIN, aws_domain, aws_endpoint
from cloud_sync.objects.errors import ObjectStoreError, from_botocore
from cloud_sync.objects.otc import is_otc
from cloud_sync.run_folder.address import BucketAddress
from cloud_sync.run_folder.bucket import Bucket, as_state_error
from cloud_sync.run_folder.folder import RunFolder
from cloud_sync.run_folder.remote import RemoteFiles
from cloud_sync.version import user_agent

CONNECT_TIMEOUT = timedelta(seconds=5)
# Between two parts of an answer; as a whole it may take as long as a large file needs.
READ_TIMEOUT = timedelta(seconds=30)
REQUEST_TIMEOUT = timedelta(minutes=30)
RETRIES = {"max_retries": 4, "retry_timeout": timedelta(minutes=2)}

CREDENTIALS_KEPT = timedelta(minutes=9)
"""How long obstore may keep credentials before it asks the session again. botocore renews a role's
credentials when less than 10 minutes of their life are left, so shorter is always safe; obstore's default of
30 minutes would go on with expired ones."""

AZURE_SCOPE = "https://storage.azure.com/.default"


def bucket_folder(store: Any, address: BucketAddress) -> RunFolder:
    """Return a part of a bucket as a folder.

    Args:
        store: The bucket, as one of the functions here opens it.
        address: Which part, and what to call it.
    """
    return RunFolder(RemoteFiles(Bucket(store, str(address), address.prefix)))


def s3_store(
    bucket: str,
    *,
    session: Any,
    endpoint_url: str | None = None,
    region: str | None = None,
    virtual_hosted: bool = False,
    verify: bool | str | None = None,
) -> Any:
    """Open a bucket of AWS S3 or of an S3-compatible store. Makes no request.

    Args:
        bucket: The bucket's name.
        session: A boto3 session. Its credentials are asked for again and again, so those of a role are fine.
        endpoint_url: Address of an S3-compatible store, without the bucket; None for AWS.
        region: The bucket's region; the session's if None.
        virtual_hosted: The endpoint wants the bucket in its host name. AWS itself and Open Telekom Cloud
            always get it so.
        verify: False for certificates that are not checked.

    Raises:
        ObjectStoreError: No credentials could be obtained.
    """
    from obstore.store import S3Store

    virtual_hosted = virtual_hosted or (endpoint_url is not None and is_otc(endpoint_url))
    # A store of one's own may know no regions, but a signature always names one.
    region = region or session.region_name or "us-east-1"
    if endpoint_url is None and aws_domain(region) != AWS_DOMAIN:  # obstore knows no other
        endpoint_url, virtual_hosted = aws_endpoint(region), True
    in_host = virtual_hosted or endpoint_url is None
    options: dict[str, Any] = {
        "virtual_hosted_style_request": in_host,
        "region": region,
        "credential_provider": _boto3_credentials(session, f"s3://{bucket}"),
    }
    if endpoint_url:
        options["endpoint"] = _with_bucket(endpoint_url, bucket) if virtual_hosted else endpoint_url
    return S3Store(bucket, **options, **_transport(endpoint_url, verify=verify))


def gcs_store(bucket: str, *, credentials: Any, endpoint_url: str | None = None) -> Any:
    """Open a bucket of Google Cloud Storage. Makes no request.

    Args:
        bucket: The bucket's name.
        credentials: Of google.auth.
        endpoint_url: Where the API is; None for Google's usual place.
    """
    from obstore.store import GCSStore

    options: dict[str, Any] = {"base_url": endpoint_url} if endpoint_url else {}
    provider = _google_credentials(credentials)
    return GCSStore(bucket, credential_provider=provider, **options, **_transport(endpoint_url))


def azure_store(container: str, *, client: Any) -> Any:
    """Open a container of Azure Blob Storage. Makes no request.

    Args:
        container: The container's name.
        client: The BlobServiceClient of azure-storage-blob of the account, made with a key, a SAS token or a
            credential that fetches tokens.
    """
    from obstore.store import AzureStore

    account_url, _, sas_token = client.url.partition("?")
    parts = urlsplit(account_url)
    # An emulator has the account in the path.
    account = parts.path.strip("/") or (parts.hostname or "").partition(".")[0]
    return AzureStore(
        container,
        account_name=account,
        endpoint=account_url.rstrip("/"),
        credential_provider=_azure_credentials(client.credential, sas_token),
        **_transport(account_url),
    )


def _transport(url: str | None, *, verify: bool | str | None = None) -> dict[str, Any]:
    """Return how obstore connects and tries again."""
    client: dict[str, Any] = {
        "allow_http": (url or "").startswith("http://"),
        "connect_timeout": CONNECT_TIMEOUT,
        "read_timeout": READ_TIMEOUT,
        "timeout": REQUEST_TIMEOUT,
        "user_agent": user_agent(),
    }
    if verify is False:
        client["allow_invalid_certificates"] = True
    return {"client_options": client, "retry_config": RETRIES}


def _boto3_credentials(session: Any, where: str) -> Any:
    """Return a provider that asks the session whenever obstore needs credentials."""
    from botocore.exceptions import BotoCoreError, ClientError
    from obstore.auth.boto3 import Boto3CredentialProvider

    try:
        return Boto3CredentialProvider(session, ttl=CREDENTIALS_KEPT)
    except (BotoCoreError, ClientError) as error:
        raise as_state_error(from_botocore(error, where)) from None
    except ValueError:
        raise ObjectStoreError(
            "no credentials could be obtained.",
            reason="forbidden",
            where=where,
            remedy="Give the connection state_connection_id a login and password, a role or a profile.",
        ) from None


def _google_credentials(credentials: Any) -> Callable[[], dict[str, Any]]:
    def provide() -> dict[str, Any]:
        if not credentials.valid:
            from google.auth.transport.requests import Request

            credentials.refresh(Request())
        expires_at = credentials.expiry.replace(tzinfo=UTC) if credentials.expiry else None
        return {"token": credentials.token, "expires_at": expires_at}

    return provide


def _azure_credentials(credential: Any, sas_token: str) -> Callable[[], dict[str, Any]]:
    def provide() -> dict[str, Any]:
        if hasattr(credential, "account_key"):
            return {"access_key": credential.account_key, "expires_at": None}
        if sas_token:
            return {"sas_token": sas_token, "expires_at": None}
        token = credential.get_token(AZURE_SCOPE)
        return {"token": token.token, "expires_at": datetime.fromtimestamp(token.expires_on, UTC)}

    return provide


def _with_bucket(endpoint_url: str, bucket: str) -> str:
    """Put the bucket into the endpoint: without it obstore lists nothing and says nothing."""
    scheme, separator, host = endpoint_url.partition("://")
    return endpoint_url if host.startswith(f"{bucket}.") else f"{scheme}{separator}{bucket}.{host}"
