"""Ask S3 for objects: their URLs, and the signature that proves who asks (AWS Signature Version 4)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, quote, urlsplit

from cloud_sync.objects.wire import Wire, connected, proxy_for, trusted_certificates

if TYPE_CHECKING:
    from collections.abc import Mapping

KEY = "key"


class S3Sign:
    """Signs requests to one bucket; for many threads.

    Args:
        bucket_url: What stands before every key.
        credentials: botocore's, which renew themselves.
        region: That of the signature.
        service: That of the signature.
    """

    def __init__(self, bucket_url: str, credentials: Any, region: str, service: str = "s3") -> None:
        self.bucket_url = bucket_url
        self.region = region
        self._credentials = credentials
        self._service = service

    def __call__(self, method: str, key: str, headers: Mapping[str, str]) -> tuple[str, dict[str, str]]:
        """Return URL and signed headers, as `cloud_sync.objects.wire.Sign` says."""
        from botocore.auth import S3SigV4Auth
        from botocore.awsrequest import AWSRequest

        url = self.bucket_url + quote(key, safe="/~")
        request = AWSRequest(method, url, headers=dict(headers))
        credentials = self._credentials.get_frozen_credentials()
        S3SigV4Auth(credentials, self._service, self.region).add_auth(request)
        return url, dict(request.headers.items())


def wire_like(client: Any, bucket: str, credentials: Any, verify: bool | str | None = None) -> Wire:
    """Return a wire that goes where a boto3 client goes; makes no request.

    Which address, region and style of URL apply is for botocore to say: it is asked for a presigned URL.

    Args:
        client: The boto3 client.
        bucket: The bucket.
        credentials: botocore's credentials of the same session.
        verify: As the client has it: whether certificates are checked, or the file of those to trust; None
            for what the environment says.
    """
    url = urlsplit(client.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": KEY}))
    bucket_url = f"{url.scheme}://{url.netloc}{url.path.removesuffix(KEY)}"
    # <access key>/<day>/<region>/<service>/aws4_request
    scope = parse_qs(url.query).get("X-Amz-Credential", [""])[0].split("/")
    region, service = scope[-3:-1] if len(scope) > 4 else (client.meta.region_name, "s3")  # noqa: PLR2004
    if verify is None:
        verify = trusted_certificates("AWS_CA_BUNDLE")
    config = client.meta.config
    return connected(
        S3Sign(bucket_url, credentials, region, service),
        bucket_url,
        verify=verify,
        proxy_url=proxy_for(bucket_url, config.proxies),
        **_certificate(config.client_cert),
    )


def _certificate(client_cert: str | tuple[str, str] | None) -> dict[str, Any]:
    """Return what a client shows of itself, as urllib3 takes it."""
    if client_cert is None:
        return {}
    if isinstance(client_cert, str):
        return {"cert_file": client_cert}
    return {"cert_file": client_cert[0], "key_file": client_cert[1]}
