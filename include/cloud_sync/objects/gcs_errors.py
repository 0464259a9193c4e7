"""What a refusal by Google Cloud Storage means, and one by Google's services for credentials."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import msgspec

from cloud_sync.objects.errors import (
    MISSING_OBJECT,
    NO_CONNECTION,
    NO_TOKEN_SERVICE,
    OVERLOADED,
    SERVER_ERROR,
    UNKNOWN,
    Meaning,
    made,
    of_status,
    refused_credentials,
)
from cloud_sync.retry_after import retry_after_s

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cloud_sync.objects.errors import ObjectStoreError

PERMISSION: Final = re.compile(r"\bstorage\.\w+\.\w+\b")
WORD: Final = re.compile(r"\w{1,50}", re.ASCII)
READ_ONLY: Final = "https://www.googleapis.com/auth/devstorage.read_only"

PASSING: Final = re.compile(
    r"""['"]code['"]\s*:\s*(?:5\d\d|408|429)\b|\b(?:Status: |Error )(?:5\d\d|408|429)\b"""
    r"|\b(?:temporarily_unavailable|server_error|internal_failure|UNAVAILABLE|RESOURCE_EXHAUSTED)\b"
)
"""What the answer of a service for credentials holds while it fails for now, as JSON or as a page."""

GRANT: Final = (
    "Give the connection's service account storage.objects.list and storage.objects.get on the bucket "
    "(the role Storage Object Viewer)."
)
NO_BUCKET: Final = Meaning(
    "no_bucket",
    "the bucket does not exist.",
    "Check `bucket` in the integration file and the endpoint of the connection.",
)
FORBIDDEN: Final = Meaning("forbidden", "the store refused access.", GRANT)
UNAUTHORISED: Final = refused_credentials(
    "the store does not take the credentials.",
    "Check the key of the connection: it may have been deleted, or its service account disabled.",
)
ANONYMOUS: Final = refused_credentials(
    "the bucket is not public, and the request came without credentials.",
    "Give the connection a key, or take `is_anonymous` out of it.",
)
NO_SCOPE: Final = refused_credentials(
    "the credentials are not for Cloud Storage.",
    f"Add the scope {READ_ONLY} to the connection.",
)
API_DISABLED: Final = refused_credentials(
    "the Cloud Storage API is not enabled in the project of the credentials.",
    "Enable it there, or check the project of the connection.",
)
NO_BILLING: Final = refused_credentials(
    "the account of the bucket's project is disabled.", "Check the billing of that project."
)
PERIMETER: Final = refused_credentials(
    "a perimeter of VPC Service Controls keeps this machine out.",
    "Let its network or service account into the perimeter of the bucket's project.",
)
REQUESTER_PAYS: Final = Meaning(
    "other",
    "the bucket is one for which the requester pays.",
    "Give the credentials a quota project that may be billed, or let the bucket's owner pay.",
    is_general=True,
)
WRONG_CLOCK: Final = refused_credentials(
    "this machine's clock is wrong, so Google refuses its signatures.", "Set the clock."
)
REVOKED: Final = refused_credentials(
    "Google does not renew the credentials.",
    "Check the key of the connection: it may have been deleted, or its service account disabled.",
)
NO_IMPERSONATION: Final = refused_credentials(
    "the credentials may not act as the service account that the connection names.",
    "Give them the role Service Account Token Creator on that service account.",
)
NO_CREDENTIALS: Final = refused_credentials(
    "no credentials could be obtained.",
    "Give the connection a key, or this machine application default credentials.",
)

MEANING_OF_REASON: Final[Mapping[str, Meaning]] = {
    "rateLimitExceeded": OVERLOADED,
    "userRateLimitExceeded": OVERLOADED,
    "quotaExceeded": OVERLOADED,
    "accessNotConfigured": API_DISABLED,
    "accountDisabled": NO_BILLING,
    "insufficientPermissions": NO_SCOPE,
    "UserProjectMissing": REQUESTER_PAYS,
    "UserProjectAccountProblem": NO_BILLING,
}
MEANING_OF_PHRASE: Final[Mapping[str, Meaning]] = {
    "bucket does not exist": NO_BUCKET,
    "requester pays": REQUESTER_PAYS,
    "Anonymous caller": ANONYMOUS,
    "vpcServiceControlsUniqueIdentifier": PERIMETER,
    "has not been used in project": API_DISABLED,
    "insufficient authentication scopes": NO_SCOPE,
}
"""What only the text of an answer tells."""
MEANING_OF_RENEWAL: Final[Mapping[str, Meaning]] = {
    "reasonable timeframe": WRONG_CLOCK,
    "impersonated credentials": NO_IMPERSONATION,
}
MEANING_OF_STATUS: Final[Mapping[int, Meaning]] = {
    401: UNAUTHORISED,
    403: FORBIDDEN,
    404: MISSING_OBJECT,
    408: SERVER_ERROR,
    429: OVERLOADED,
    503: OVERLOADED,
}


def from_gcs(status: int, headers: Mapping[str, str], body: bytes, where: str) -> ObjectStoreError:
    """Translate an answer of the store that is a refusal.

    Args:
        status: Of the answer.
        headers: Of the answer; the case of their names does not matter.
        body: Of the answer: JSON, or a line of text where an object's content was asked for.
        where: The place named in the error.
    """
    text, reason = body.decode(errors="replace"), _reason(body)
    meaning = MEANING_OF_REASON.get(reason)
    if meaning is None:
        meaning = next((found for phrase, found in MEANING_OF_PHRASE.items() if phrase in text), None)
    if meaning is None:
        said = f"HTTP {status}, {reason}" if reason else None
        meaning = of_status(status, MEANING_OF_STATUS, said=said)
    if meaning is FORBIDDEN and (permission := PERMISSION.search(text)):
        meaning = Meaning("forbidden", f"the store refused access: {permission[0]} is missing.", GRANT)
    return made(meaning, where, retry_after_s(headers))


def from_google_auth(error: Exception, where: str) -> ObjectStoreError:
    """Translate an error of google.auth, which came before the store was asked."""
    from google.auth.exceptions import (
        DefaultCredentialsError,
        GoogleAuthError,
        InvalidOperation,
        TransportError,
    )

    if not isinstance(error, GoogleAuthError):
        return made(UNKNOWN, where)
    text = str(error)
    # Where a metadata server or token endpoint cannot be reached, that is only the cause of the error.
    if error.retryable or isinstance(error, TransportError) or isinstance(error.__cause__, TransportError):
        return made(NO_CONNECTION, where)
    if PASSING.search(" ".join(map(str, error.args))):
        return made(NO_TOKEN_SERVICE, where)
    if isinstance(error, InvalidOperation):  # anonymous credentials cannot be renewed
        return made(ANONYMOUS, where)
    if isinstance(error, DefaultCredentialsError):
        return made(NO_CREDENTIALS, where)
    return made(
        next((found for phrase, found in MEANING_OF_RENEWAL.items() if phrase in text), REVOKED), where
    )


def _reason(body: bytes) -> str:
    """Return the word that the JSON of an error has for it, if it has one."""
    try:
        errors: Any = msgspec.json.decode(body)["error"]["errors"]
        reason = str(errors[0]["reason"])
    except (msgspec.DecodeError, UnicodeDecodeError, LookupError, TypeError):
        return ""
    return reason if WORD.fullmatch(reason) else ""
