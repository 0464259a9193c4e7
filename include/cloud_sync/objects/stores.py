"""One bucket of an S3 store: its listing page by page, and reading of objects.

Pages are asked for by the provider's own client, which speaks every key exactly and brings the connection's
endpoint, credentials and certificates along; `s3_pages` reads them. Objects are read by `wire`, at the same
address and with the same credentials, but for less than half of the client's CPU. `attempts` says for both
how often, how long apart and until when.
"""

from __future__ import annotations

from datetime import UTC
from email.utils import parsedate_to_datetime
from threading import Lock
from typing import TYPE_CHECKING, Any, Final, TypeVar

from cloud_sync.objects.errors import ObjectStoreError, from_botocore
from cloud_sync.objects.model import Page, StoredObject
from cloud_sync.objects.s3_pages import keep_pages, read_page, stay_in_region
from cloud_sync.objects.wire import CONNECT_TIMEOUT_S, MAX_CONNECTIONS, READ_TIMEOUT_S
from cloud_sync.objects.wired_store import WiredStore, check_goes_on
from cloud_sync.version import user_agent

if TYPE_CHECKING:
    from collections.abc import Callable

    from cloud_sync.objects.attempts import Attempts
    from cloud_sync.objects.wire import Wire

T = TypeVar("T")

KEYS_PER_PAGE = 1_000
"""What S3 gives in one page of a listing."""
NO_STORE = "Check that the endpoint of the connection is that of an S3 store."


class S3ObjectStore(WiredStore):
    """One bucket of AWS S3 or of an S3-compatible store. All methods are safe to call from many threads.

    Make one with `open_s3`. Every method raises ObjectStoreError.

    Attributes:
        bucket: The bucket's name.
        where: The place named in errors, `bucket <name>`.
        has_start_after: True: a listing can begin behind a key.
        keys_per_shared_page: None: 1,000 keys take little memory.
    """

    has_start_after: Final = True
    keys_per_shared_page: Final = None

    def __init__(
        self,
        bucket: str,
        make_client: Callable[[], Any],
        make_wire: Callable[[Any], Wire],
        attempts: Attempts | None = None,
    ) -> None:
        """Take what makes the connections.

        Args:
            bucket: The bucket's name.
            make_client: Makes the provider's client; called when it is first needed.
            make_wire: Makes a wire that goes where that client goes; called at the first read.
            attempts: How requests are tried again.
        """
        super().__init__(bucket, f"bucket {bucket}", attempts)
        self._make_client = make_client
        self._make_wire = make_wire
        self._client: Any = None
        self._wire: Wire | None = None
        self._lock = Lock()
        self._reading = Lock()

    def head(self, key: str) -> StoredObject:
        """Return what the store says of an object without reading it."""
        answer = self._head(key)
        try:
            modified = parsedate_to_datetime(answer.headers.get("Last-Modified", ""))
        except ValueError:
            raise ObjectStoreError(
                "the store's answer does not say when the object was last changed.",
                reason="other",
                where=self._place(key),
                remedy=NO_STORE,
            ) from None
        return StoredObject(
            key=key,
            size_bytes=answer.size_bytes,
            last_modified=modified.astimezone(UTC),
            etag=answer.headers.get("ETag", "").strip('"'),
        )

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

        answer = self._make(
            lambda _: self._opened_client().list_objects_v2(Bucket=self.bucket, **arguments), self.where
        )
        try:
            # numpy and Arrow let go of the interpreter's lock at every step. Threads that read pages at the
            # same time would hand it to and fro: twice the CPU, and slower.
            with self._reading:
                page = read_page(answer)
            check_goes_on(page, token)
            return page
        except ValueError as error:
            raise ObjectStoreError(
                f"the store's listing cannot be read: {error}.",
                reason="other",
                where=f"{self.where}, prefix {prefix!r}",
                remedy=NO_STORE,
            ) from None

    def _make(self, call: Callable[[float], T], where: str) -> T:
        """Make a request; whatever the provider's client raises is an ObjectStoreError."""

        def attempt(deadline: float) -> T:
            try:
                return call(deadline)
            except ObjectStoreError:
                raise
            except Exception as error:
                raise from_botocore(error, where) from None

        return super()._make(attempt, where)

    def _opened_client(self) -> Any:
        with self._lock:
            if self._client is None:
                self._client = self._make_client()
                keep_pages(self._client)
                stay_in_region(self._client)
            return self._client

    def _opened_wire(self) -> Wire:
        client = self._opened_client()
        with self._lock:
            if self._wire is None:
                self._wire = self._make_wire(client)
            return self._wire


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
    verify: bool | str | None = None,
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
        verify: Whether certificates are checked, or the file of those to trust, as `client` has it; None for
            what the environment says.
        virtual_hosted: The endpoint wants the bucket in its host name. AWS itself always gets it so.

    Raises:
        ObjectStoreError: No credentials could be obtained.
    """
    if session is None:
        import boto3

        session = boto3.Session(
            aws_access_key_id=access_key_id,
            aws_secret_access_key=secret_access_key,
            aws_session_token=session_token,
            region_name=region,
        )
    credentials = _credentials_of(session, f"bucket {bucket}")

    def make_client() -> Any:
        return client or _made_client(session, endpoint_url, region, virtual_hosted)

    def make_wire(of_client: Any) -> Wire:
        from cloud_sync.objects.s3_signing import wire_like

        return wire_like(of_client, bucket, credentials, verify)

    return S3ObjectStore(bucket, make_client, make_wire)


def _credentials_of(session: Any, where: str) -> Any:
    """Return a session's credentials, which renew themselves."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        credentials = session.get_credentials()
    except (BotoCoreError, ClientError) as error:
        raise from_botocore(error, where) from None
    if credentials is None:
        raise ObjectStoreError(
            "no credentials could be obtained.",
            reason="forbidden",
            where=where,
            remedy="Give the connection a login and password, a role or a profile.",
            is_general=True,
        )
    return credentials


def client_config(given: Any = None, **options: Any) -> Any:
    """Return how a boto3 client connects: as many connections as pages in flight, and one attempt a request.

    Args:
        given: A botocore Config that wins over this one, but for the attempts.
        options: More settings of botocore's Config.
    """
    from botocore.config import Config

    # `Attempts` tries again, and would have its attempts multiplied.
    once = Config(retries={"mode": "standard", "total_max_attempts": 1})
    config = Config(
        signature_version="s3v4",
        connect_timeout=CONNECT_TIMEOUT_S,
        read_timeout=READ_TIMEOUT_S,
        max_pool_connections=MAX_CONNECTIONS,
        # Given, it is not put together anew for every page.
        user_agent=user_agent(),
        **options,
    )
    return config.merge(given or Config()).merge(once)


def _made_client(session: Any, endpoint_url: str | None, region: str | None, virtual_hosted: bool) -> Any:
    style = "virtual" if virtual_hosted or endpoint_url is None else "path"
    # A store of one's own may know no regions, but a signature always names one.
    region = region or session.region_name or ("us-east-1" if endpoint_url else None)
    config = client_config(s3={"addressing_style": style})
    return session.client("s3", endpoint_url=endpoint_url, region_name=region, config=config)
