"""What an object store's refusal means: the reason, and whether trying again can help."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from cloud_sync.errors import StorageError
from cloud_sync.retry_after import retry_after_s

if TYPE_CHECKING:
    from collections.abc import Mapping

Reason = Literal["missing", "no_bucket", "forbidden", "archived", "unreachable", "other"]

HTTP_STATUS = re.compile(r"(?:status code: |\bHTTP )(\d{3})\b")
XML_CODE = re.compile(r"<Code>\s*(\w+)\s*</Code>")
XML_REGION = re.compile(r"<Region>\s*([a-z0-9-]+)\s*</Region>|expecting '([a-z0-9-]+)'")


class ObjectStoreError(StorageError):
    """An object store refused or failed.

    Attributes:
        reason: `missing` (no such object), `no_bucket` (no such bucket), `forbidden` (credentials or policy),
            `archived` (the object has to be restored first), `unreachable` (no connection, overload, server
            error) or `other`.
        is_general: True if it is about the connection and not about an object: whatever is asked, the answer
            is the same until a person changes something.
        is_sent: False if the request was not made, because the store asked for a pause.
    """

    def __init__(
        self,
        message: str,
        *,
        reason: Reason,
        where: str | None = None,
        remedy: str | None = None,
        transient: bool = False,
        retry_after_s: float | None = None,
        is_general: bool = False,
        is_sent: bool = True,
    ) -> None:
        super().__init__(
            message, where=where, remedy=remedy, transient=transient, retry_after_s=retry_after_s
        )
        self.reason = reason
        self.is_general = is_general
        self.is_sent = is_sent


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a store's refusal means to a person; the fields are those of ObjectStoreError."""

    reason: Reason
    message: str
    remedy: str
    transient: bool = False
    is_general: bool = False


MISSING_OBJECT = Meaning(
    "missing", "the object does not exist.", "Check the key, or that it was not deleted meanwhile."
)
FORBIDDEN = Meaning(
    "forbidden",
    "the store refused access.",
    "Allow the connection's user or role to list the bucket and to read its objects (s3:ListBucket and "
    "s3:GetObject; in Open Telekom Cloud obs:bucket:ListBucket and obs:object:GetObject).",
)
ARCHIVED = Meaning(
    "archived",
    "the object is in an archive.",
    "Restore it and wait until it is there, or leave it out with select.exclude.",
)
WRONG_REGION = Meaning(
    "other",
    "the bucket is in another region than the connection says.",
    "Set `region_name` in the extras of the connection to the bucket's region.",
    is_general=True,
)
REDIRECTED = Meaning(
    "unreachable",
    "the store sends the request elsewhere, as it does while a bucket is new.",
    "It is tried again; if it stays so, check region and endpoint of the connection.",
    transient=True,
)
OVERLOADED = Meaning(
    "unreachable",
    "the store is overloaded and asks for fewer requests.",
    "It is tried again; if it stays so, lower the pages in flight.",
    transient=True,
)
SERVER_ERROR = Meaning(
    "unreachable",
    "the store answered with a server error.",
    "It is tried again; if it stays so, look at the store.",
    transient=True,
)
NO_CONNECTION = Meaning(
    "unreachable",
    "the store cannot be reached.",
    "It is tried again; check the endpoint of the connection and the network.",
    transient=True,
)
UNKNOWN_HOST = Meaning(
    "unreachable",
    "the store's host name is not known.",
    "It is tried again; check the endpoint or account of the connection.",
    transient=True,
)
NO_TOKEN_SERVICE = Meaning(
    "unreachable",
    "the service that gives or renews the credentials did not answer as it should.",
    "It is tried again; if it stays so, check the credentials of the connection and the network.",
    transient=True,
)
UNKNOWN = Meaning("other", "the store refused the request.", "Look at the store's access log.")


def refused_credentials(message: str, remedy: str) -> Meaning:
    """Return the meaning of a refusal of whoever asks, whatever the object."""
    return Meaning("forbidden", message, remedy, is_general=True)


UNAUTHORISED = refused_credentials(
    "the store does not take the credentials.", "Check login and password of the connection."
)


MEANING_OF_CODE: Mapping[str, Meaning] = {
    "NoSuchBucket": Meaning(
        "no_bucket",
        "the bucket does not exist.",
        "Check `bucket` in the integration file and the endpoint of the connection.",
    ),
    "NoSuchKey": MISSING_OBJECT,
    "AccessDenied": FORBIDDEN,
    "AllAccessDisabled": FORBIDDEN,
    "InvalidAccessKeyId": refused_credentials(
        "the store does not know the access key.", "Check the login of the connection."
    ),
    "SignatureDoesNotMatch": refused_credentials(
        "the secret key does not belong to the access key.", "Check the password of the connection."
    ),
    "InvalidToken": refused_credentials(
        "the session token is not valid.", "Renew `aws_session_token` in the connection."
    ),
    "ExpiredToken": refused_credentials(
        "the session token has expired.", "Renew `aws_session_token`, or let the connection assume a role."
    ),
    "RequestTimeTooSkewed": refused_credentials(
        "this machine's clock is wrong, so the store refuses its signatures.", "Set the clock."
    ),
    "TokenRefreshRequired": refused_credentials(
        "the session token has expired.", "Renew `aws_session_token`, or let the connection assume a role."
    ),
    "RequestExpired": refused_credentials(
        "this machine's clock is wrong, so the store refuses its signatures.", "Set the clock."
    ),
    "AccountProblem": refused_credentials(
        "the account of the credentials is disabled.", "Check the account, or the login of the connection."
    ),
    "NotSignedUp": refused_credentials(
        "the account of the credentials has no object storage.", "Check the login of the connection."
    ),
    "InvalidObjectState": ARCHIVED,
    "PermanentRedirect": WRONG_REGION,
    "TemporaryRedirect": REDIRECTED,
    "AuthorizationHeaderMalformed": WRONG_REGION,
    "IllegalLocationConstraintException": WRONG_REGION,
    "SlowDown": OVERLOADED,
    "Throttling": OVERLOADED,
    "ThrottlingException": OVERLOADED,
    "TooManyRequests": OVERLOADED,
    "RequestLimitExceeded": OVERLOADED,
    "RequestThrottled": OVERLOADED,
    "RequestTimeout": SERVER_ERROR,
    "IDPCommunicationError": NO_TOKEN_SERVICE,
}

MEANING_OF_STATUS: Mapping[int, Meaning] = {
    301: WRONG_REGION,
    307: REDIRECTED,
    401: UNAUTHORISED,
    403: FORBIDDEN,
    404: MISSING_OBJECT,
    408: SERVER_ERROR,
    429: OVERLOADED,
    503: OVERLOADED,
}

PASSING_STATUS: Mapping[int, Meaning] = {408: NO_TOKEN_SERVICE, 429: NO_TOKEN_SERVICE}
"""Of services for credentials; server errors pass, too."""
METADATA_STATUS = re.compile(r"\bresponse (\d{3})\b")
MACHINE_ROLES = frozenset(("iam-role", "container-role"))
RENEWAL_FAILED = "Credential refresh failed"
"""What botocore says of credentials that it was to obtain or renew."""

STATUS_OF_CLASS: Mapping[str, int] = {
    "FileNotFoundError": 404,
    "PermissionDeniedError": 403,
    "UnauthenticatedError": 401,
}


def from_obstore(error: Exception, where: str) -> ObjectStoreError:
    """Translate an error of obstore, which carries what it knows in its text only."""
    text = str(error)
    code = XML_CODE.search(text)
    status = HTTP_STATUS.search(text)
    region = XML_REGION.search(text)
    return _translated(
        where=where,
        code=code[1] if code else None,
        status=int(status[1]) if status else STATUS_OF_CLASS.get(type(error).__name__),
        region=(region[1] or region[2]) if region else None,
        connected=not ("HTTP error" in text or "error sending request" in text),
        redirected="incorrectly configured region" in text,
    )


def from_answer(status: int, headers: Mapping[str, str], body: bytes, where: str) -> ObjectStoreError:
    """Translate an answer of a store that is a refusal.

    Args:
        status: Of the answer.
        headers: Of the answer; the case of their names does not matter.
        body: Of the answer: XML, or whatever a gateway says.
        where: The place named in the error.
    """
    text = body.decode(errors="replace")
    code = XML_CODE.search(text)
    region = XML_REGION.search(text)
    lower = {name.lower(): value for name, value in headers.items()}
    return _translated(
        where=where,
        code=code[1] if code else None,
        status=status,
        region=lower.get("x-amz-bucket-region") or ((region[1] or region[2]) if region else None),
        retry_after_s=retry_after_s(headers),
    )


def no_connection(where: str, *, is_unknown_host: bool = False) -> ObjectStoreError:
    """Return the error of a request that got no answer, or not the whole of it."""
    return made(UNKNOWN_HOST if is_unknown_host else NO_CONNECTION, where)


def torn(what: str, where: str) -> ObjectStoreError:
    """Return the error of an answer that begins as it should and ends in the middle."""
    return ObjectStoreError(
        f"the store's {what} ends in the middle.",
        reason="unreachable",
        where=where,
        remedy="It is tried again; if it stays so, look at what stands between here and the store.",
        transient=True,
    )


def from_botocore(error: Exception, where: str) -> ObjectStoreError:
    """Translate an error of botocore."""
    response: Mapping[str, Any] | None = getattr(error, "response", None)
    if response is None:
        return _without_answer(error, where)
    metadata = response.get("ResponseMetadata", {})
    headers = metadata.get("HTTPHeaders", {})
    details = response.get("Error", {})
    return _translated(
        where=where,
        code=details.get("Code"),
        status=metadata.get("HTTPStatusCode"),
        region=headers.get("x-amz-bucket-region") or details.get("Region"),
        retry_after_s=retry_after_s(headers),
    )


def _without_answer(error: Exception, where: str) -> ObjectStoreError:
    """Translate an error of botocore that came before any answer of the store."""
    name = type(error).__name__
    if _is_passing_failure_of_credentials(error):
        meaning = NO_TOKEN_SERVICE
    elif any(part in name for part in ("Credential", "Metadata", "SSO", "Token", "ProfileNotFound")):
        meaning = refused_credentials(
            f"no credentials could be obtained ({name}).",
            "Check the login, role or profile of the connection.",
        )
    elif any(part in name for part in ("Connect", "Timeout", "HTTP", "SSL", "Response", "IncompleteRead")):
        meaning = NO_CONNECTION
    else:
        meaning = UNKNOWN
    return made(meaning, where)


def _is_passing_failure_of_credentials(error: Exception) -> bool:
    """Tell whether a machine's metadata service, or the renewal of credentials, failed for now.

    A definite refusal does not pass, nor does what a command or a profile on this machine says.
    """
    details: Mapping[str, Any] = getattr(error, "kwargs", {})
    said = str(details.get("error_msg", ""))
    match type(error).__name__:
        case "MetadataRetrievalError":
            pass
        case "CredentialRetrievalError":
            if details.get("provider") not in MACHINE_ROLES and not said.startswith(RENEWAL_FAILED):
                return False
        case _:
            return False
    status = METADATA_STATUS.search(said)
    return status is None or of_status(int(status[1]), PASSING_STATUS).transient


def _translated(
    *,
    where: str,
    code: str | None,
    status: int | None,
    region: str | None = None,
    connected: bool = True,
    redirected: bool = False,
    retry_after_s: float | None = None,
) -> ObjectStoreError:
    meaning = MEANING_OF_CODE.get(code or "")
    if redirected:
        meaning = WRONG_REGION
    if meaning is None and status is not None:
        meaning = of_status(status, MEANING_OF_STATUS, said=code)
    if meaning is None:
        meaning = UNKNOWN if connected else NO_CONNECTION
    if meaning is WRONG_REGION and region:
        meaning = Meaning(
            "other",
            f"the bucket is in the region {region}, the connection says another one.",
            f"Set `region_name` in the extras of the connection to {region}.",
            is_general=True,
        )
    if meaning is UNKNOWN and code:
        meaning = unknown_refusal(code)
    return made(meaning, where, retry_after_s)


def of_status(status: int, known: Mapping[int, Meaning], *, said: str | None = None) -> Meaning:
    """Return what a refusal means of which only the status tells something.

    Args:
        status: Of the answer.
        known: What the provider's statuses mean.
        said: What to call a refusal that is none of them, instead of its status.
    """
    server_error = 500
    if status in known:
        return known[status]
    return SERVER_ERROR if status >= server_error else unknown_refusal(said or f"HTTP {status}")


def unknown_refusal(said: str) -> Meaning:
    """Return the meaning of a refusal that nothing is known of but what the store called it."""
    return Meaning("other", f"the store refused the request ({said}).", UNKNOWN.remedy)


def made(
    meaning: Meaning, where: str, retry_after_s: float | None = None, *, is_sent: bool = True
) -> ObjectStoreError:
    """Return the error for a place that a meaning stands for."""
    return ObjectStoreError(
        meaning.message,
        reason=meaning.reason,
        where=where,
        remedy=meaning.remedy,
        transient=meaning.transient,
        retry_after_s=retry_after_s,
        is_general=meaning.is_general,
        is_sent=is_sent,
    )
