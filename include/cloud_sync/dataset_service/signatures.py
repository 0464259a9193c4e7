"""Who signed a request: the SDK's two ways of signing with an Ed25519 key.

v2 is a draft of HTTP Message Signatures over method, request target and body digest; v1 signs the
digest of the body alone (so it does not protect the dataset named in its headers: that is how
Encord's legacy protocol is, and why access is checked per dataset). Source: encord 0.1.211,
`encord/http/v2/request_signer.py` and `encord/configs.py`.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_ssh_public_key

from cloud_sync.errors import CloudSyncError, ConfigError

COVERED = ("@method", "@request-target", "content-digest")
SIGNATURE_INPUT = re.compile(
    r"encord-sig=(?P<params>\((?P<covered>[^)]*)\);created=(?P<created>\d{1,12})"
    r';keyid="(?P<key>[0-9a-f]{64})";alg="ed25519")'
)
SIGNATURE = re.compile(r"encord-sig=:(?P<signature>[A-Za-z0-9+/=]+):")
LEGACY_AUTHORIZATION = re.compile(r"(?P<key>[0-9a-f]{64}):(?P<signature>[0-9a-f]{128})")
# A clock that runs ahead by more than this is wrong.
MOST_SECONDS_AHEAD = 60


class NotSignedError(CloudSyncError):
    """The request carries no valid signature of a registered key."""


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """What a signature can cover.

    Attributes:
        method: HTTP method, upper case.
        target: Path and query exactly as sent, percent-encoding included.
        headers: By lower-case name.
        body: The whole body.
    """

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes


class KeyRing:
    """The registered public keys and whose they are."""

    def __init__(self, owners: Mapping[str, str]) -> None:
        self._owners = dict(owners)

    @classmethod
    def from_lines(cls, lines: Iterable[str]) -> KeyRing:
        """Read lines `ssh-ed25519 AAAA... email`; a person may have several keys.

        Raises:
            ConfigError: There is no line, or one is no Ed25519 key or has no email.
        """
        owners = dict(_owner_by_key(number, line) for number, line in enumerate(lines, start=1))
        if not owners:
            raise ConfigError(
                "no public key is registered.",
                where="public_keys",
                remedy="Make one with `create-key` and add the line it prints.",
            )
        return cls(owners)

    def verify(self, request: SignedRequest, *, now_s: float, window_s: int) -> str:
        """Return the email of the person who signed a v2 request.

        Args:
            request: The request as it arrived.
            now_s: The present, seconds since the epoch.
            window_s: How old a signature may be.

        Raises:
            NotSignedError: Not signed, by nobody known, at another time, or not this request.
        """
        parsed = SIGNATURE_INPUT.fullmatch(request.headers.get("signature-input", ""))
        signature = SIGNATURE.fullmatch(request.headers.get("signature", ""))
        if not parsed or not signature:
            raise NotSignedError("the request is not signed as the encord SDK signs.")
        if parsed["covered"].split(" ") != [f'"{name}"' for name in COVERED]:
            raise NotSignedError("the signature does not cover method, target and content digest.")
        age_s = now_s - int(parsed["created"])
        if not -MOST_SECONDS_AHEAD <= age_s <= window_s:
            raise NotSignedError("the signature is too old or from the future.", remedy="Check the clock.")
        digest = "sha-256=:" + base64.b64encode(hashlib.sha256(request.body).digest()).decode() + ":"
        if request.headers.get("content-digest") != digest:
            raise NotSignedError("the content digest is not that of the body.")
        values = {"@method": request.method, "@request-target": request.target, "content-digest": digest}
        base = [f'"{name}": {values[name]}' for name in COVERED]
        base.append(f'"@signature-params": {parsed["params"]}')
        return self._check(parsed["key"], _decoded(signature["signature"]), "\n".join(base).encode())

    def verify_legacy(self, request: SignedRequest) -> str:
        """Return the email of the person who signed a v1 request.

        Raises:
            NotSignedError: Not signed, by nobody known, or not this body.
        """
        parsed = LEGACY_AUTHORIZATION.fullmatch(request.headers.get("authorization", ""))
        if not parsed:
            raise NotSignedError("the request is not signed as the encord SDK signs.")
        signature = bytes.fromhex(parsed["signature"])
        return self._check(parsed["key"], signature, hashlib.sha256(request.body).digest())

    def _check(self, key: str, signature: bytes, signed: bytes) -> str:
        owner = self._owners.get(key)
        if owner is None:
            raise NotSignedError("the public key is not registered.")
        try:
            Ed25519PublicKey.from_public_bytes(bytes.fromhex(key)).verify(signature, signed)
        except InvalidSignature as error:
            raise NotSignedError("the signature does not fit the request.") from error
        return owner


def _owner_by_key(number: int, line: str) -> tuple[str, str]:
    where = f"public key {number}"
    parts = line.split(None, 2)
    try:
        key = load_ssh_public_key(" ".join(parts[:2]).encode())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ConfigError("is not an OpenSSH public key.", where=where, remedy="Use `create-key`.") from error
    if not isinstance(key, Ed25519PublicKey):
        raise ConfigError("is not an Ed25519 key.", where=where, remedy="Use `create-key`.")
    if len(parts) < 3 or "@" not in parts[2]:  # noqa: PLR2004 (type, key, email)
        raise ConfigError("has no email after the key.", where=where, remedy="Add its owner's email.")
    return key.public_bytes(Encoding.Raw, PublicFormat.Raw).hex(), parts[2].strip()


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError as error:
        raise NotSignedError("the signature is not base64.") from error
