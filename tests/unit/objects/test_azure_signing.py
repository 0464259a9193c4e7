"""Every kind of credential proves who asks; the SDK's own signatures are the measure for shared keys."""

from __future__ import annotations

import base64
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from azure.core.credentials import AccessToken, AzureNamedKeyCredential, AzureSasCredential
from azure.core.exceptions import ClientAuthenticationError, ServiceRequestError
from azure.core.pipeline import PipelineContext, PipelineRequest
from azure.core.rest import HttpRequest
from azure.storage.blob._shared.authentication import SharedKeyCredentialPolicy
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud_sync.objects.azure_signing import SCOPE, AzureSign, Token, proof_of
from cloud_sync.objects.errors import ObjectStoreError

ACCOUNT_URL = "https://account.blob.core.windows.net"
WHERE = "container media"
KEY = base64.b64encode(b"canary-secret").decode()
KEYS = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12),
    st.sampled_from(["/a", "a//b", "a/", "a/../b", "./a", "a+b%20c", "a?b#c", "~*'()", "a\nb", "\\"]),
)


def sign_with(credential: Any) -> AzureSign:
    return AzureSign(f"{ACCOUNT_URL}/media", proof_of(credential, ACCOUNT_URL, WHERE))


def signature_of_sdk(method: str, url: str, headers: dict[str, str]) -> str:
    sent = {name: value for name, value in headers.items() if name != "Authorization"}
    request = PipelineRequest(HttpRequest(method, url, headers=sent), PipelineContext(None))
    SharedKeyCredentialPolicy("account", KEY).on_request(request)
    return str(request.http_request.headers["Authorization"])


@settings(max_examples=100, deadline=None)
@given(key=KEYS, prefix=KEYS, marker=KEYS)
def test_shared_keys_sign_as_the_sdk_does(key: str, prefix: str, marker: str):
    sign = sign_with(AzureNamedKeyCredential("account", KEY))

    asked = sign("HEAD", key, {})
    listed = sign.listing({"prefix": prefix, "marker": marker, "maxresults": "5"})

    assert asked[1]["Authorization"] == signature_of_sdk("HEAD", *asked)
    assert listed[1]["Authorization"] == signature_of_sdk("GET", *listed)
    assert unquote(urlsplit(asked[0]).path) == f"/media/{key}"
    query = parse_qs(urlsplit(listed[0]).query)
    assert query == {
        "restype": ["container"],
        "comp": ["list"],
        "prefix": [prefix],
        "marker": [marker],
        "maxresults": ["5"],
    }


def test_a_range_is_signed():
    sign = sign_with(AzureNamedKeyCredential("account", KEY))

    url, headers = sign("GET", "a.jpg", {"Range": "bytes=0-9"})

    without = {name: value for name, value in headers.items() if name != "Range"}
    assert headers["Range"] == "bytes=0-9"
    assert headers["Authorization"] != signature_of_sdk("GET", url, without)
    assert KEY not in str(headers)


def test_a_key_that_is_changed_counts_at_once():
    credential = AzureNamedKeyCredential("account", base64.b64encode(b"old").decode())
    sign = sign_with(credential)
    credential.update("account", KEY)

    url, headers = sign("GET", "a.jpg", {})

    assert headers["Authorization"] == signature_of_sdk("GET", url, headers)


def test_a_sas_token_is_added_to_urls():
    credential = AzureSasCredential("?sv=1&sig=abc%3D")
    sign = sign_with(credential)

    assert sign("GET", "a b", {})[0] == f"{ACCOUNT_URL}/media/a%20b?sv=1&sig=abc%3D"
    assert sign.listing({})[0] == f"{ACCOUNT_URL}/media?restype=container&comp=list&sv=1&sig=abc%3D"
    credential.update("sig=new")
    assert sign("GET", "a", {})[0] == f"{ACCOUNT_URL}/media/a?sig=new"


def test_without_a_credential_nothing_is_proved():
    url, headers = sign_with(None)("GET", "a", {})

    assert url == f"{ACCOUNT_URL}/media/a"
    assert "Authorization" not in headers


@pytest.mark.parametrize(
    ("credential", "account_url", "said"),
    [
        (AzureNamedKeyCredential("account", "no base64!"), ACCOUNT_URL, "not written in base64"),
        ("a string", ACCOUNT_URL, "no kind that Azure knows"),
        (SimpleNamespace(get_token=None), "http://127.0.0.1:10000/account", "https only"),
    ],
)
def test_a_credential_that_cannot_work_is_refused(credential: Any, account_url: str, said: str):
    with pytest.raises(ObjectStoreError, match=said) as caught:
        proof_of(credential, account_url, WHERE)
    assert "no base64!" not in str(caught.value)


class Credential:
    """Gives tokens that last for 20 minutes, or fails."""

    def __init__(self) -> None:
        self.now = 0.0
        self.asked: list[str] = []
        self.error: Exception | None = None

    def get_token(self, scope: str) -> AccessToken:
        self.asked.append(scope)
        if self.error:
            raise self.error
        return AccessToken(f"token-{len(self.asked)}", int(self.now) + 1200)


def shown(token: Token) -> str:
    return token("GET", "url", {})[1]["Authorization"]


def test_a_token_is_kept_until_shortly_before_its_end():
    credential = Credential()
    token = Token(credential, WHERE, clock=lambda: credential.now)

    assert [shown(token), shown(token)] == ["Bearer token-1"] * 2
    credential.now = 899
    assert shown(token) == "Bearer token-1"
    credential.now = 901
    assert shown(token) == "Bearer token-2"
    assert credential.asked == [SCOPE] * 2


def test_a_token_that_cannot_be_renewed_is_used_to_its_end():
    credential = Credential()
    token = Token(credential, WHERE, clock=lambda: credential.now)
    shown(token)
    credential.error = ServiceRequestError("down")

    credential.now = 1000
    assert shown(token) == "Bearer token-1"
    credential.now = 1195
    with pytest.raises(ObjectStoreError, match="cannot be reached") as caught:
        shown(token)
    assert caught.value.transient


def test_no_token_at_all():
    credential = Credential()
    credential.error = ClientAuthenticationError("AADSTS7000215: canary")

    with pytest.raises(ObjectStoreError, match="no credentials could be obtained") as caught:
        sign_with(credential)("GET", "a", {})
    assert (caught.value.reason, caught.value.transient) == ("forbidden", False)
    assert "canary" not in str(caught.value)
