"""Ask Azure Blob Storage: addresses, and the proof of who asks, by every kind of credential of azure-core."""

from __future__ import annotations

import base64
import hashlib
import hmac
import threading
import time
from collections import defaultdict
from email.utils import formatdate
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import parse_qsl, quote, urlsplit

from cloud_sync.objects.azure_errors import BAD_KEY, NOT_ENCRYPTED, UNKNOWN_CREDENTIAL, from_credential
from cloud_sync.objects.errors import made
from cloud_sync.version import user_agent

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Proof = Callable[[str, str, dict[str, str]], tuple[str, dict[str, str]]]

VERSION: Final = "2023-11-03"
"""The version of the service that is spoken: all clouds have it, and since 2021-02-12 names with characters
that XML cannot hold are listed."""
SCOPE: Final = "https://storage.azure.com/.default"
SIGNED_HEADERS: Final = (
    "content-encoding",
    "content-language",
    "content-length",
    "content-md5",
    "content-type",
    "date",
    "if-modified-since",
    "if-match",
    "if-none-match",
    "if-unmodified-since",
    "range",
)
RENEWED_BEFORE_S: Final = 300.0
"""So long before its end a token is renewed."""
USABLE_FOR_S: Final = 10.0
"""A token that cannot be renewed is used until so long before its end."""


class AzureSign:
    """Says where the objects of a container are, and proves who asks. For many threads.

    Args:
        container_url: What stands before `/` and a key.
        proof: The proof of a credential, as `proof_of` returns it.
    """

    def __init__(self, container_url: str, proof: Proof) -> None:
        self.container_url = container_url
        self._proof = proof

    def __call__(self, method: str, key: str, headers: Mapping[str, str]) -> tuple[str, dict[str, str]]:
        """Return URL and headers, as `cloud_sync.objects.wire.Sign` says."""
        return self._proved(method, f"{self.container_url}/{quote(key, safe='/~')}", headers)

    def listing(self, query: Mapping[str, str]) -> tuple[str, dict[str, str]]:
        """Return URL and headers of a request for a page of the listing.

        Args:
            query: Of the request, not percent-encoded, besides what makes it a listing.
        """
        whole = {"restype": "container", "comp": "list"} | dict(query)
        text = "&".join(f"{name}={quote(value, safe='~')}" for name, value in whole.items())
        return self._proved("GET", f"{self.container_url}?{text}", {})

    def _proved(self, method: str, url: str, headers: Mapping[str, str]) -> tuple[str, dict[str, str]]:
        always = {"x-ms-version": VERSION, "x-ms-date": formatdate(usegmt=True), "User-Agent": user_agent()}
        return self._proof(method, url, dict(headers) | always)


def proof_of(credential: Any, account_url: str, where: str) -> Proof:
    """Return how requests prove who asks.

    Args:
        credential: An AzureNamedKeyCredential, AzureSasCredential or TokenCredential, or None for anonymous.
        account_url: The account's address.
        where: The place named in errors.

    Raises:
        ObjectStoreError: There is no such proof.
    """
    from azure.core.credentials import AzureNamedKeyCredential, AzureSasCredential

    if credential is None:
        return _anonymous
    if isinstance(credential, AzureNamedKeyCredential):
        return SharedKey(credential, where)
    if isinstance(credential, AzureSasCredential):
        return SharedAccess(credential)
    if not hasattr(credential, "get_token"):
        raise made(UNKNOWN_CREDENTIAL, where)
    if not account_url.lower().startswith("https://"):
        raise made(NOT_ENCRYPTED, where)
    return Token(credential, where)


def _anonymous(method: str, url: str, headers: dict[str, str]) -> tuple[str, dict[str, str]]:
    return url, headers


class SharedKey:
    """Signs requests with a key of the account, as the service's document on shared keys says.

    Args:
        credential: Name and key of the account; may be given another key at any time.
        where: The place named in errors.
    """

    def __init__(self, credential: Any, where: str) -> None:
        self._credential = credential
        self._where = where
        self._secret()

    def __call__(self, method: str, url: str, headers: dict[str, str]) -> tuple[str, dict[str, str]]:
        """Return the URL as it is and the headers with a signature.

        Raises:
            ObjectStoreError: The key is none.
        """
        name, secret = self._secret()
        text = _text_to_sign(name, method, url, {title.lower(): value for title, value in headers.items()})
        signature = base64.b64encode(hmac.digest(secret, text.encode(), hashlib.sha256)).decode()
        return url, headers | {"Authorization": f"SharedKey {name}:{signature}"}

    def _secret(self) -> tuple[str, bytes]:
        name, key = self._credential.named_key
        try:
            return name, base64.b64decode(key, validate=True)
        except ValueError:
            raise made(BAD_KEY, self._where) from None


def _text_to_sign(account: str, method: str, url: str, headers: Mapping[str, str]) -> str:
    parts = urlsplit(url)
    values: defaultdict[str, list[str]] = defaultdict(list)
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        values[name.lower()].append(value)
    return "\n".join(
        (
            method,
            *(headers.get(name, "") for name in SIGNED_HEADERS),
            *(f"{name}:{headers[name]}" for name in sorted(headers) if name.startswith("x-ms-")),
            f"/{account}{parts.path}",
            *(f"{name}:{','.join(sorted(values[name]))}" for name in sorted(values)),
        )
    )


class SharedAccess:
    """Adds a shared access signature (SAS) to URLs.

    Args:
        credential: Has the signature; may be given another one at any time.
    """

    def __init__(self, credential: Any) -> None:
        self._credential = credential

    def __call__(self, method: str, url: str, headers: dict[str, str]) -> tuple[str, dict[str, str]]:
        """Return the URL with the signature and the headers as they are."""
        return f"{url}{'&' if '?' in url else '?'}{self._credential.signature.lstrip('?')}", headers


class _AccessToken(Protocol):
    """What a TokenCredential gives."""

    token: str
    expires_on: int


class Token:
    """Shows tokens, each until shortly before its end. For many threads.

    Args:
        credential: Gives tokens.
        where: The place named in errors.
        clock: Seconds since 1970.
    """

    def __init__(self, credential: Any, where: str, clock: Callable[[], float] = time.time) -> None:
        self._credential = credential
        self._where = where
        self._clock = clock
        self._lock = threading.Lock()
        self._token: _AccessToken | None = None

    def __call__(self, method: str, url: str, headers: dict[str, str]) -> tuple[str, dict[str, str]]:
        """Return the URL as it is and the headers with a token.

        Raises:
            ObjectStoreError: None could be obtained.
        """
        with self._lock:
            if not self._is_good_for(RENEWED_BEFORE_S):
                self._renew()
            assert self._token is not None  # noqa: S101 (for the type checker)
            return url, headers | {"Authorization": f"Bearer {self._token.token}"}

    def _renew(self) -> None:
        try:
            self._token = self._credential.get_token(SCOPE)
        except Exception as error:
            if not self._is_good_for(USABLE_FOR_S):
                raise from_credential(error, self._where) from None

    def _is_good_for(self, seconds: float) -> bool:
        return self._token is not None and self._token.expires_on - self._clock() > seconds
