"""Why a request is refused: one class per answer of Encord's two protocols."""

from __future__ import annotations

from typing import ClassVar

from cloud_sync.errors import CloudSyncError


class Refusal(CloudSyncError):  # noqa: N818 (an answer, not a failure of this service)
    """A request that is answered with an error.

    Attributes:
        status: HTTP status in the v2 protocol, and `status` in a legacy answer.
        legacy_code: The word that the legacy protocol puts in `response`.
    """

    status: ClassVar[int] = 500
    legacy_code: ClassVar[str] = "UNKNOWN_ERROR"


class InvalidRequest(Refusal):
    """Something in the request is wrong."""

    status = 400
    legacy_code = "INVALID_ARGUMENTS_ERROR"


class NotAuthenticated(Refusal):
    """Nobody known has signed the request."""

    status = 401
    legacy_code = "AUTHENTICATION_ERROR"


class NotAllowed(Refusal):
    """It does not exist or belongs to somebody else: the answer does not tell which."""

    status = 403
    legacy_code = "AUTHORISATION_ERROR"


class NotFound(Refusal):
    """There is no such thing."""

    status = 404
    legacy_code = "RESOURCE_NOT_FOUND_ERROR"


class AlreadyExists(Refusal):
    """It is there already and may not be twice."""

    status = 409
    legacy_code = "RESOURCE_EXISTS_ERROR"


class TooLarge(Refusal):
    """The request is larger than the limit."""

    status = 413
    legacy_code = "PAYLOAD_TOO_LARGE_ERROR"
