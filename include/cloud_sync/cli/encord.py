"""Encord, reached with a key of this machine instead of an Airflow connection."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

from cloud_sync.cli.options import option
from cloud_sync.errors import ConfigError

if TYPE_CHECKING:
    from cloud_sync.registration.client import EncordClient

PANEL: Final = "Access to Encord"
# The names that Encord's own tools read.
KEY_FILE, KEY, DOMAIN = "ENCORD_SSH_KEY_FILE", "ENCORD_SSH_KEY", "ENCORD_DOMAIN"

KeyFileOption = Annotated[
    Path | None,
    option(
        f"SSH private key, Ed25519. Left out: the file in {KEY_FILE}, else the text in {KEY}.", panel=PANEL
    ),
]
DomainOption = Annotated[
    str | None, option(f"API domain of Encord. Left out: {DOMAIN}, else Encord's own.", panel=PANEL)
]


@dataclass(frozen=True, slots=True)
class EncordAccess:
    """How Encord is reached: a file with the key, and the domain; None for what the environment says."""

    ssh_key_file: Path | None = None
    domain: str | None = None


def open_encord(access: EncordAccess) -> EncordClient:
    """Return a client. Makes no request.

    Raises:
        ConfigError: There is no key, or key or domain are wrong.
    """
    from cloud_sync.registration.client import EncordClient
    from cloud_sync.registration.connection import DEFAULT_DOMAIN
    from cloud_sync.version import user_agent

    return EncordClient(
        domain=access.domain or os.environ.get(DOMAIN) or DEFAULT_DOMAIN,
        ssh_private_key=_key(access.ssh_key_file),
        user_agent_suffix=user_agent(),
    )


def _key(file: Path | None) -> str:
    named = file or (Path(os.environ[KEY_FILE]) if os.environ.get(KEY_FILE) else None)
    if named is not None:
        try:
            return named.expanduser().read_text()
        except (OSError, UnicodeDecodeError) as error:
            said = error.strerror if isinstance(error, OSError) else "it is no text"
            raise ConfigError(
                f"cannot be read: {said}.", where=str(named), remedy="Correct --ssh-key-file."
            ) from None
    if key := os.environ.get(KEY):
        return key
    raise ConfigError(
        "there is no key for Encord.",
        where="--ssh-key-file",
        remedy=f"Name the file with the SSH private key, or set {KEY_FILE} or {KEY}.",
    )
