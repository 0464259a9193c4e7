"""Secrets are made once, can be read by this user only, and show themselves to nobody."""

from __future__ import annotations

from pathlib import Path

from cryptography.hazmat.primitives.serialization import load_ssh_public_key

from demo.places import Places, load_secrets


def test_secrets_are_made_once(tmp_path: Path) -> None:
    first = load_secrets(tmp_path / "secrets")
    assert load_secrets(tmp_path / "secrets") == first
    assert load_secrets(tmp_path / "others") != first


def test_only_this_user_can_read_them(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    load_secrets(folder)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert [path.stat().st_mode & 0o777 for path in folder.iterdir()] == [0o600]


def test_a_torn_file_is_made_again(tmp_path: Path) -> None:
    (tmp_path / "secrets.json").write_text('{"s3_access_key_id": "x"')
    assert load_secrets(tmp_path) == load_secrets(tmp_path)


def test_they_show_themselves_to_nobody(tmp_path: Path) -> None:
    made = load_secrets(tmp_path)
    assert f"{made!r} {made}" == "Secrets(...) Secrets(...)"


def test_the_public_line_is_an_openssh_key_with_the_email(tmp_path: Path) -> None:
    line = load_secrets(tmp_path).encord_public_key
    load_ssh_public_key(line.encode())
    assert line.startswith("ssh-ed25519 AAAA")
    assert line.endswith(" engineer@example.com")


def test_a_fresh_start_keeps_the_secrets_and_empties_the_rest(tmp_path: Path) -> None:
    places = Places(tmp_path)
    places.make_fresh()
    kept = load_secrets(places.secrets)
    (places.state / "runs").mkdir()
    (places.manifests / "old.csv").touch()
    (places.s3 / "1.dat").write_bytes(b"old")
    places.make_fresh()
    assert load_secrets(places.secrets) == kept
    assert list(places.state.iterdir()) == [places.manifests]
    assert not any(places.manifests.iterdir())
    assert not any(places.s3.iterdir())
