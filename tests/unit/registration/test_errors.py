"""Every exception of the SDK becomes one clear error, transient or not, without secrets."""

from __future__ import annotations

import inspect
import ssl

import encord.exceptions
import pytest
import requests.exceptions
from encord.exceptions import (
    AuthenticationError,
    AuthorisationError,
    EncordException,
    GenericServerError,
    InvalidArgumentsError,
    PayloadTooLargeError,
    RateLimitExceededError,
    RequestException,
    ResourceNotFoundError,
    UnknownException,
)
from encord.http.common import RequestContext

from cloud_sync.errors import ConfigError, EncordError
from cloud_sync.registration.errors import (
    RULES,
    EncordRefusedError,
    ManifestRefusedError,
    clean_text,
    the_one,
    translate,
)

CASES = [
    (AuthenticationError("no"), ConfigError, False, "public half"),
    (AuthorisationError("not yours"), ConfigError, False, "not yours"),
    (ResourceNotFoundError("gone"), EncordRefusedError, False, "removed"),
    (RateLimitExceededError(retry_after=7), EncordRefusedError, True, "fewer requests"),
    (PayloadTooLargeError("limit is 100 MB"), EncordRefusedError, False, "items_per_manifest"),
    (InvalidArgumentsError("videos.0 is odd"), EncordRefusedError, False, "videos.0 is odd"),
    (UnknownException("boom"), EncordError, True, "boom"),
    (GenericServerError("type None"), EncordError, True, "internal error"),
    (RequestException("send failed req.url='http://x/?secret=1'"), EncordError, True, "not be reached"),
    (EncordException("3 validation errors"), EncordError, False, "not one that the installed SDK"),
    (
        ValueError("badly formed hexadecimal UUID string"),
        EncordError,
        False,
        "not one that the installed SDK",
    ),
]
ABOUT_CONTENT = (PayloadTooLargeError, InvalidArgumentsError)


@pytest.mark.parametrize(("raised", "kind", "transient", "says"), CASES)
def test_the_table(raised, kind, transient, says):
    error = translate(raised, where="dataset 'x'")
    assert type(error) is kind
    assert error.transient is transient
    assert says in str(error)
    assert str(error).startswith("dataset 'x': ")
    assert "secret" not in str(error)


def test_every_name_in_the_table_is_a_class_of_the_installed_sdk():
    classes = dict(inspect.getmembers(encord.exceptions, inspect.isclass))
    assert set(RULES) <= set(classes)


def test_every_exception_of_the_sdk_has_a_rule():
    for _, kind in inspect.getmembers(encord.exceptions, inspect.isclass):
        if issubclass(kind, EncordException):
            assert any(base.__name__ in RULES for base in kind.__mro__), kind


def test_the_wait_that_encord_asks_for_is_kept():
    assert translate(RateLimitExceededError(retry_after=7), where="x").retry_after_s == 7


def test_a_request_that_failed_validation_is_permanent_and_says_where():
    detail = [{"loc": ["body", "externalFiles", "videos"], "msg": "Field required", "input": "SECRET"}]
    error = translate(UnknownException(detail), where="x")  # what the SDK makes of a 422
    assert (type(error), error.transient) == (EncordRefusedError, False)
    assert "body.externalFiles.videos: Field required" in str(error)
    assert "SECRET" not in str(error)


def test_an_untrusted_certificate_is_permanent():
    cause = requests.exceptions.SSLError(ssl.SSLCertVerificationError("self-signed"))
    raised = RequestException("send failed")
    raised.__cause__ = cause
    error = translate(raised, where="x")
    assert (type(error), error.transient) == (ConfigError, False)
    assert "REQUESTS_CA_BUNDLE" in str(error)


def test_a_domain_that_is_no_url_is_permanent():
    error = translate(requests.exceptions.MissingSchema("No scheme supplied"), where="x")
    assert (type(error), error.transient) == (ConfigError, False)


def test_a_read_that_failed_has_changed_nothing():
    assert type(translate(UnknownException("boom"), where="x")) is EncordError
    error = translate(UnknownException("boom"), where="x", changes_nothing=True)
    assert (type(error), error.transient) == (EncordRefusedError, True)


def test_the_trace_id_is_kept_for_encords_support():
    raised = UnknownException("boom", context=RequestContext(trace_id="abc123", domain="https://api"))
    assert "trace id abc123" in str(translate(raised, where="x"))


def test_remote_text_loses_what_could_be_secret():
    text = (
        "could not read https://key:pass@bkt.s3.amazonaws.com/a%20b.jpg?X-Amz-Signature=cafe&x=1 and "
        "gs://b/k#frag\n\n-----BEGIN OPENSSH PRIVATE KEY-----\nb3Blbn\n-----END OPENSSH PRIVATE KEY----- done"
    )
    assert clean_text(text) == (
        "could not read https://bkt.s3.amazonaws.com/a%20b.jpg and gs://b/k [key] done"
    )


def test_an_apostrophe_or_a_second_at_sign_hides_no_secret():
    text = "see https://b.example/it's.jpg?sig=ca'fe and https://me@home:pass@b.example/k"
    assert clean_text(text) == "see https://b.example/it's.jpg and https://b.example/k"


@pytest.mark.parametrize(
    "raised",
    [
        PayloadTooLargeError("limit is 100 MB"),
        InvalidArgumentsError("videos.0\nis odd"),
        UnknownException([{"loc": ["body", "videos", 0], "msg": "Field required"}]),
    ],
)
def test_a_refusal_of_what_a_manifest_holds_is_of_that_manifest(raised):
    error = translate(raised, where="manifest x", sends_manifest=True)
    assert (type(error), error.transient) == (ManifestRefusedError, False)
    assert len(str(error).splitlines()) == 1
    assert not isinstance(translate(raised, where="x"), ManifestRefusedError)


@pytest.mark.parametrize("case", [case for case in CASES if not isinstance(case[0], ABOUT_CONTENT)])
def test_every_other_failure_of_a_sending_concerns_all_manifests(case):
    raised, kind, transient, _ = case
    error = translate(raised, where="manifest x", sends_manifest=True)
    assert (type(error), error.transient) == (kind, transient)


def test_remote_text_is_cut():
    assert len(clean_text("x" * 5000)) == 300


def test_the_one_of_one():
    assert the_one([("u1", "Title")], "Title", [], where="dataset") == ("u1", "Title")


def test_none_names_near_titles():
    with pytest.raises(ConfigError, match=r"Near titles: 'Street scenes'\."):
        the_one([], "Street scene", ["Street scenes", "Parking"], where="dataset")


def test_several_are_named_by_uuid():
    with pytest.raises(ConfigError, match=r"2 have this title: u1, u2\..*Write the UUID"):
        the_one([("u2", "T"), ("u1", "T")], "T", [], where="dataset")
