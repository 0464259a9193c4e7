"""What a client of Azure's SDK knows of its storage account, as `open_azure` wants it."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from cloud_sync.errors import ConfigError

if TYPE_CHECKING:
    from azure.core.credentials import AzureNamedKeyCredential, AzureSasCredential, TokenCredential
    from azure.storage.blob import BlobServiceClient

    Credential = TokenCredential | AzureNamedKeyCredential | AzureSasCredential | None

ACCOUNT_NAME = re.compile(r"[a-z0-9]{3,24}")
ACCOUNT_HOST = re.compile(r"(?P<account>[^.]+)(?:\.z\d+)?\.blob\.(?:core|storage)\..+")
"""The host of an account's blobs, in every cloud of Azure; others are custom domains or emulators."""


@dataclass(frozen=True, slots=True)
class AzureAccount:
    """A storage account and how to be let in.

    Attributes:
        url: Its address, without a slash at the end and without a query.
        credential: Account key, SAS token, or a credential that fetches tokens; None is anonymous.
    """

    url: str
    credential: Credential = field(repr=False)

    @classmethod
    def of(cls, client: BlobServiceClient, *, where: str, wanted: str | None = None) -> AzureAccount:
        """Return the account of a client; makes no request.

        Args:
            client: Made by the SDK from a connection string, a key, a SAS token or a token credential.
            where: The place named in errors.
            wanted: The account's name according to the integration file; None if it does not say.

        Raises:
            ConfigError: The client has no account, another one, or a key that is none.
        """
        url, _, query = client.url.partition("?")
        account = _named_account(client.account_name, url, where)
        if wanted is not None and account is not None and account != wanted:
            raise ConfigError(
                f"is of the storage account {account}, the integration file says {wanted}.",
                where=where,
                remedy="Correct storage.account, or choose another connection.",
            )
        return cls(url.rstrip("/"), _credential(client, query, where))


def _named_account(name: str | None, url: str, where: str) -> str | None:
    match = ACCOUNT_HOST.fullmatch(urlsplit(url).netloc)
    # Without an account the provider's hook puts there what it has: `None`, or the id of an application.
    if match and (match["account"] == "None" or not ACCOUNT_NAME.fullmatch(match["account"].lower())):
        raise ConfigError(
            "names no storage account.",
            where=where,
            remedy="Set its host to https://<account>.blob.core.windows.net.",
        )
    return match["account"].lower() if match else name


def _credential(client: Any, query: str, where: str) -> Credential:
    from azure.core.credentials import AzureNamedKeyCredential, AzureSasCredential

    given = client.credential
    if given is None:
        return AzureSasCredential(query) if query else None
    key = getattr(given, "account_key", None)
    if key is None:
        return given  # type: ignore[no-any-return]
    try:
        base64.b64decode(key, validate=True)
    except (binascii.Error, ValueError):
        raise ConfigError(
            "has an account key that is not base64.",
            where=where,
            remedy="Copy the key from the storage account's page `Access keys`.",
        ) from None
    return AzureNamedKeyCredential(given.account_name, key)
