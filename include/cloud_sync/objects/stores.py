"""One bucket of an object store: reading, and the primitives that listing is made of.

The fast way is obstore. It normalises keys as paths, so some keys it cannot say: `a//b`, `/a`, `a/`,
`a/../b`, control characters. For those, and wherever its answer may not be the whole truth, the
provider's own client is asked, which speaks every key exactly.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, timedelta
from threading import Lock
from typing import TYPE_CHECKING, Any, cast

from cloud_sync.objects.errors import ObjectStoreError, from_botocore, from_obstore
from cloud_sync.objects.model import StoredObject

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pyarrow as pa

KEYS_PER_PAGE = 1_000
"""What S3 gives in one page of a listing."""

INEXPRESSIBLE = re.compile(r"(?:^|/)\.{0,2}(?:/|$)|[\x00-\x1f\x7f]")
"""Keys that obstore refuses or changes: an empty, `.` or `..` segment, a control character."""

CREDENTIALS_KEPT = timedelta(minutes=9)
"""How long obstore may keep credentials before it asks the session again. botocore renews a role's
credentials when less than 10 minutes of their life are left, so shorter is always safe; obstore's default of
30 minutes would go on with expired ones."""

CONNECT_TIMEOUT_S = 5
READ_TIMEOUT_S = 30
RETRIES = 8
RETRY_BUDGET = timedelta(minutes=2)
MAX_CONNECTIONS = 64


def is_expressible(key: str) -> bool:
    """Tell whether obstore speaks this key exactly."""
    return INEXPRESSIBLE.search(key) is None


@dataclass(frozen=True, slots=True)
class ExactPage:
    """One page of a listing as the provider's client gives it.

    Attributes:
        objects: The objects, in the store's order.
        prefixes: Common prefixes, each with its final `/`, when the page was asked for with a delimiter.
        next_token: What continues the listing; None on the last page.
    """

    objects: tuple[StoredObject, ...]
    prefixes: tuple[str, ...]
    next_token: str | None


class ObjectStore:
    """One bucket. All methods are safe to call from many threads.

    Make one with `open_s3`. Every method raises ObjectStoreError.

    Attributes:
        bucket: The bucket's name.
        where: The place named in errors, `bucket <name>`.
    """

    def __init__(self, bucket: str, fast: Any, make_exact_client: Callable[[], Any]) -> None:
        self.bucket = bucket
        self.where = f"bucket {bucket}"
        self._fast = fast
        self._make_exact_client = make_exact_client
        self._exact_client: Any = None
        self._lock = Lock()

    def read_range(self, key: str, start: int, length: int) -> bytes:
        """Return up to `length` bytes from offset `start`: fewer at the end, none behind it. One request."""
        if length <= 0:
            return b""
        if not is_expressible(key):
            return self._exact_read(key, f"bytes={start}-{start + length - 1}")
        try:
            return bytes(self._fast.get_range(key, start=start, length=length))
        except Exception as error:
            if _is_behind_the_end(error):
                return b""
            raise self._from_fast(error, key) from None

    def read_tail(self, key: str, length: int) -> bytes:
        """Return the last `length` bytes, or all of a shorter object. One request."""
        if length <= 0:
            return b""
        if not is_expressible(key):
            return self._exact_read(key, f"bytes=-{length}")
        try:
            return bytes(self._fast.get(key, options={"range": {"suffix": length}}).bytes())
        except Exception as error:
            if "non-partial response" in str(error):
                # Some stores answer 200 instead of 206 for the tail of an empty object; obstore refuses that.
                return self._exact_read(key, f"bytes=-{length}")
            if _is_behind_the_end(error):
                return b""
            raise self._from_fast(error, key) from None

    def head(self, key: str) -> StoredObject:
        """Return what the store says of an object without reading it."""
        if not is_expressible(key):
            return self._exact_head(key)
        try:
            meta = self._fast.head(key)
        except Exception as error:
            raise self._from_fast(error, key) from None
        return StoredObject(
            key=key,
            size_bytes=meta["size"],
            last_modified=meta["last_modified"].astimezone(UTC),
            etag=(meta["e_tag"] or "").strip('"'),
        )

    def check_access(self, prefix: str = "") -> None:
        """Make one cheap request that tells a missing bucket, refused credentials and a wrong region apart.

        Args:
            prefix: Where to look. A policy may allow listing below a prefix only.
        """
        self.exact_page(prefix, limit=1)

    def stream(self, folder: str, after: str | None = None) -> Iterator[pa.RecordBatch]:
        """List a folder with obstore: batches of up to 1,000 rows, as they arrive, without copies.

        Args:
            folder: Empty, or a prefix that ends with `/` and that obstore can express otherwise.
            after: List what stands behind this key, which obstore can express.

        Yields:
            Batches with obstore's columns (path, last_modified, size, e_tag, version).

        Raises:
            InvalidPathError: of obstore, at the first page with a key that it cannot express.
            ObjectStoreError: The store refused or failed for longer than the retries last.
        """
        import pyarrow as pa
        from obstore.exceptions import InvalidPathError

        try:
            for batch in self._fast.list(
                folder.removesuffix("/") or None, offset=after, chunk_size=KEYS_PER_PAGE, return_arrow=True
            ):
                yield pa.record_batch(batch)
        except InvalidPathError:
            raise
        except Exception as error:
            raise self._from_fast(error) from None

    def exact_page(
        self,
        prefix: str,
        *,
        after: str | None = None,
        token: str | None = None,
        delimiter: str = "",
        limit: int = KEYS_PER_PAGE,
    ) -> ExactPage:
        """Ask the provider's client for one page: every key as the store has it.

        Args:
            prefix: A string prefix, of any form.
            after: List what stands behind this key.
            token: `next_token` of the page before.
            delimiter: Fold keys that contain this behind the prefix into common prefixes.
            limit: At most so many entries.
        """
        arguments: dict[str, Any] = {"Prefix": prefix, "MaxKeys": limit}
        arguments |= {"Delimiter": delimiter} if delimiter else {}
        arguments |= {"ContinuationToken": token} if token else {}
        arguments |= {"StartAfter": after} if after and not token else {}
        answer = self._ask("list_objects_v2", **arguments)
        return ExactPage(
            objects=tuple(map(_stored_object, answer.get("Contents", ()))),
            prefixes=tuple(entry["Prefix"] for entry in answer.get("CommonPrefixes", ())),
            next_token=answer.get("NextContinuationToken") if answer.get("IsTruncated") else None,
        )

    def _exact_read(self, key: str, byte_range: str) -> bytes:
        try:
            return cast(bytes, self._ask("get_object", key, Range=byte_range)["Body"].read())
        except ObjectStoreError as error:
            if "InvalidRange" in error.message:
                return b""
            raise

    def _exact_head(self, key: str) -> StoredObject:
        answer = self._ask("head_object", key)
        return StoredObject(
            key=key,
            size_bytes=answer["ContentLength"],
            last_modified=answer["LastModified"].astimezone(UTC),
            etag=answer.get("ETag", "").strip('"'),
        )

    def _ask(self, operation: str, key: str | None = None, **arguments: Any) -> Any:
        arguments = {"Bucket": self.bucket} | ({"Key": key} if key is not None else {}) | arguments
        try:
            with self._lock:
                self._exact_client = self._exact_client or self._make_exact_client()
            return getattr(self._exact_client, operation)(**arguments)
        except ObjectStoreError:
            raise
        except Exception as error:
            raise from_botocore(error, self._place(key)) from None

    def _from_fast(self, error: Exception, key: str | None = None) -> ObjectStoreError:
        return from_obstore(error, self._place(key))

    def _place(self, key: str | None) -> str:
        return self.where if key is None else f"{self.where}, object {key!r}"


def open_s3(
    bucket: str,
    *,
    endpoint_url: str | None = None,
    region: str | None = None,
    access_key_id: str | None = None,
    secret_access_key: str | None = None,
    session_token: str | None = None,
    session: Any = None,
    exact_client: Any = None,
    virtual_hosted: bool = False,
) -> ObjectStore:
    """Open a bucket of AWS S3 or of an S3-compatible store. Makes no request.

    Args:
        bucket: The bucket's name.
        endpoint_url: Address of an S3-compatible store, without the bucket; None for AWS.
        region: The bucket's region; the session's if None.
        access_key_id: Login; without it the session's credentials are used.
        secret_access_key: Its secret.
        session_token: Its token, if it is temporary.
        session: A boto3 session. Its credentials are asked for again while a listing runs, so roles that
            expire within the hour are fine.
        exact_client: A boto3 S3 client for what obstore cannot express; made when first needed if None.
        virtual_hosted: The endpoint wants the bucket in its host name. AWS itself always gets it so.

    Raises:
        ObjectStoreError: No credentials could be obtained.
    """
    from obstore.store import S3Store

    def make_session() -> Any:
        import boto3

        return session or boto3.Session(
            aws_access_key_id=access_key_id,
            aws_secret_access_key=secret_access_key,
            aws_session_token=session_token,
            region_name=region,
        )

    def make_exact_client() -> Any:
        return exact_client or _exact_client(make_session(), endpoint_url, region, virtual_hosted)

    options: dict[str, Any] = {"virtual_hosted_style_request": virtual_hosted or endpoint_url is None}
    if region := region or getattr(session, "region_name", None):
        options["region"] = region
    if endpoint_url:
        options["endpoint"] = _with_bucket(endpoint_url, bucket) if virtual_hosted else endpoint_url
    if access_key_id and secret_access_key:
        options |= {"access_key_id": access_key_id, "secret_access_key": secret_access_key}
        options |= {"session_token": session_token} if session_token else {}
    else:
        options["credential_provider"] = _credentials_of(make_session, f"bucket {bucket}")
    options |= _transport(endpoint_url)
    return ObjectStore(bucket, S3Store(bucket, **options), make_exact_client)


def _transport(endpoint_url: str | None) -> dict[str, Any]:
    """Return how obstore connects and tries again."""
    return {
        "client_options": {
            "allow_http": (endpoint_url or "").startswith("http://"),
            "connect_timeout": timedelta(seconds=CONNECT_TIMEOUT_S),
            "timeout": timedelta(seconds=READ_TIMEOUT_S),
        },
        "retry_config": {"max_retries": RETRIES, "retry_timeout": RETRY_BUDGET},
    }


def _credentials_of(make_session: Callable[[], Any], where: str) -> Any:
    """Return a provider that asks the session whenever obstore needs credentials."""
    from botocore.exceptions import BotoCoreError, ClientError
    from obstore.auth.boto3 import Boto3CredentialProvider

    try:
        return Boto3CredentialProvider(make_session(), ttl=CREDENTIALS_KEPT)
    except (BotoCoreError, ClientError) as error:
        raise from_botocore(error, where) from None
    except ValueError:
        raise ObjectStoreError(
            "no credentials could be obtained.",
            reason="forbidden",
            where=where,
            remedy="Give the connection a login and password, a role or a profile.",
        ) from None


def _exact_client(session: Any, endpoint_url: str | None, region: str | None, virtual_hosted: bool) -> Any:
    from botocore.config import Config

    config = Config(
        signature_version="s3v4",
        connect_timeout=CONNECT_TIMEOUT_S,
        read_timeout=READ_TIMEOUT_S,
        retries={"mode": "standard", "max_attempts": RETRIES},
        max_pool_connections=MAX_CONNECTIONS,
        s3={"addressing_style": "virtual" if virtual_hosted or endpoint_url is None else "path"},
    )
    # A store of one's own may know no regions, but a signature always names one.
    region = region or session.region_name or ("us-east-1" if endpoint_url else None)
    return session.client("s3", endpoint_url=endpoint_url, region_name=region, config=config)


def _with_bucket(endpoint_url: str, bucket: str) -> str:
    """Put the bucket into the endpoint: without it obstore lists nothing and says nothing."""
    scheme, separator, host = endpoint_url.partition("://")
    return endpoint_url if host.startswith(f"{bucket}.") else f"{scheme}{separator}{bucket}.{host}"


def _stored_object(entry: Any) -> StoredObject:
    return StoredObject(
        key=entry["Key"],
        size_bytes=entry["Size"],
        last_modified=entry["LastModified"].astimezone(UTC),
        etag=entry.get("ETag", "").strip('"'),
    )


def _is_behind_the_end(error: Exception) -> bool:
    text = str(error)
    return "InvalidRange" in text or "status code: 416" in text
