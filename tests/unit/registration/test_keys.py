"""Only a usable Ed25519 key passes, whatever a form did to its line breaks; no error shows a key."""

from __future__ import annotations

import traceback

import pytest

from cloud_sync.errors import ConfigError
from cloud_sync.registration.keys import check_ssh_key
from tests.unit.registration.keys import ed25519_key, wrong_keys

WRONG = wrong_keys()
KEY = ed25519_key()

DISTORTIONS = {
    "as it is": lambda key: key,
    "no last newline": lambda key: key.rstrip("\n"),
    "CRLF": lambda key: key.replace("\n", "\r\n"),
    "literal backslash n": lambda key: key.replace("\n", "\\n"),
    "literal backslash r n": lambda key: key.replace("\n", "\\r\\n"),
    "spaces": lambda key: key.replace("\n", " "),
    "one line, as a password field leaves it": lambda key: key.replace("\n", ""),
    "indented, as in YAML": lambda key: key.replace("\n", "\n    "),
    "in quotes": lambda key: f'"{key}"',
    "blank lines around": lambda key: f"\n\n{key}\n\n",
}


@pytest.mark.parametrize("distort", DISTORTIONS.values(), ids=DISTORTIONS)
def test_a_distorted_key_is_repaired(distort):
    assert check_ssh_key(distort(KEY)) == KEY


def test_the_repaired_key_is_the_same_key_to_the_sdk():
    from encord.configs import SshConfig

    repaired = check_ssh_key(KEY.replace("\n", ""))
    assert SshConfig.from_ssh_private_key(repaired).public_key_hex == (
        SshConfig.from_ssh_private_key(KEY).public_key_hex
    )


@pytest.mark.parametrize(("text", "kind"), WRONG.values(), ids=WRONG)
def test_anything_else_is_refused_by_kind(text, kind):
    with pytest.raises(ConfigError) as caught:
        check_ssh_key(text)
    assert kind in str(caught.value)
    assert "ssh-keygen -t ed25519" in str(caught.value)
    assert not caught.value.transient


LONG = {name: text for name, (text, _) in WRONG.items() if len(text) > 10}


@pytest.mark.parametrize("text", LONG.values(), ids=LONG)
def test_no_piece_of_the_text_is_in_the_error_or_its_traceback(text):
    with pytest.raises(ConfigError) as caught:
        check_ssh_key(text)
    shown = "".join(traceback.format_exception(caught.value))
    assert caught.value.__cause__ is None
    secret = "".join(line for line in text.splitlines() if not line.startswith("-----"))
    pieces = {secret[start : start + 12] for start in range(len(secret) - 11)}
    assert not [piece for piece in pieces if piece in shown]
