"""What a refusal by Google means: the reason, what to do, and whether trying again can help."""

from __future__ import annotations

import json

import pytest
from google.auth import exceptions

from cloud_sync.objects.gcs_errors import from_gcs, from_google_auth

SECRET = "canary-1f2e"
WHERE = "bucket media"
DENIED = (
    f"{SECRET}@project.iam.gserviceaccount.com does not have storage.objects.list access to the Google Cloud "
    "Storage bucket. Permission 'storage.objects.list' denied on resource (or it may not exist)."
)


def answer(status: int, reason: str, message: str = SECRET) -> bytes:
    errors = [{"domain": "global", "reason": reason, "message": message}]
    return json.dumps({"error": {"code": status, "message": message, "errors": errors}}).encode()


NO_OBJECT = "No such object: media/a.jpg"
NO_SUCH_BUCKET = "The specified bucket does not exist."


@pytest.mark.parametrize(
    ("status", "body", "reason", "transient", "said"),
    [
        (400, answer(400, "required", "Bucket is a requester pays bucket but no user project provided."),
         "other", False, "requester pays"),
        (400, answer(400, "UserProjectMissing"), "other", False, "requester pays"),
        (400, answer(400, "invalid"), "other", False, "HTTP 400, invalid"),
        (401, answer(401, "authError", "Invalid Credentials"), "forbidden", False, "take the credentials"),
        (401, answer(401, "required", "Anonymous caller does not have storage.objects.list access."),
         "forbidden", False, "not public"),
        (403, answer(403, "forbidden", DENIED), "forbidden", False, "storage.objects.list is missing"),
        (403, answer(403, "forbidden"), "forbidden", False, "refused access"),
        (403, answer(403, "insufficientPermissions"), "forbidden", False, "devstorage.read_only"),
        (403, answer(403, "accessNotConfigured"), "forbidden", False, "project"),
        (403, answer(403, "accountDisabled"), "forbidden", False, "billing"),
        (403, answer(403, "forbidden", "Request is prohibited. vpcServiceControlsUniqueIdentifier: x"),
         "forbidden", False, "perimeter"),
        (403, answer(403, "userRateLimitExceeded"), "unreachable", True, "overloaded"),
        (404, answer(404, "notFound", NO_OBJECT), "missing", False, "object does not exist"),
        (404, answer(404, "notFound", NO_SUCH_BUCKET), "no_bucket", False, "`bucket`"),
        (404, NO_OBJECT.encode(), "missing", False, "object does not exist"),
        (404, NO_SUCH_BUCKET.encode(), "no_bucket", False, "`bucket`"),
        (408, b"", "unreachable", True, "server error"),
        (429, answer(429, "rateLimitExceeded"), "unreachable", True, "overloaded"),
        (500, answer(500, "backendError"), "unreachable", True, "server error"),
        (502, b"<html>Bad gateway</html>", "unreachable", True, "server error"),
        (503, b"", "unreachable", True, "overloaded"),
        (418, b'{"error": "teapot"}', "other", False, "HTTP 418"),
        (418, b'{"error": {"errors": []}}', "other", False, "HTTP 418"),
        (418, b"\xff[", "other", False, "HTTP 418"),
        (418, answer(418, f"https://host?{SECRET}"), "other", False, "(HTTP 418)"),
    ],
)  # fmt: skip
def test_refusals_of_the_store(status: int, body: bytes, reason: str, transient: bool, said: str):
    error = from_gcs(status, {}, body, WHERE)

    assert (error.reason, error.transient) == (reason, transient)
    assert said in str(error)
    assert str(error).startswith(f"{WHERE}: ")
    assert error.remedy
    assert SECRET not in str(error)


def test_the_stores_wish_to_be_left_alone_is_kept():
    assert from_gcs(429, {"Retry-After": "7"}, b"", WHERE).retry_after_s == 7
    assert from_gcs(503, {}, b"", WHERE).retry_after_s is None


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "reason", "transient", "said"),
    [
        (exceptions.RefreshError(f"invalid_grant: {SECRET}"), "forbidden", False, "does not renew"),
        (exceptions.RefreshError("", retryable=True), "unreachable", True, "cannot be reached"),
        (
            exceptions.RefreshError("invalid_grant: Invalid JWT: Token must be in a reasonable timeframe."),
            "forbidden", False, "clock",
        ),
        (
            exceptions.RefreshError("Unable to acquire impersonated credentials", SECRET),
            "forbidden", False, "Token Creator",
        ),
        (
            caused(exceptions.RefreshError(SECRET), exceptions.TransportError(SECRET)),
            "unreachable", True, "cannot be reached",
        ),
        (
            exceptions.RefreshError("Unable to acquire impersonated credentials", '{"error": {"code": 503}}'),
            "unreachable", True, "renews the credentials",
        ),
        (
            exceptions.RefreshError("Unable to acquire impersonated credentials", '{"error": {"code": 403}}'),
            "forbidden", False, "Token Creator",
        ),
        (exceptions.RefreshError(f"metadata service. Status: 503 {SECRET}"), "unreachable", True, "renews"),
        (exceptions.OAuthError("<title>Error 502 (Server Error)", SECRET), "unreachable", True, "renews"),
        (exceptions.TransportError(SECRET), "unreachable", True, "cannot be reached"),
        (exceptions.DefaultCredentialsError(SECRET), "forbidden", False, "no credentials"),
        (exceptions.InvalidOperation(SECRET), "forbidden", False, "came without credentials"),
        (exceptions.OAuthError(SECRET), "forbidden", False, "does not renew"),
        (ValueError(SECRET), "other", False, "refused the request"),
    ],
)  # fmt: skip
def test_refusals_of_credentials(error: Exception, reason: str, transient: bool, said: str):
    translated = from_google_auth(error, WHERE)

    assert (translated.reason, translated.transient) == (reason, transient)
    assert said in str(translated)
    assert translated.remedy
    assert SECRET not in str(translated)


@pytest.mark.parametrize(
    ("status", "reason", "is_general"),
    [(401, "authError", True), (403, "accountDisabled", True), (403, "forbidden", False)],
)
def test_refused_credentials_are_told_apart_from_a_forbidden_object(status, reason, is_general):
    assert from_gcs(status, {}, answer(status, reason), WHERE).is_general is is_general
