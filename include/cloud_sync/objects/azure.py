"""One container of Azure Blob Storage: its listing page by page, and reading of objects.

Requests go over a `wire`; `attempts` says how often, how long apart and until when. `azure_signing` proves
who asks, `azure_pages` reads the pages.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import pyarrow.compute as pc

from cloud_sync.objects.azure_errors import NO_CONTAINER, from_answer
from cloud_sync.objects.azure_pages import is_torn, read_page
from cloud_sync.objects.azure_signing import AzureSign, proof_of
from cloud_sync.objects.errors import MISSING_OBJECT, ObjectStoreError, made, torn
from cloud_sync.objects.model import Page, StoredObject
from cloud_sync.objects.rows import strings
from cloud_sync.objects.wire import connected, proxy_for, trusted_certificates
from cloud_sync.objects.wired_store import WiredStore, check_goes_on

if TYPE_CHECKING:
    import pyarrow as pa

    from cloud_sync.objects.attempts import Attempts
    from cloud_sync.objects.wire import Wire

KEYS_PER_PAGE: Final = 5_000
"""What the service gives in one page at most. Such a page takes 16 MB of memory while it is read."""
KEYS_PER_SHARED_PAGE: Final = 750
FOLDER_HEADERS: Final = {"x-ms-resource-type": "directory", "x-ms-meta-hdi_isfolder": "true"}


class AzureObjectStore(WiredStore):
    """One container of Azure Blob Storage. All methods are safe to call from many threads.

    Make one with `open_azure`. Every method raises ObjectStoreError.

    What is listed: current blobs, no snapshots, older versions or deleted ones. Directories of accounts with
    a hierarchical namespace, and the empty blobs by which Hadoop marks folders, are no objects.

    The order: that of the service. Accounts with a hierarchical namespace list the content of a folder
    before names that are longer than the folder's: `a/b` before `a-b`. Others list by the characters of keys;
    for those beyond U+FFFF nothing says where they stand.

    Etags: those of the service. One changes with the content, and with the metadata and HTTP headers of the
    blob as well, so what somebody only labelled anew counts as changed; that is the safe side. Content-MD5
    would not tell: blobs written in blocks may have none, and one that has it may keep it when it is
    written to. A blob that is copied or renamed has another etag.

    Attributes:
        bucket: The container's name.
        where: The place named in errors, `container <name>`.
        has_start_after: False: see `page`.
        keys_per_shared_page: Few, so that 32 pages in flight take little memory.
    """

    has_start_after: Final = False
    keys_per_shared_page: Final = KEYS_PER_SHARED_PAGE

    def __init__(self, container: str, sign: AzureSign, wire: Wire, attempts: Attempts | None = None) -> None:
        super().__init__(container, f"container {container}", attempts)
        self._sign = sign
        self._wire = wire
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="azure-pages")

    def read_tail(self, key: str, length: int) -> bytes:
        """Return the last `length` bytes, or all of a shorter object.

        Two requests, since the service knows no ranges counted from the end; one for an empty object.
        """
        if length <= 0:
            return b""
        size_bytes = self._head(key).size_bytes
        return self.read_range(key, max(0, size_bytes - length), min(size_bytes, length))

    def head(self, key: str) -> StoredObject:
        """Return what the store says of an object without reading it."""
        answer = self._head(key)
        headers = answer.headers
        if any(headers.get(name, "").lower() == value for name, value in FOLDER_HEADERS.items()):
            raise made(MISSING_OBJECT, self._place(key))
        try:
            modified = parsedate_to_datetime(headers.get("Last-Modified", ""))
        except ValueError:
            raise _unreadable("answer", "it has no time", self._place(key)) from None
        etag = headers.get("ETag", "").strip('"')
        return StoredObject(key, answer.size_bytes, modified.astimezone(UTC), etag)

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

        The service cannot begin a listing at a key (newer ones say they can, by `startFrom`, but only down to
        one level). So `after` asks for all pages from the first on, and leaves out what is not behind it; a
        listing that was interrupted is better continued by its token, which never expires.

        Args:
            prefix: A string prefix, of any form.
            after: List keys that are greater, by their bytes. With a delimiter, the common prefix that it
                stands in is listed, too.
            token: `next_token` of the page before; wins over `after`.
            delimiter: Fold keys that contain this behind the prefix into common prefixes.
            limit: At most so many entries; as many as the store gives if None.
        """
        marker, after = _parts(token) if token else ("", after or "")
        while True:
            page = self._page(prefix, marker, delimiter, limit or KEYS_PER_PAGE)
            rows, prefixes = _behind(page, after) if after else (page.rows, page.prefixes)
            if page.next_token is None:
                return Page(rows, prefixes, None)
            marker = page.next_token
            if rows.num_rows or prefixes or not after:
                return Page(rows, prefixes, _token(marker, after))

    def _page(self, prefix: str, marker: str, delimiter: str, limit: int) -> Page:
        query = {"maxresults": str(limit), "include": "metadata"}
        query |= {"prefix": prefix} if prefix else {}
        query |= {"delimiter": delimiter} if delimiter else {}
        query |= {"marker": marker} if marker else {}

        where = f"{self.where}, prefix {prefix!r}"

        def ask(deadline: float) -> bytes:
            url, headers = self._sign.listing(query)
            body = self._wire.whole(url, headers, deadline=deadline, where=self.where)
            if is_torn(body):
                raise torn("listing", where)
            return body

        try:
            body = self._make(ask, self.where)
        except ObjectStoreError as error:
            # Of a listing nothing can be missing but the container.
            raise made(NO_CONTAINER, self.where) if error.reason == "missing" else error from None
        try:
            # One thread reads all pages. numpy and Arrow let go of the interpreter's lock at every step,
            # see the pages of S3; and what a thread has freed, the system's allocator keeps for that thread:
            # of so large pages, 25 MB for each that reads some.
            page = self._reader.submit(read_page, body).result()
            check_goes_on(page, marker)
        except ValueError as error:
            raise _unreadable("listing", error, where) from None
        return page

    def _opened_wire(self) -> Wire:
        return self._wire


def open_azure(container: str, *, account_url: str, credential: Any = None) -> AzureObjectStore:
    """Open a container of Azure Blob Storage. Makes no request.

    Proxies and certificates to trust are those that the environment names, as for the SDK.

    Args:
        container: The container's name.
        account_url: Address of the account: `https://<account>.blob.core.windows.net`, that of another cloud
            or of an emulator. A SAS token behind a `?` is taken as the credential if there is no other.
        credential: AzureNamedKeyCredential, AzureSasCredential or TokenCredential of azure-core, whose tokens
            are renewed while a listing runs; None for a public container.

    Raises:
        ObjectStoreError: The credential is none, or the address does not fit it.
    """
    from azure.core.credentials import AzureSasCredential

    account_url, _, query = account_url.partition("?")
    if credential is None and "sig=" in query:
        credential = AzureSasCredential(query)
    proof = proof_of(credential, account_url, f"container {container}")
    sign = AzureSign(f"{account_url.rstrip('/')}/{quote(container, safe='~')}", proof)
    wire = connected(
        sign,
        account_url,
        refused=from_answer,
        verify=trusted_certificates(),
        proxy_url=proxy_for(account_url),
    )
    return AzureObjectStore(container, sign, wire)


def _behind(page: Page, after: str) -> tuple[pa.RecordBatch, tuple[str, ...]]:
    """Return what is behind a key, and the common prefix that it stands in."""
    rows = page.rows.filter(pc.greater(page.rows["key"], strings([after])[0]))
    start = after.encode()
    prefixes = (prefix for prefix in page.prefixes if prefix.encode() > start or after.startswith(prefix))
    return rows, tuple(prefixes)


def _token(marker: str, after: str) -> str:
    """Return what continues a listing; what it left out stays left out."""
    return f"{len(marker)}:{marker}{after}"


def _parts(token: str) -> tuple[str, str]:
    length, _, rest = token.partition(":")
    return rest[: int(length)], rest[int(length) :]


def _unreadable(what: str, why: object, where: str) -> ObjectStoreError:
    return ObjectStoreError(
        f"the store's {what} cannot be read: {why}.",
        reason="other",
        where=where,
        remedy="Check that the account URL of the connection is that of Azure Blob Storage.",
    )
