"""What of the demo can be set from outside: its ports and its patience, each by an environment variable."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Self

import psutil

from cloud_sync.errors import ConfigError

ENVIRONMENT_PREFIX = "CLOUD_SYNC_DEMO_"
HIGHEST_PORT = 65535
S3_INTERNAL_PORTS = 8
# SeaweedFS reaches its admin part, the last of these, at its port and 10,000.
GRPC_OFFSET = 10_000
# Ports for tests, and those by that offset, are below the range from which the kernel gives clients theirs.
FREE_PORTS_FROM, FREE_PORTS_TO = 11_000, 21_000


def _setting(default: float, meaning: str) -> int:
    """Declare a setting with the sentence that the help prints about it."""
    return field(default=default, metadata={"meaning": meaning})  # type: ignore[return-value]


@dataclass(frozen=True, slots=True)
class PortUse:
    """One port that the demo wants: which, for what, and the variable that moves it."""

    port: int
    wanted_by: str
    variable: str


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of one stack. Each is also an environment variable: `CLOUD_SYNC_DEMO_` + its name."""

    airflow_port: int = _setting(18080, "Airflow: UI and REST API")
    dataset_service_port: int = _setting(18081, "the dataset service")
    postgres_port: int = _setting(18082, "PostgreSQL, Airflow's database")
    s3_port: int = _setting(18333, "SeaweedFS: S3")
    s3_internal_port: int = _setting(
        18340,
        f"SeaweedFS: first of {S3_INTERNAL_PORTS} ports in a row for its parts; and the last + {GRPC_OFFSET}",
    )
    start_timeout_s: int = _setting(300, "seconds that each part may take to start")
    run_timeout_s: int = _setting(600, "seconds that one DAG run may take")

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Self:
        """Read the settings.

        Raises:
            ConfigError: A variable is not a number, or not one that can be used; names the variable.
        """
        given = os.environ if environment is None else environment
        values = {
            one.name: _number(variable(one.name), given[variable(one.name)])
            for one in fields(cls)
            if variable(one.name) in given
        }
        settings = cls(**values)
        settings._refuse_impossible()
        return settings

    @classmethod
    def on_free_ports(cls) -> Self:
        """Return settings whose ports are all free right now, so that several stacks can run at a time."""
        span = FREE_PORTS_TO - FREE_PORTS_FROM - len(cls().port_uses())
        while True:
            first = FREE_PORTS_FROM + secrets.randbelow(span)
            settings = cls(
                airflow_port=first,
                dataset_service_port=first + 1,
                postgres_port=first + 2,
                s3_port=first + 3,
                s3_internal_port=first + 4,
            )
            if all(_is_free(use.port) for use in settings.port_uses()):
                return settings

    def s3_internal_ports(self) -> list[int]:
        """Return the ports that SeaweedFS uses between its own parts."""
        ports = [self.s3_internal_port + offset for offset in range(S3_INTERNAL_PORTS)]
        return [*ports, ports[-1] + GRPC_OFFSET]

    def port_uses(self) -> list[PortUse]:
        """Return every port that the stack listens on."""
        uses = [
            PortUse(getattr(self, one.name), one.metadata["meaning"], variable(one.name))
            for one in fields(self)
            if one.name.endswith("_port") and one.name != "s3_internal_port"
        ]
        return uses + [
            PortUse(port, "SeaweedFS between its own parts", variable("s3_internal_port"))
            for port in self.s3_internal_ports()
        ]

    def refuse_taken_ports(self) -> None:
        """Check that every port can be listened on.

        Raises:
            ConfigError: Names each taken port, who wanted it, who has it, and the variable to change.
        """
        taken = [use for use in self.port_uses() if not _is_free(use.port)]
        if taken:
            raise ConfigError(_taken_message(taken), where="make demo")

    def _refuse_impossible(self) -> None:
        wanted: dict[int, PortUse] = {}
        for use in self.port_uses():
            if not 1 <= use.port <= HIGHEST_PORT:
                raise ConfigError(f"{use.port} is not a port.", where=use.variable, remedy="Give 1 to 65535.")
            if other := wanted.get(use.port):
                raise ConfigError(
                    f"port {use.port} is wanted twice: by {other.wanted_by} and by {use.wanted_by}.",
                    where=f"{other.variable}, {use.variable}",
                    remedy="Change one of them.",
                )
            wanted[use.port] = use


def variable(name: str) -> str:
    """Return the environment variable of a setting."""
    return ENVIRONMENT_PREFIX + name.upper()


def environment_help() -> str:
    """Return one line for each variable, with its default, in the form of a `.env` file."""
    lines = [f"{variable(one.name)}={one.default}" for one in fields(Settings)]
    width = max(map(len, lines))
    return "\n".join(
        f"{line:<{width}}  # {one.metadata['meaning']}"
        for line, one in zip(lines, fields(Settings), strict=True)
    )


def _number(name: str, text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        raise ConfigError(
            f"{text!r} is not a whole number.", where=name, remedy="Give digits only."
        ) from None
    if value < 1:
        raise ConfigError(f"{value} is too small.", where=name, remedy="Give 1 or more.")
    return value


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As the servers do it: a connection of an earlier run that still lingers is no hindrance.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _taken_message(taken: list[PortUse]) -> str:
    lines = [
        f"Port {use.port}, wanted by {use.wanted_by}, is taken{_holder(use.port)}. "
        f"Free it, or choose another: {use.variable}={use.port + 1000} make demo"
        for use in taken
    ]
    return lines[0] if len(lines) == 1 else f"{len(lines)} ports are taken.\n  " + "\n  ".join(lines)


def _holder(port: int) -> str:
    """Say who listens on a port, as far as this user may know."""
    try:
        for connection in psutil.net_connections("tcp"):
            if connection.laddr and connection.laddr.port == port and connection.pid:
                return f" by {psutil.Process(connection.pid).name()} (process {connection.pid})"
    except psutil.Error:
        pass
    return ""
