"""One HTTP request to a store: what it says of an object, its headers included, or an error.

Clients of object stores keep Retry-After to themselves and bound a body read by read. This asks for objects
of any provider; what differs between them, the address and the proof of who asks, is a `Sign`.
"""

from __future__ import annotations

import os
import re
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import unquote, urlsplit

from cloud_sync.objects.errors import Meaning, ObjectStoreError, from_answer, made, no_connection
from cloud_sync.version import user_agent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from urllib3 import BaseHTTPResponse, HTTPConnectionPool

    Refused = Callable[[int, Mapping[str, str], bytes, str], ObjectStoreError]

CONNECT_TIMEOUT_S: Final = 5.0
READ_TIMEOUT_S: Final = 30.0
MAX_CONNECTIONS: Final = 64
CHUNK_BYTES: Final = 1 << 16
MOST_ERROR_BYTES: Final = 1 << 16

OK: Final = 200
PARTIAL: Final = 206
RANGE_NOT_SATISFIABLE: Final = 416
FIRST_REFUSAL: Final = 300
CONTENT_RANGE: Final = re.compile(r"bytes (?:(\d+)-(-?\d+)|\*)/(\d+)", re.IGNORECASE)
"""First, last and size. Of the end of an empty object some servers say `0--1/0`."""
BEHIND_END: Final = re.compile(rb"<ActualObjectSize>(\d+)<|<Code>InvalidRange<")
"""By this, too, a store is known that was asked for what is behind the end of an object."""
OF_OBJECTS: Final = ("ETag", "Accept-Ranges", "Content-Range")
"""Every store says one of these of an object; what stands between here and the store says none."""


OF_NO_STORE: Final = Meaning(
    "unreachable",
    "the answer is not that of an object store.",
    "It is tried again; if it stays so, look at what stands between here and the store, and check the "
    "endpoint of the connection.",
    transient=True,
)


class Sign(Protocol):
    """Says where an object is, and proves who asks for it."""

    def __call__(self, method: str, key: str, headers: Mapping[str, str]) -> tuple[str, dict[str, str]]:
        """Return the URL of an object, percent-encoded, and the headers to send.

        Args:
            method: GET or HEAD.
            key: The object's key, as the store has it.
            headers: What to send besides.
        """


@dataclass(frozen=True, slots=True)
class Answer:
    """What a store says of an object.

    Attributes:
        size_bytes: The size of the whole object.
        headers: Of the answer; the case of their names does not matter.
        data: What was asked for, or less where the object ends; empty for HEAD.
    """

    size_bytes: int
    headers: Mapping[str, str]
    data: bytes


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What to ask for.

    Attributes:
        method: GET or HEAD.
        headers: What to send.
        keep: Takes what is wanted from the body.
        length: How much is wanted.
        first: Where that begins, should the store give the whole object.
    """

    method: str
    headers: Mapping[str, str]
    keep: Callable[[Iterator[bytes]], bytes]
    length: int = 0
    first: int = 0


class Wire:
    """Asks for the objects of one bucket. For many threads.

    Args:
        pool: Connections to the store, as `connected` makes them.
        sign: The provider's way of asking.
        refused: Translates an answer that is a refusal: status, headers, body, and the place to name.
        whole_urls: Send whole URLs instead of paths, as a proxy for plain HTTP needs.
        clock: Seconds; the clock of deadlines.
    """

    def __init__(
        self,
        pool: HTTPConnectionPool,
        sign: Sign,
        *,
        refused: Refused = from_answer,
        whole_urls: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pool = pool
        self._sign = sign
        self._refused = refused
        self._whole_urls = whole_urls
        self._user_agent = user_agent()
        self._clock = clock

    def head(self, key: str, *, deadline: float, where: str) -> Answer:
        """Return what is said of an object without its content.

        Args:
            key: The object's key.
            deadline: When the answer has to be there.
            where: The place named in errors.

        Raises:
            ObjectStoreError: There is no such answer.
        """
        return self._ask(key, _Wanted("HEAD", {}, lambda chunks: b""), deadline, where)

    def start(self, key: str, first: int, length: int, *, deadline: float, where: str) -> Answer:
        """Return up to `length` bytes from offset `first`; as `head`."""
        asked = {"Range": f"bytes={first}-{first + length - 1}"}
        wanted = _Wanted("GET", asked, lambda chunks: _up_to(chunks, length), length, first)
        return self._ask(key, wanted, deadline, where)

    def tail(self, key: str, length: int, *, deadline: float, where: str) -> Answer:
        """Return the last `length` bytes; as `head`."""
        asked = {"Range": f"bytes=-{length}"}
        wanted = _Wanted("GET", asked, lambda chunks: _last(chunks, length), length)
        return self._ask(key, wanted, deadline, where)

    def whole(self, url: str, headers: Mapping[str, str], *, deadline: float, where: str) -> bytes:
        """Return an answer from end to end, unpacked if it comes compressed.

        Args:
            url: What to ask for, percent-encoded.
            headers: All that are sent: nothing is signed here.
            deadline: When the answer has to be there.
            where: The place named in errors.

        Raises:
            ObjectStoreError: There is no such answer.
        """
        with self._answer("GET", url, headers, deadline, where, is_part=False) as (_, chunks):
            return b"".join(chunks)

    def _ask(self, key: str, wanted: _Wanted, deadline: float, where: str) -> Answer:
        url, signed = self._sign(wanted.method, key, wanted.headers)
        with self._answer(wanted.method, url, signed, deadline, where, is_part=True) as (response, chunks):
            try:
                return _read(response, chunks, wanted, where)
            except ValueError:
                raise ObjectStoreError(
                    "the store's answer does not say how large the object is.",
                    reason="other",
                    where=where,
                    remedy="Check that the endpoint of the connection is that of an object store.",
                ) from None

    @contextmanager
    def _answer(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        deadline: float,
        where: str,
        *,
        is_part: bool,
    ) -> Iterator[tuple[BaseHTTPResponse, Iterator[bytes]]]:
        """Give an answer that is no refusal and its body as it comes; whatever fails is an error.

        A part of an object comes as it is stored, and there may be none of it.
        """
        from urllib3.exceptions import HTTPError, NameResolutionError

        response: BaseHTTPResponse | None = None
        try:
            response = self._send(method, url, headers, deadline, unpack=not is_part)
            chunks = self._chunks(response, deadline, where)
            is_behind_end = is_part and response.status == RANGE_NOT_SATISFIABLE
            if response.status >= FIRST_REFUSAL and not is_behind_end:
                body = _up_to(chunks, MOST_ERROR_BYTES)
                raise self._refused(response.status, response.headers, body, where)
            yield response, chunks
        except HTTPError as error:  # its text may name a URL
            unknown = isinstance(error, NameResolutionError)
            raise no_connection(where, is_unknown_host=unknown) from None
        finally:
            if response is not None:
                _hand_back(response)

    def _send(
        self, method: str, url: str, headers: Mapping[str, str], deadline: float, *, unpack: bool
    ) -> BaseHTTPResponse:
        from urllib3 import Timeout

        parts = urlsplit(url)
        left_s = max(deadline - self._clock(), 0.001)
        return self._pool.urlopen(
            method,
            # Only this form reaches the store unchanged: urllib3 resolves `..` in whole URLs.
            url if self._whole_urls else parts.path + (f"?{parts.query}" if parts.query else ""),
            headers={"User-Agent": self._user_agent, **headers},
            retries=False,
            redirect=False,
            assert_same_host=False,
            preload_content=False,
            decode_content=unpack,
            timeout=Timeout(connect=min(CONNECT_TIMEOUT_S, left_s), read=min(READ_TIMEOUT_S, left_s)),
        )

    def _chunks(self, response: BaseHTTPResponse, deadline: float, where: str) -> Iterator[bytes]:
        """Yield the body as it comes: a store that sends a byte now and then is not waited for for ever."""
        while chunk := response.read1(CHUNK_BYTES):
            yield chunk
            if self._clock() >= deadline:
                raise ObjectStoreError(
                    "the answer did not come in time.",
                    reason="unreachable",
                    where=where,
                    remedy="It is tried again; if it stays so, look at the network and the store's load.",
                    transient=True,
                )


def connected(
    sign: Sign,
    base_url: str,
    *,
    refused: Refused = from_answer,
    verify: bool | str = True,
    proxy_url: str | None = None,
    **options: Any,
) -> Wire:
    """Return a wire to a store; makes no request.

    Args:
        sign: The provider's way of asking.
        base_url: An address of the store: scheme, host and port count.
        refused: As `Wire` has it.
        verify: Whether certificates are checked, or the file of those to trust.
        proxy_url: The proxy to go through.
        options: More settings of urllib3's pools.
    """
    import urllib3
    from requests.utils import DEFAULT_CA_BUNDLE_PATH

    options |= {"maxsize": MAX_CONNECTIONS, "block": False}
    is_plain = base_url.lower().startswith("http://")
    if not is_plain:
        options["cert_reqs"] = "CERT_REQUIRED" if verify else "CERT_NONE"
        if verify:
            options["ca_certs"] = verify if isinstance(verify, str) else DEFAULT_CA_BUNDLE_PATH
    if proxy_url:
        # A login in its URL is not sent by itself.
        login = urllib3.util.parse_url(proxy_url).auth
        options["proxy_headers"] = urllib3.make_headers(proxy_basic_auth=login and unquote(login))
    manager = urllib3.ProxyManager(proxy_url, **options) if proxy_url else urllib3.PoolManager(**options)
    pool = manager.connection_from_url(base_url)
    return Wire(pool, sign, refused=refused, whole_urls=bool(proxy_url) and is_plain)


def proxy_for(url: str, proxies: Mapping[str, str] | None = None) -> str | None:
    """Return the proxy to go through, or None.

    Args:
        url: Where to go.
        proxies: The proxy of each scheme; those of the environment if None.
    """
    from requests.utils import get_environ_proxies, select_proxy

    found: str | None = select_proxy(url, get_environ_proxies(url) if proxies is None else dict(proxies))
    return f"http://{found}" if found and "://" not in found else found


def trusted_certificates(*variables: str) -> bool | str:
    """Return the file of certificates to trust that the environment names, or True for the usual ones.

    Args:
        variables: Where to look first, before REQUESTS_CA_BUNDLE.
    """
    named = (os.environ.get(variable) for variable in (*variables, "REQUESTS_CA_BUNDLE"))
    return next(filter(None, named), True)


def _read(response: BaseHTTPResponse, chunks: Iterator[bytes], wanted: _Wanted, where: str) -> Answer:
    """Read what a store says of an object.

    Raises:
        ObjectStoreError: It was cut short on the way, or no store said it.
        ValueError: It does not say how large the object is.
    """
    headers = response.headers
    is_of_object = any(name in headers for name in OF_OBJECTS)
    part = CONTENT_RANGE.match(headers.get("Content-Range", ""))
    if response.status == RANGE_NOT_SATISFIABLE:
        # Behind the end of the object; of an empty one not even the first byte can be given.
        told = BEHIND_END.search(_up_to(chunks, MOST_ERROR_BYTES))
        if not is_of_object and told is None:
            raise made(OF_NO_STORE, where)
        size_bytes = part[3] if part else told and told[1]
        return Answer(int(size_bytes or 0), headers, b"")
    if response.status == OK:  # the whole object, instead of a part
        if not is_of_object:
            raise made(OF_NO_STORE, where)
        size_bytes = int(headers.get("Content-Length", ""))
        return Answer(size_bytes, headers, wanted.keep(_behind(chunks, wanted.first)))
    if part is None or part[1] is None:
        raise ValueError
    data = wanted.keep(chunks)
    # urllib3 knows only what Content-Length says, and a gateway may leave it out.
    if len(data) < min(int(part[2]) - int(part[1]) + 1, wanted.length):
        raise no_connection(where)
    return Answer(int(part[3]), headers, data)


def _up_to(chunks: Iterator[bytes], length: int) -> bytes:
    data = bytearray()
    while len(data) < length and (chunk := next(chunks, b"")):
        data += chunk
    return bytes(data[:length])


def _last(chunks: Iterator[bytes], length: int) -> bytes:
    data = b""
    for chunk in chunks:
        data = (data + chunk)[-length:]
    return data


def _behind(chunks: Iterator[bytes], first: int) -> Iterator[bytes]:
    """Yield what stands behind the first bytes."""
    for chunk in chunks:
        if len(chunk) > first:
            yield chunk[first:]
        first = max(0, first - len(chunk))


def _hand_back(response: BaseHTTPResponse) -> None:
    """Give the connection back; one with an answer that was not read to its end is closed."""
    if response.length_remaining != 0:
        response.close()
    response.release_conn()
