"""The SSH key of an Encord user, checked before the SDK can see it.

The SDK puts the whole private key into the message of its error when the key has the wrong type, and
falls back to environment variables when the key is empty. So it gets only keys that passed here.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import NoReturn

from cloud_sync.errors import ConfigError

OPENSSH = "OPENSSH PRIVATE KEY"
PEM_BLOCK = re.compile(
    r"-----BEGIN (?P<label>[A-Z0-9 ]+)-----(?P<body>.*?)-----END (?P=label)-----", re.DOTALL
)
LINE_LENGTH = 70  # what ssh-keygen writes
REMEDY = (
    "Make a key with `ssh-keygen -t ed25519 -N ''`, add its public half to Encord "
    "and paste the whole private key file, from BEGIN to END."
)
PEM_KINDS = {
    "PRIVATE KEY": "a PKCS#8 private key",
    "ENCRYPTED PRIVATE KEY": "an encrypted PKCS#8 private key",
    "RSA PRIVATE KEY": "an RSA private key",
    "EC PRIVATE KEY": "an ECDSA private key",
    "DSA PRIVATE KEY": "a DSA private key",
    "PUBLIC KEY": "a public key",
    "SSH2 PUBLIC KEY": "a public key",
    "CERTIFICATE": "a certificate",
}
SSH_ALGORITHMS = {
    "ssh-rsa": "an RSA private key",
    "ssh-dss": "a DSA private key",
    "ecdsa-sha2-": "an ECDSA private key",
    "sk-": "a private key of a hardware token",
}


def check_ssh_key(text: str) -> str:
    r"""Check an Ed25519 private key in OpenSSH format and return it in its normal form.

    Repairs what forms, YAML files and environment variables do to line breaks: literal `\n`, CRLF,
    spaces in their place or nothing at all, a missing last newline, quotes around the key.

    Args:
        text: The private key as somebody entered it.

    Returns:
        The key as ssh-keygen writes it: lines of 70 characters and a newline at the end.

    Raises:
        ConfigError: Anything else. Names the kind that was found, never a byte of it.
    """
    cleaned = text.strip().strip("\"'").replace("\\r", "").replace("\\n", "\n")
    if not cleaned.strip():
        _refuse("is empty.")
    block = PEM_BLOCK.search(cleaned)
    if block is None or block["label"] != OPENSSH:
        _refuse(f"holds {_kind_of_text(cleaned, block)}, not an Ed25519 private key in OpenSSH format.")
    body = re.sub(r"\s+", "", block["body"])
    _check_algorithm(body)
    lines = [body[start : start + LINE_LENGTH] for start in range(0, len(body), LINE_LENGTH)]
    normal = "\n".join([f"-----BEGIN {OPENSSH}-----", *lines, f"-----END {OPENSSH}-----", ""])
    _check_loads(normal)
    return normal


def _kind_of_text(text: str, block: re.Match[str] | None) -> str:
    if block is not None:
        return PEM_KINDS.get(block["label"], "a key of another kind")
    if re.match(r"(ssh-|ecdsa-|sk-)\S+ \S+", text):
        return "a public key"
    if text.startswith("PuTTY-User-Key-File"):
        return "a PuTTY key"
    if "-----BEGIN" in text:
        return "an incomplete private key (its END line is missing)"
    if re.fullmatch(r"[~./][^\n]*|[A-Za-z]:\\[^\n]*", text):
        return "what looks like the path of a file"
    return "text that is no key"


def _check_algorithm(body: str) -> None:
    """Read the clear part of the key file, whose layout is in OpenSSH's PROTOCOL.key."""
    try:
        blob = base64.b64decode(body, validate=True)
        magic, blob = blob[:15], blob[15:]
        cipher, blob = _take_string(blob)
        _, blob = _take_string(blob)  # how the passphrase becomes a key
        _, blob = _take_string(blob)  # and with what options
        public, _ = _take_string(blob[4:])  # after the number of keys
        algorithm = _take_string(public)[0].decode("ascii")
    except (binascii.Error, IndexError, ValueError):
        magic, cipher, algorithm = b"", b"", ""
    if magic != b"openssh-key-v1\0":
        _refuse("holds a damaged private key.")
    if cipher != b"none":
        _refuse("holds a private key that is protected by a passphrase.")
    if algorithm != "ssh-ed25519":
        kinds = (kind for start, kind in SSH_ALGORITHMS.items() if algorithm.startswith(start))
        _refuse(f"holds {next(kinds, 'a private key of another kind')}, not an Ed25519 private key.")


def _take_string(blob: bytes) -> tuple[bytes, bytes]:
    end = 4 + int.from_bytes(blob[:4], "big")
    if len(blob) < end:
        raise ValueError("cut short")
    return blob[4:end], blob[end:]


def _check_loads(normal: str) -> None:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_ssh_private_key

    try:
        key = load_ssh_private_key(normal.encode(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        _refuse("holds a damaged private key.")


def _refuse(what: str) -> NoReturn:
    # Without a cause: those of the libraries could carry the key.
    raise ConfigError(f"the SSH private key {what}", where="Encord connection", remedy=REMEDY) from None
