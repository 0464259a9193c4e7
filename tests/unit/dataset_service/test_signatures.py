"""Signatures: what the SDK sends passes, and nothing that was changed on the way."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from cloud_sync.dataset_service.signatures import KeyRing, NotSignedError, SignedRequest
from cloud_sync.errors import ConfigError

NOW_S = 1_800_000_000
WINDOW_S = 300
KEY = Ed25519PrivateKey.generate()
STRANGER = Ed25519PrivateKey.generate()
TARGET = "/v2/public/cloud-integrations?filterIntegrationTitles=AWS+prod&includeOrgAccess=False"
THREE = ("@method", "@request-target", "content-digest")


def line(key, owner="engineer@example.com") -> str:
    return f"{key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()} {owner}"


def hex_of(key) -> str:
    return key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw).hex()


def signed(key=KEY, *, method="GET", target=TARGET, body=b"", created=NOW_S, covered=THREE) -> SignedRequest:
    """Sign as the SDK does (encord/http/v2/request_signer.py)."""
    digest = f"sha-256=:{base64.b64encode(hashlib.sha256(body).digest()).decode()}:"
    names = " ".join(f'"{name}"' for name in covered)
    params = f'({names});created={created};keyid="{hex_of(key)}";alg="ed25519"'
    values = {"@method": method, "@request-target": target, "content-digest": digest}
    lines = [f'"{name}": {values[name]}' for name in covered] + [f'"@signature-params": {params}']
    signature = base64.b64encode(key.sign("\n".join(lines).encode())).decode()
    headers = {
        "content-digest": digest,
        "signature-input": f"encord-sig={params}",
        "signature": f"encord-sig=:{signature}:",
    }
    return SignedRequest(method, target, headers, body)


def legacy(key=KEY, body=b"{}") -> SignedRequest:
    signature = key.sign(hashlib.sha256(body).digest()).hex()
    return SignedRequest("POST", "/public", {"authorization": f"{hex_of(key)}:{signature}"}, body)


@pytest.fixture
def ring() -> KeyRing:
    return KeyRing.from_lines([line(KEY)])


def verify(ring: KeyRing, request: SignedRequest) -> str:
    return ring.verify(request, now_s=NOW_S, window_s=WINDOW_S)


def test_a_signed_request_names_its_owner(ring):
    assert verify(ring, signed()) == "engineer@example.com"
    assert verify(ring, signed(method="POST", body=b'{"a": 1}')) == "engineer@example.com"


def with_header(request: SignedRequest, name: str, value: str) -> SignedRequest:
    return replace(request, headers={**request.headers, name: value})


OTHER_DIGEST = signed(body=b"other").headers["content-digest"]
TAMPERED = {
    "method": replace(signed(), method="POST"),
    "path": replace(signed(), target=TARGET.replace("cloud-integrations", "datasets/list")),
    "query": replace(signed(), target=TARGET.replace("prod", "test")),
    "encoding of the query": replace(signed(), target=TARGET.replace("+", "%20")),
    "body": replace(signed(body=b"one"), body=b"two"),
    "body and digest": with_header(replace(signed(), body=b"other"), "content-digest", OTHER_DIGEST),
    "signature": with_header(signed(), "signature", signed(target="/x").headers["signature"]),
    "no digest": with_header(signed(), "content-digest", ""),
    "not base64": with_header(signed(), "signature", "encord-sig=:AAA:"),
    "a stranger's key": signed(STRANGER),
    "covers no digest": signed(covered=THREE[:2]),
    "covers no target": signed(covered=("@method", "content-digest")),
    "unsigned": SignedRequest("GET", TARGET, {}, b""),
}


@pytest.mark.parametrize("what", TAMPERED)
def test_a_changed_request_is_refused(ring, what):
    with pytest.raises(NotSignedError):
        verify(ring, TAMPERED[what])


def test_a_signature_naming_another_persons_key_is_refused():
    both = KeyRing.from_lines([line(KEY), line(STRANGER, "other@example.com")])
    request = signed(STRANGER)
    forged = request.headers["signature-input"].replace(hex_of(STRANGER), hex_of(KEY))
    with pytest.raises(NotSignedError, match="does not fit"):
        verify(both, with_header(request, "signature-input", forged))


@pytest.mark.parametrize("created", [NOW_S - WINDOW_S, NOW_S, NOW_S + 60])
def test_signatures_within_the_window_pass(ring, created):
    assert verify(ring, signed(created=created))


@pytest.mark.parametrize("created", [NOW_S - WINDOW_S - 1, NOW_S + 61, 0])
def test_signatures_outside_the_window_are_refused(ring, created):
    with pytest.raises(NotSignedError, match="too old or from the future"):
        verify(ring, signed(created=created))


def test_legacy_signatures_cover_the_body_only(ring):
    assert ring.verify_legacy(legacy()) == "engineer@example.com"
    with pytest.raises(NotSignedError):
        ring.verify_legacy(replace(legacy(), body=b"{ }"))
    with pytest.raises(NotSignedError):
        ring.verify_legacy(legacy(STRANGER))
    with pytest.raises(NotSignedError):
        ring.verify_legacy(replace(legacy(), headers={"authorization": "Bearer x"}))


def test_a_person_may_have_several_keys():
    ring = KeyRing.from_lines([line(KEY), line(STRANGER)])
    assert verify(ring, signed(STRANGER)) == verify(ring, signed(KEY))


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "no public key"),
        (["ssh-ed25519 nonsense a@b.c"], "not an OpenSSH public key"),
        ([line(KEY).rsplit(" ", 1)[0]], "no email"),
        ([line(ec.generate_private_key(ec.SECP256R1()))], "not an Ed25519 key"),
    ],
)
def test_wrong_key_lines_are_named(lines, message):
    with pytest.raises(ConfigError, match=message):
        KeyRing.from_lines(lines)
