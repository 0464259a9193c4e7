"""What a refusal by Azure means: the reason, what to do, and whether trying again can help."""

from __future__ import annotations

import pytest
from azure.core.exceptions import (
    ClientAuthenticationError,
    HttpResponseError,
    ServiceRequestError,
    ServiceResponseError,
)
from azure.identity import CredentialUnavailableError

from cloud_sync.objects.azure_errors import MEANING_OF_CODE, from_answer, from_credential

SECRET = "canary-1f2e"
WHERE = "container media"


def body(code: str, detail: str = "") -> bytes:
    return (
        f'\ufeff<?xml version="1.0" encoding="utf-8"?><Error><Code>{code}</Code><Message>{SECRET}</Message>'
        f"<AuthenticationErrorDetail>{detail}</AuthenticationErrorDetail></Error>"
    ).encode()


@pytest.mark.parametrize(
    ("status", "code", "reason", "transient", "said"),
    [
        (404, "ContainerNotFound", "no_bucket", False, "`bucket`"),
        (409, "ContainerBeingDeleted", "no_bucket", False, "container does not exist"),
        (404, "BlobNotFound", "missing", False, "object does not exist"),
        (404, "ResourceNotFound", "missing", False, "does not exist"),
        (403, "AuthenticationFailed", "forbidden", False, "wrong or expired"),
        (401, "InvalidAuthenticationInfo", "forbidden", False, "wrong or expired"),
        (401, "NoAuthenticationInformation", "forbidden", False, "not public"),
        (409, "PublicAccessNotPermitted", "forbidden", False, "not public"),
        (403, "AuthorizationPermissionMismatch", "forbidden", False, "Storage Blob Data Reader"),
        (403, "AuthorizationResourceTypeMismatch", "forbidden", False, "read and list"),
        (403, "AuthorizationFailure", "forbidden", False, "firewall"),
        (403, "AuthorizationSourceIPMismatch", "forbidden", False, "firewall"),
        (403, "KeyBasedAuthenticationNotPermitted", "forbidden", False, "shared keys"),
        (403, "AccountIsDisabled", "forbidden", False, "disabled"),
        (403, "SomethingNew", "forbidden", False, "do not allow"),
        (409, "BlobArchived", "archived", False, "archive tier"),
        (400, "InvalidResourceName", "other", False, "name of the container"),
        (400, "InvalidHeaderValue", "other", False, "(InvalidHeaderValue)"),
        (500, "InternalError", "unreachable", True, "server error"),
        (500, "OperationTimedOut", "unreachable", True, "server error"),
        (503, "ServerBusy", "unreachable", True, "overloaded"),
        (429, "", "unreachable", True, "overloaded"),
        (502, "", "unreachable", True, "server error"),
        (418, "", "other", False, "(HTTP 418)"),
    ],
)
def test_each_refusal_has_a_reason_and_a_remedy(
    status: int, code: str, reason: str, transient: bool, said: str
):
    of_get = from_answer(status, {}, body(code) if code else b"<html>", WHERE)
    of_head = from_answer(status, {"X-Ms-Error-Code": code}, b"", WHERE)

    assert (of_get.reason, of_get.transient) == (reason, transient)
    assert said in str(of_get)
    assert str(of_get) == str(of_head)
    assert str(of_get).startswith(f"{WHERE}: ")
    assert of_get.remedy
    assert SECRET not in str(of_get)


@pytest.mark.parametrize(
    ("detail", "said"),
    [
        (
            "Signature not valid in the specified time frame: Start [..]",
            "SAS token has expired",
        ),
        ("Request date header too old: 'Fri, 20 Nov 2026 08:00:00 GMT'", "clock is wrong"),
        (f"The MAC signature found in the HTTP request '{SECRET}' is not the same", "key does not belong"),
    ],
)
def test_refused_credentials_say_what_is_wrong_with_them(detail: str, said: str):
    error = from_answer(403, {}, body("AuthenticationFailed", detail), WHERE)

    assert (error.reason, error.transient) == ("forbidden", False)
    assert said in str(error)
    assert SECRET not in str(error)


@pytest.mark.parametrize(
    ("headers", "seconds"), [({"Retry-After": "7"}, 7), ({"x-ms-retry-after-ms": "1500"}, 1.5), ({}, None)]
)
def test_the_stores_wish_to_be_left_alone_is_kept(headers: dict[str, str], seconds: float | None):
    assert from_answer(503, headers, b"", WHERE).retry_after_s == seconds


def answered(status: int) -> HttpResponseError:
    error = HttpResponseError(SECRET)
    error.status_code = status
    return error


@pytest.mark.parametrize(
    ("error", "reason", "transient"),
    [
        (ClientAuthenticationError(SECRET), "forbidden", False),
        (ValueError(SECRET), "forbidden", False),
        (ServiceRequestError(SECRET), "unreachable", True),
        (ServiceResponseError(SECRET), "unreachable", True),
        (ConnectionError(SECRET), "unreachable", True),
        (answered(503), "unreachable", True),
        (answered(429), "unreachable", True),
        (answered(400), "forbidden", False),
        (CredentialUnavailableError(f"no response from the IMDS endpoint. {SECRET}"), "unreachable", True),
        (ClientAuthenticationError(f"AADSTS90033: {SECRET}"), "unreachable", True),
        (ClientAuthenticationError(f"AADSTS7000222: {SECRET}"), "forbidden", False),
    ],
)
def test_a_credential_that_gives_no_token(error: Exception, reason: str, transient: bool):
    translated = from_credential(error, WHERE)

    assert (translated.reason, translated.transient) == (reason, transient)
    assert SECRET not in str(translated)


def test_meanings_are_whole_sentences():
    assert all(each.message.endswith(".") and each.remedy.endswith(".") for each in MEANING_OF_CODE.values())


@pytest.mark.parametrize(
    ("code", "status", "is_general"),
    [
        ("AuthenticationFailed", 403, True),
        ("AuthorizationFailure", 403, True),
        ("AccountIsDisabled", 403, True),
        ("AuthorizationPermissionMismatch", 403, False),
        ("BlobArchived", 409, False),
    ],
)
def test_refused_credentials_are_told_apart_from_a_forbidden_object(code, status, is_general):
    assert from_answer(status, {}, body(code), WHERE).is_general is is_general
