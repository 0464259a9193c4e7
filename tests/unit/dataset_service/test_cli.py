"""The command line: it explains itself, keeps keys private and names what is wrong."""

from __future__ import annotations

import stat

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_ssh_private_key
from typer.testing import CliRunner

from cloud_sync.dataset_service.cli import app
from cloud_sync.dataset_service.signatures import KeyRing

RUN = CliRunner()


def test_help_names_the_commands_and_how_to_begin():
    shown = RUN.invoke(app, ["--help"]).output
    for word in ("serve", "create-key", "public_keys"):
        assert word in shown


def test_a_key_is_private_and_its_line_fits_the_configuration(tmp_path):
    path = tmp_path / "demo.key"
    done = RUN.invoke(app, ["create-key", str(path), "--email", "engineer@example.com"])
    assert done.exit_code == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    public = load_ssh_private_key(path.read_bytes(), None).public_key()
    line = public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    assert done.output.strip() == f"{line} engineer@example.com"
    assert KeyRing.from_lines([done.output])


def test_a_key_is_never_overwritten(tmp_path):
    path = tmp_path / "demo.key"
    path.write_text("precious")
    done = RUN.invoke(app, ["create-key", str(path), "--email", "engineer@example.com"])
    assert done.exit_code == 1
    assert "cannot be created: File exists" in done.output
    assert path.read_text() == "precious"


def test_a_wrong_email_or_configuration_is_one_clear_line(tmp_path):
    done = RUN.invoke(app, ["create-key", str(tmp_path / "k"), "--email", "nobody"])
    assert (done.exit_code, done.output.count("\n")) == (1, 1)
    done = RUN.invoke(app, ["serve", "--config", str(tmp_path / "none.yaml")])
    assert (done.exit_code, done.output.count("\n")) == (1, 1)
    assert "cannot be read" in done.output
