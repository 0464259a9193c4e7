"""One bucket of an S3 store: its listing page by page, and reading of objects.

Pages are asked for by the provider's own client, which speaks every key exactly and brings the connection's
endpoint, credentials and certificates along; `s3_pages` reads them. Objects are read by obstore, except
where it cannot say their key, because it normalises keys as paths: `a//b`, `/a`, `a/`, `a/../b`, control
characters.
"""

from __future__ import annotations

import contextlib
import re
import time
from datetime import UTC, timedelta
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar, cast

from cloud_sync.objects.errors import ObjectStoreError, from_botocore, from_obstore
from cloud_sync.objects.model import Page, StoredObject
from cloud_sync.objects.s3_pages import keep_pages, read_page
from cloud_sync.retry_after import retry_after_s
from cloud_sync.version import user_agent

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

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
ATTEMPTS = 5
"""How often a request is made at most, the first time included."""
BUSY_STATUSES = frozenset({429, 503})
LONGEST_WAIT_S = 60.0
"""How long a request waits before it is made again. A store that asks for more is not asked again: the error
says how long to leave it alone."""
RETRY_BUDGET = timedelta(minutes=2)
MAX_CONNECTIONS = 64


def is_expressible(key: str) -> bool:
    """Tell whether obstore speaks this key exactly."""
    return INEXPRESSIBLE.search(key) is None


class S3ObjectStore:
    """One bucket of AWS S3 or of an S3-compatible store. All methods are safe to call from many threads.

    Make one with `open_s3`. Every method raises ObjectStoreError.

    Attributes:
        bucket: The bucket's name.
        where: The place named in errors, `bucket <name>`.
    """

    def __init__(self, bucket: str, fast: Any, make_client: Callable[[], Any]) -> None:
        self.bucket = bucket
        self.where = f"bucket {bucket}"
        self._fast = fast
        self._make_client = make_client
        self._client: Any = None
        self._lock = Lock()
        self._reading = Lock()

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

    def read_start(self, key: str, length: int) -> tuple[int, bytes]:
        """Return an object's size in bytes and its first `length` bytes: all there is of a shorter one.

        One request; two where a store gives the whole of an object that it was asked a part of.
        """
        if not is_expressible(key):
            return self._exact_start(key, length)
        try:
            got = self._fast.get(key, options={"range": (0, length)})
            return got.meta["size"], bytes(got.bytes())
        except Exception as error:
            if _is_behind_the_end(error):
                return 0, b""  # only of an empty object not even the first byte can be given
            if "non-partial response" in str(error):
                return self._exact_start(key, length)
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
        self.page(prefix, limit=1)

    def page(
        self,
        prefix: str,
        *,
        after: str | None = None,
        token: str | None = None,
        delimiter: str = "",
        limit: int | None = None,
    ) -> Page:
        """List one page: every key as the store has it.

        Args:
            prefix: A string prefix, of any form.
            after: List what stands behind this key.
            token: `next_token` of the page before; wins over `after`.
            delimiter: Fold keys that contain this behind the prefix into common prefixes.
            limit: At most so many entries; as many as the store gives if None.
        """
        arguments: dict[str, Any] = {"Prefix": prefix, "MaxKeys": limit or KEYS_PER_PAGE}
        arguments |= {"Delimiter": delimiter} if delimiter else {}
        arguments |= {"ContinuationToken": token} if token else {}
        arguments |= {"StartAfter": after} if after and not token else {}
        answer = self._ask("list_objects_v2", **arguments)
        try:
            # numpy and Arrow let go of the interpreter's lock at every step. Threads that read pages at the
            # same time would hand it to and fro: twice the CPU, and slower.
            with self._reading:
                page = read_page(answer)
            if token is not None and page.next_token == token:
                raise ValueError("the page that follows is the page itself, so it would never end")
            return page
        except ValueError as error:
            raise ObjectStoreError(
                f"the store's listing cannot be read: {error}.",
                reason="other",
                where=f"{self.where}, prefix {prefix!r}",
                remedy="Check that the endpoint of the connection is that of an S3 store.",
            ) from None

    def _exact_read(self, key: str, byte_range: str) -> bytes:
        try:
            body = self._ask("get_object", key, Range=byte_range)["Body"]
            return self._translated(key, lambda: cast(bytes, body.read()))
        except ObjectStoreError as error:
            if "InvalidRange" in error.message:
                return b""
            raise

    def _exact_start(self, key: str, length: int) -> tuple[int, bytes]:
        try:
            answer = self._ask("get_object", key, Range=f"bytes=0-{length - 1}")
        except ObjectStoreError as error:
            if "InvalidRange" in error.message:
                return 0, b""
            raise
        # `bytes 0-4095/10000`; without it this is the object from end to end.
        _, _, size_bytes = answer.get("ContentRange", "").rpartition("/")
        with contextlib.closing(answer["Body"]) as body:
            data = self._translated(key, lambda: cast(bytes, body.read(length)))
        return int(size_bytes or answer["ContentLength"]), data

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

        def ask() -> Any:
            with self._lock:
                if self._client is None:
                    self._client = self._make_client()
                    keep_pages(self._client)
                    self._client.meta.events.register("needs-retry.s3", _wait_as_asked)
            return getattr(self._client, operation)(**arguments)

        return self._translated(key, ask)

    def _translated(self, key: str | None, call: Callable[[], T]) -> T:
        """Call the provider's client; whatever it raises is an ObjectStoreError."""
        try:
            return call()
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
    client: Any = None,
    virtual_hosted: bool = False,
) -> S3ObjectStore:
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
        client: A boto3 S3 client for this store alone, made with `client_config`; made when first needed if
            None.
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

    def make_client() -> Any:
        return client or _made_client(make_session(), endpoint_url, region, virtual_hosted)

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
    return S3ObjectStore(bucket, S3Store(bucket, **options), make_client)


def _transport(endpoint_url: str | None) -> dict[str, Any]:
    """Return how obstore connects and tries again."""
    return {
        "client_options": {
            "allow_http": (endpoint_url or "").startswith("http://"),
            "connect_timeout": timedelta(seconds=CONNECT_TIMEOUT_S),
            "timeout": timedelta(seconds=READ_TIMEOUT_S),
        },
        "retry_config": {"max_retries": ATTEMPTS - 1, "retry_timeout": RETRY_BUDGET},
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


def client_config(**options: Any) -> Any:
    """Return how a boto3 client connects and tries again: as many connections as pages in flight.

    Args:
        options: More settings of botocore's Config.
    """
    from botocore.config import Config

    return Config(
        signature_version="s3v4",
        connect_timeout=CONNECT_TIMEOUT_S,
        read_timeout=READ_TIMEOUT_S,
        retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
        max_pool_connections=MAX_CONNECTIONS,
        # Given, it is not put together anew for every page.
        user_agent=user_agent(),
        **options,
    )


def _made_client(session: Any, endpoint_url: str | None, region: str | None, virtual_hosted: bool) -> Any:
    style = "virtual" if virtual_hosted or endpoint_url is None else "path"
    # A store of one's own may know no regions, but a signature always names one.
    region = region or session.region_name or ("us-east-1" if endpoint_url else None)
    config = client_config(s3={"addressing_style": style})
    return session.client("s3", endpoint_url=endpoint_url, region_name=region, config=config)


def _with_bucket(endpoint_url: str, bucket: str) -> str:
    """Put the bucket into the endpoint: without it obstore lists nothing and says nothing."""
    scheme, separator, host = endpoint_url.partition("://")
    return endpoint_url if host.startswith(f"{bucket}.") else f"{scheme}{separator}{bucket}.{host}"


def _wait_as_asked(
    *, operation: Any, response: tuple[Any, Any] | None = None, attempts: int = ATTEMPTS, **_: Any
) -> None:
    """Wait as long as a busy store asks for before botocore tries again, which would not look at that.

    Raises:
        ClientError: The store asks for longer than a request waits, so that it is not made again.
    """
    if response is None or attempts >= ATTEMPTS or response[0].status_code not in BUSY_STATUSES:
        return
    asked_s = retry_after_s(response[0].headers) or 0.0
    if asked_s > LONGEST_WAIT_S:
        from botocore.exceptions import ClientError

        raise ClientError(response[1], operation.name)
    time.sleep(asked_s)


def _is_behind_the_end(error: Exception) -> bool:
    text = str(error)
    return "InvalidRange" in text or "status code: 416" in text
