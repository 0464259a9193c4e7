"""One bucket of Google Cloud Storage: its listing page by page, and reading of objects, by the JSON API.

Requests go over a `wire`, with the tokens of google-auth; `attempts` says how often, how long apart and until
when. Keys stand in URLs as one piece, with every slash percent-encoded, so no key is changed on the way.
"""

from __future__ import annotations

import threading
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import quote, urlencode

from cloud_sync.objects.errors import ObjectStoreError, made, torn
from cloud_sync.objects.gcs_errors import NO_BUCKET, READ_ONLY, UNAUTHORISED, from_gcs, from_google_auth
from cloud_sync.objects.gcs_pages import ITEM_FIELDS, PAGE_FIELDS, TornAnswer, read_object, read_page
from cloud_sync.objects.model import Page
from cloud_sync.objects.spans import DELIMITER, LAST_CHARACTER
from cloud_sync.objects.wire import READ_TIMEOUT_S, Wire, connected, proxy_for, trusted_certificates
from cloud_sync.objects.wired_store import WiredStore, check_goes_on
from cloud_sync.version import user_agent

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from google.auth.credentials import Credentials

    from cloud_sync.objects.attempts import Attempts
    from cloud_sync.objects.model import StoredObject

T = TypeVar("T")

KEYS_PER_PAGE: Final = 1_000
"""What the API gives in one page at most."""


class GcsSign:
    """Says where the content of an object is, and proves who asks by a token that it keeps fresh.

    For many threads.

    Args:
        objects_url: The API's address of the bucket's objects.
        credentials: Whose tokens to show.
        request: What credentials ask for tokens with.
    """

    def __init__(self, objects_url: str, credentials: Credentials, request: Callable[..., Any]) -> None:
        self.objects_url = objects_url
        self._credentials = credentials
        self._request = request
        self._lock = threading.Lock()
        self._sent = threading.local()

    def __call__(self, method: str, key: str, headers: Mapping[str, str]) -> tuple[str, dict[str, str]]:
        """Return URL and headers, as `cloud_sync.objects.wire.Sign` says."""
        url = f"{self.url_of(key)}?alt=media"
        return url, self.headers(method, url) | dict(headers)

    def url_of(self, key: str) -> str:
        """Return the address of what the API says of an object."""
        return f"{self.objects_url}/{quote(key, safe='')}"

    def headers(self, method: str, url: str) -> dict[str, str]:
        """Return what to send, with a token that is good for some minutes more.

        Accepting gzip has two effects. Pages come compressed, which Google does only for clients that name it
        in their User-Agent as well. Objects that are stored compressed come as they are stored, so that the
        size that the listing gives is the size of what is read.
        """
        headers = {"User-Agent": f"{user_agent()} (gzip)", "Accept-Encoding": "gzip"}
        with self._lock:
            self._credentials.before_request(self._request, method, url, headers)  # type: ignore[no-untyped-call]
            self._sent.token = self._credentials.token
        return headers

    def renew(self) -> None:
        """Get a new token in place of the one that this thread sent last, if no other thread has done so."""
        with self._lock:
            if self._credentials.token == self._sent.token:
                self._credentials.refresh(self._request)  # type: ignore[no-untyped-call]


class GcsObjectStore(WiredStore):
    """One bucket of Google Cloud Storage. All methods are safe to call from many threads.

    Make one with `open_gcs`. Every method raises ObjectStoreError. `gcs_pages` says what etags are.

    Attributes:
        bucket: The bucket's name.
        where: The place named in errors, `bucket <name>`.
        has_start_after: True: a listing can begin behind a key.
        keys_per_shared_page: None: 1,000 keys take little memory.
    """

    has_start_after: Final = True
    keys_per_shared_page: Final = None

    def __init__(self, bucket: str, sign: GcsSign, wire: Wire, attempts: Attempts | None = None) -> None:
        super().__init__(bucket, f"bucket {bucket}", attempts)
        self._sign = sign
        self._wire = wire

    def head(self, key: str) -> StoredObject:
        """Return what the store says of an object without reading it."""
        where = self._place(key)
        url = f"{self._sign.url_of(key)}?fields={ITEM_FIELDS}&prettyPrint=false"
        return self._whole(url, lambda body: _read(body, read_object, "answer", where), where)

    def page(
        self,
        prefix: str,
        *,
        after: str | None = None,
        token: str | None = None,
        delimiter: str = "",
        limit: int | None = None,
    ) -> Page:
        """List one page: every key as the store has it, in the order of its bytes.

        Args:
            prefix: A string prefix, of any form.
            after: List what stands behind this key. With a delimiter, the common prefix that it stands in
                is listed if there is more in it.
            token: `next_token` of the page before; wins over `after`.
            delimiter: Fold keys that contain this behind the prefix into common prefixes.
            limit: At most so many entries; as many as the store gives if None.
        """
        query = {"fields": PAGE_FIELDS, "prettyPrint": "false", "maxResults": str(limit or KEYS_PER_PAGE)}
        query |= {"prefix": prefix} if prefix else {}
        query |= {"delimiter": delimiter} if delimiter else {}
        query |= {"pageToken": token} if token else {}
        query |= {"startOffset": _start_of(after)} if after and not token else {}
        where = f"{self.where}, prefix {prefix!r}"

        def read(body: bytes) -> Page:
            return _read(body, partial(_read_page_behind, after, token), "listing", where)

        try:
            url = f"{self._sign.objects_url}?{urlencode(query, quote_via=quote)}"
            return self._whole(url, read, self.where)
        except ObjectStoreError as error:
            # Of a listing nothing can be missing but the bucket.
            raise made(NO_BUCKET, self.where) if error.reason == "missing" else error from None

    def _opened_wire(self) -> Wire:
        return self._wire

    def _whole(self, url: str, read: Callable[[bytes], T], where: str) -> T:
        def ask(deadline: float) -> T:
            headers = self._sign.headers("GET", url)
            return read(self._wire.whole(url, headers, deadline=deadline, where=where))

        return self._make(ask, where)

    def _make(self, call: Callable[[float], T], where: str) -> T:
        """Make a request; whatever google-auth raises is an ObjectStoreError."""

        def attempt(deadline: float) -> T:
            try:
                return self._with_new_token(call, deadline)
            except ObjectStoreError:
                raise
            except Exception as error:
                raise from_google_auth(error, where) from None

        return super()._make(attempt, where)

    def _with_new_token(self, call: Callable[[float], T], deadline: float) -> T:
        """Make a call; if the store does not take the token, once more with a new one."""
        try:
            return call(deadline)
        except ObjectStoreError as error:
            if error.message != UNAUTHORISED.message:
                raise
        self._sign.renew()
        return call(deadline)


def open_gcs(bucket: str, *, credentials: Credentials, endpoint_url: str | None = None) -> GcsObjectStore:
    """Open a bucket of Google Cloud Storage. Makes no request.

    Proxies and certificates to trust are those that the environment names, as for all of Google's clients.

    Args:
        bucket: The bucket's name.
        credentials: Any of google-auth's. They are renewed while a listing runs.
        endpoint_url: Address of an emulator or a private endpoint; None for Google's own.
    """
    from google.auth.credentials import with_scopes_if_required
    from google.auth.transport.requests import Request

    base_url = (endpoint_url or f"https://storage.{credentials.universe_domain}").rstrip("/")
    scoped = with_scopes_if_required(credentials, [READ_ONLY])  # type: ignore[no-untyped-call]
    sign = GcsSign(
        f"{base_url}/storage/v1/b/{quote(bucket, safe='')}/o",
        scoped,
        partial(Request(), timeout=READ_TIMEOUT_S),
    )
    wire = connected(
        sign, base_url, refused=from_gcs, verify=trusted_certificates(), proxy_url=proxy_for(base_url)
    )
    return GcsObjectStore(bucket, sign, wire)


def _start_of(after: str) -> str:
    """Return where a listing begins that is to go on behind a key.

    The end of a folder, `a/` and the last character of all, is said as `a0`, the first string behind all of
    its keys: that character is none that text may hold, and nothing promises that Google takes it.
    """
    folder = after.removesuffix(DELIMITER + LAST_CHARACTER)
    return after if folder == after else f"{folder}0"


def _read_page_behind(after: str | None, token: str | None, body: bytes) -> Page:
    page = read_page(body)
    check_goes_on(page, token)
    # The API lists from a key on, this one included.
    if token is None and page.rows.num_rows and page.rows["key"][0].as_py() == after:
        return Page(page.rows.slice(1), page.prefixes, page.next_token)
    return page


def _read(body: bytes, read: Callable[[bytes], T], what: str, where: str) -> T:
    try:
        return read(body)
    except TornAnswer:
        raise torn(what, where) from None
    except ValueError as error:
        raise ObjectStoreError(
            f"the store's {what} cannot be read: {error}.",
            reason="other",
            where=where,
            remedy="Check that the endpoint of the connection is that of Google Cloud Storage.",
        ) from None
