"""Throwaway keys of every kind that somebody may paste."""

from __future__ import annotations

import base64
import textwrap

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

CHECK_NUMBER_AT = 98  # a number that stands twice in the file, so that damage shows


def ed25519_key() -> str:
    """Return a new Ed25519 private key as ssh-keygen writes it: in lines of 70 characters."""
    text = private_text(ed25519.Ed25519PrivateKey.generate(), PrivateFormat.OpenSSH)
    first, *body, last = text.splitlines()
    return "\n".join([first, *textwrap.wrap("".join(body), 70), last, ""])


def private_text(key, form: PrivateFormat) -> str:
    return key.private_bytes(Encoding.PEM, form, NoEncryption()).decode()


def wrong_keys() -> dict[str, tuple[str, str]]:
    """Return what must be refused, by name: the text, and what the error must say of it."""
    rsa_key = rsa.generate_private_key(65537, 2048)
    curve = ec.generate_private_key(ec.SECP256R1())
    good = ed25519.Ed25519PrivateKey.generate()
    whole = private_text(good, PrivateFormat.OpenSSH)
    blob = base64.b64decode("".join(whole.splitlines()[1:-1]))
    changed = bytes([blob[CHECK_NUMBER_AT] ^ 1])
    public = good.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    return {
        "rsa openssh": (private_text(rsa_key, PrivateFormat.OpenSSH), "an RSA private key"),
        "rsa pem": (private_text(rsa_key, PrivateFormat.TraditionalOpenSSL), "an RSA private key"),
        "ecdsa openssh": (private_text(curve, PrivateFormat.OpenSSH), "an ECDSA private key"),
        "ecdsa pem": (private_text(curve, PrivateFormat.TraditionalOpenSSL), "an ECDSA private key"),
        "ed25519 pkcs8": (private_text(good, PrivateFormat.PKCS8), "a PKCS#8 private key"),
        "passphrase": (
            openssh(blob.replace(b"\0\0\0\4none", b"\0\0\0\x0aaes256-ctr", 1)),
            "protected by a passphrase",
        ),
        "public": (public, "a public key"),
        "cut short": (whole[: len(whole) // 2], "its END line is missing"),
        "one byte changed": (
            openssh(blob[:CHECK_NUMBER_AT] + changed + blob[CHECK_NUMBER_AT + 1 :]),
            "a damaged private key",
        ),
        "middle missing": (openssh(blob[:60] + blob[90:]), "a damaged private key"),
        "not base64": (whole.replace("b3Blbn", "b3 ?bn"), "a damaged private key"),
        "a path": ("~/.ssh/id_ed25519", "the path of a file"),
        "text": ("hunter2 is the password", "text that is no key"),
        "empty": ("", "is empty"),
        "blank": (" \n\\n ", "is empty"),
    }


def openssh(blob: bytes) -> str:
    body = base64.b64encode(blob).decode()
    return f"-----BEGIN OPENSSH PRIVATE KEY-----\n{body}\n-----END OPENSSH PRIVATE KEY-----\n"
