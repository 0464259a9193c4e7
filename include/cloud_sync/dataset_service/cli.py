"""The command line of the dataset service."""

from __future__ import annotations

import logging
import os
import socket
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
import uvicorn
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from cloud_sync.dataset_service.app import create_app
from cloud_sync.dataset_service.config import load_config
from cloud_sync.dataset_service.service import Service
from cloud_sync.errors import CloudSyncError, ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

# Requests that are still answered get this long when the service is told to stop.
GRACE_S = 1
KEY_MODE = 0o600

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="A service that speaks Encord's public API to the encord SDK: for demos, rehearsals and tests.",
    epilog="Start: create-key demo.key --email you@example.com, put the line it prints under `public_keys` "
    "in a configuration file, then serve --config FILE and give the SDK domain=http://127.0.0.1:PORT.",
)


@app.command()
def serve(
    config: Annotated[Path, typer.Option(help="YAML or JSON configuration file.")],
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 8181,
    log_level: Annotated[str, typer.Option(help="debug, info, warning or error.")] = "info",
) -> None:
    """Answer requests until SIGTERM or Ctrl-C.

    The configuration names the people's public keys, the Encord integrations (stores, buckets, and
    where their secrets are), the database, and for tests the faults to make. Unfinished upload jobs
    of an earlier run go on.
    """
    logging.basicConfig(level=log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    with _clear_errors():
        service = Service.open(load_config(config))
        application = create_app(service)
        listening = _listen(host, port)
    typer.echo(f"Listening on http://{host}:{listening.getsockname()[1]}", err=True)
    settings = uvicorn.Config(
        application,
        log_config=None,
        access_log=False,  # request lines carry queries
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE_S,
    )
    _Server(settings, service).run(sockets=[listening])


@app.command()
def create_key(
    path: Annotated[Path, typer.Argument(help="Where to write the private key.")],
    email: Annotated[str, typer.Option(help="Whose key it is.")],
) -> None:
    """Make an Ed25519 key: the private part goes to a file, the public line is printed."""
    with _clear_errors():
        if "@" not in email:
            raise ConfigError(
                f"{email!r} is not an email.", where="--email", remedy="Give the owner's email."
            )
        key = Ed25519PrivateKey.generate()
        _write_secret(path, key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
    line = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    typer.echo(f"{line} {email}")


class _Server(uvicorn.Server):
    """Lets held polls go before it waits for open requests to end."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self._service = service

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop."""
        self._service.job_ends.close()
        await super().shutdown(sockets)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen()
    except OSError as error:
        listening.close()
        raise ConfigError(
            f"cannot be listened on: {error.strerror}.",
            where=f"{host}:{port}",
            remedy="Choose another with --host or --port, or end what uses it.",
        ) from error
    return listening


def _write_secret(path: Path, content: bytes) -> None:
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, KEY_MODE)
    except OSError as error:
        raise ConfigError(
            f"cannot be created: {error.strerror}.", where=str(path), remedy="Choose another path."
        ) from error
    with os.fdopen(handle, "wb") as file:
        file.write(content)


@contextmanager
def _clear_errors() -> Iterator[None]:
    try:
        yield
    except CloudSyncError as error:
        typer.echo(f"Error: {error}", err=True)
        raise typer.Exit(1) from error
