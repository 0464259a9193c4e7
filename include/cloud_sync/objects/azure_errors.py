"""What a refusal of Azure Blob Storage means: the reason, and whether trying again can help."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from cloud_sync.objects.errors import (
    MISSING_OBJECT,
    OVERLOADED,
    PASSING_STATUS,
    SERVER_ERROR,
    XML_CODE,
    Meaning,
    made,
    of_status,
    refused_credentials,
)
from cloud_sync.retry_after import retry_after_s

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cloud_sync.objects.errors import ObjectStoreError

CODE_HEADER: Final = "x-ms-error-code"
"""Says what went wrong, also in the answer to a HEAD, which has no body."""

CHECK_CREDENTIALS: Final = "Check the key, SAS token or client secret of the connection."
NO_CONTAINER: Final = Meaning(
    "no_bucket",
    "the container does not exist.",
    "Check `bucket` in the integration file and the account of the connection.",
)
NOT_ALLOWED: Final = Meaning(
    "forbidden",
    "the credentials are good, but do not allow this.",
    "Give the connection's identity the role Storage Blob Data Reader on the container; a SAS token needs the"
    " permissions read and list.",
)
REFUSED: Final = refused_credentials(
    "the store refused the credentials: they are wrong or expired, or this machine's clock is.",
    CHECK_CREDENTIALS,
)
BEHIND_FIREWALL: Final = refused_credentials(
    "the account does not let this request in.",
    "Allow this network in the account's firewall, and the account in the SAS token's restrictions.",
)
NO_SHARED_KEYS: Final = refused_credentials(
    "the account does not allow shared keys.",
    "Give the connection a client secret, a managed identity or a SAS token signed by one.",
)
NOT_PUBLIC: Final = refused_credentials(
    "the container is not public.",
    "Give the connection a key, SAS token, client secret or managed identity.",
)
DISABLED: Final = refused_credentials("the account is disabled.", "Enable it, or check its subscription.")
ARCHIVED: Final = Meaning(
    "archived",
    "the object is in the archive tier.",
    "Move it to an online tier and wait until it is there.",
)
BAD_NAME: Final = Meaning(
    "other",
    "the store does not accept the name of the container or object.",
    "Check `bucket` in the integration file.",
)
NO_CREDENTIALS: Final = refused_credentials(
    "no credentials could be obtained.",
    "Check the client, tenant and secret, or the managed identity, of the connection.",
)
NOT_ENCRYPTED: Final = Meaning(
    "other",
    "tokens are sent over https only.",
    "Give the connection an account URL that begins with https://.",
)
NO_TOKEN_SERVICE: Final = Meaning(
    "unreachable",
    "the service that gives tokens cannot be reached.",
    "It is tried again; check the tenant of the connection and the network.",
    transient=True,
)
NO_MANAGED_IDENTITY: Final = Meaning(
    "unreachable",
    "the service that gives a managed identity its tokens does not answer.",
    "It is tried again; outside of Azure give the connection a key, SAS token or client secret.",
    transient=True,
)
BAD_KEY: Final = refused_credentials("the account key is not written in base64.", "Copy it whole.")
UNKNOWN_CREDENTIAL: Final = refused_credentials(
    "the credential is of no kind that Azure knows.",
    "Give the connection a key, SAS token, client secret or managed identity.",
)
EXPIRED: Final = refused_credentials(
    "the SAS token has expired, or is not valid yet.",
    "Renew it in the connection; if it should be valid, set this machine's clock.",
)
WRONG_CLOCK: Final = refused_credentials(
    "this machine's clock is wrong, so the store refuses its signatures.", "Set the clock."
)
WRONG_KEY: Final = refused_credentials(
    "the signature is wrong: the key does not belong to the account.",
    CHECK_CREDENTIALS,
)

MEANING_OF_CODE: Mapping[str, Meaning] = {
    "ContainerNotFound": NO_CONTAINER,
    "ContainerBeingDeleted": NO_CONTAINER,
    "BlobNotFound": MISSING_OBJECT,
    "AuthenticationFailed": REFUSED,
    "InvalidAuthenticationInfo": REFUSED,
    "AuthorizationPermissionMismatch": NOT_ALLOWED,
    "InsufficientAccountPermissions": NOT_ALLOWED,
    "UnauthorizedBlobOverwrite": NOT_ALLOWED,
    "AuthorizationServiceMismatch": NOT_ALLOWED,
    "AuthorizationResourceTypeMismatch": NOT_ALLOWED,
    "AuthorizationFailure": BEHIND_FIREWALL,
    "AuthorizationSourceIPMismatch": BEHIND_FIREWALL,
    "AuthorizationProtocolMismatch": BEHIND_FIREWALL,
    "KeyBasedAuthenticationNotPermitted": NO_SHARED_KEYS,
    "NoAuthenticationInformation": NOT_PUBLIC,
    "PublicAccessNotPermitted": NOT_PUBLIC,
    "AccountIsDisabled": DISABLED,
    "BlobArchived": ARCHIVED,
    "BlobBeingRehydrated": ARCHIVED,
    "InvalidResourceName": BAD_NAME,
    "InvalidUri": BAD_NAME,
    "ServerBusy": OVERLOADED,
    "InternalError": SERVER_ERROR,
    "OperationTimedOut": SERVER_ERROR,
}

MEANING_OF_DETAIL: Final = (
    (b"specified time frame", EXPIRED),
    (b"Request date header", WRONG_CLOCK),
    (b"MAC signature", WRONG_KEY),
)
"""What the details of a refusal of credentials hold."""

NO_ANSWER_OF_IMDS: Final = "no response from the IMDS endpoint"
PASSING: Final = re.compile(r"\b(?:temporarily_unavailable|server_error|AADSTS(?:90006|90012|90033|90055))\b")
"""What Entra ID says while it fails for now: it cannot reach a part of its own, or is overloaded."""

MEANING_OF_STATUS: Mapping[int, Meaning] = {
    401: REFUSED,
    403: NOT_ALLOWED,
    404: MISSING_OBJECT,
    408: SERVER_ERROR,
    429: OVERLOADED,
    503: OVERLOADED,
}


def from_answer(status: int, headers: Mapping[str, str], body: bytes, where: str) -> ObjectStoreError:
    """Translate an answer that is a refusal.

    Args:
        status: Of the answer.
        headers: Of the answer; the case of their names does not matter.
        body: Of the answer: XML, or whatever a gateway says; empty for HEAD.
        where: The place named in the error.
    """
    values = {name.lower(): value for name, value in headers.items()}
    found = XML_CODE.search(body.decode(errors="replace"))
    code = values.get(CODE_HEADER) or (found[1] if found else "")
    meaning = MEANING_OF_CODE.get(code) or of_status(status, MEANING_OF_STATUS, said=code)
    if meaning is REFUSED:
        meaning = next((known for detail, known in MEANING_OF_DETAIL if detail in body), REFUSED)
    return made(meaning, where, retry_after_s(values))


def from_credential(error: Exception, where: str) -> ObjectStoreError:
    """Translate an error of a credential that was asked for a token.

    Its text may name more than a log should hold, so it is not shown.
    """
    from azure.core.exceptions import ServiceRequestError, ServiceResponseError

    if isinstance(error, (ServiceRequestError, ServiceResponseError, OSError)):
        return made(NO_TOKEN_SERVICE, where)
    text, status = str(error), getattr(error, "status_code", None)
    if PASSING.search(text) or (status is not None and of_status(status, PASSING_STATUS).transient):
        return made(NO_TOKEN_SERVICE, where)
    if NO_ANSWER_OF_IMDS in text:
        return made(NO_MANAGED_IDENTITY, where)
    return made(NO_CREDENTIALS, where)
