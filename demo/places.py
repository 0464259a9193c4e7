"""Where a stack keeps its files, and the secrets that it makes for itself."""

from __future__ import annotations

import json
import os
import secrets
import shutil
from base64 import urlsafe_b64encode
from dataclasses import asdict, dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_ssh_private_key,
)

PROJECT = Path(__file__).resolve().parents[1]
CODE = (PROJECT / "include", PROJECT / "plugins")
USER_EMAIL = "engineer@example.com"
AIRFLOW_USER = "admin"


@dataclass(frozen=True, slots=True)
class Places:
    """The folders of one stack, all under `root`."""

    root: Path

    @property
    def secrets(self) -> Path:
        """Keys and passwords, readable by this user only; they outlive a run."""
        return self.root / "secrets"

    @property
    def state(self) -> Path:
        """The state folder of Cloud Sync: run folders and ledgers."""
        return self.root / "state"

    @property
    def manifests(self) -> Path:
        """What `upload_manifest` and `retry_failures` may be given by path."""
        return self.state / "manifests"

    @property
    def airflow_environment(self) -> Path:
        """Airflow's settings and connections, for a shell to read. Carries secrets."""
        return self.secrets / "airflow.sh"

    @property
    def airflow_home(self) -> Path:
        """AIRFLOW_HOME: the logs of the tasks."""
        return self.root / "airflow"

    @property
    def s3(self) -> Path:
        """The objects of the S3 server."""
        return self.root / "s3"

    @property
    def dataset_service(self) -> Path:
        """Configuration and database of the dataset service."""
        return self.root / "dataset-service"

    @property
    def postgres(self) -> Path:
        """The database cluster, unless root runs the demo (PostgreSQL refuses to run as root)."""
        return self.root / "postgres"

    @property
    def lock(self) -> Path:
        """Held while somebody starts or ends the stack, or shows the demo."""
        return self.root / "lock"

    def make_fresh(self) -> None:
        """Empty everything that a stack fills while it runs; secrets stay."""
        self.root.mkdir(parents=True, exist_ok=True)
        for path in (self.state, self.airflow_home, self.s3, self.dataset_service, self.postgres):
            shutil.rmtree(path, ignore_errors=True)
            path.mkdir(mode=0o700)
        self.manifests.mkdir()


@dataclass(frozen=True, slots=True)
class Secrets:
    """What the parts of a stack prove themselves with. Made once on each machine."""

    s3_access_key_id: str
    s3_secret_access_key: str
    postgres_password: str
    airflow_password: str
    airflow_jwt_secret: str
    airflow_secret_key: str
    airflow_fernet_key: str
    encord_ssh_key: str

    def __repr__(self) -> str:
        """Show nothing, so that no traceback or log can."""
        return "Secrets(...)"

    @property
    def encord_public_key(self) -> str:
        """The public half of the SSH key as one OpenSSH line, with the user's email."""
        return public_line(self.encord_ssh_key)


def load_secrets(folder: Path) -> Secrets:
    """Return the secrets of this machine; make them the first time.

    The files are readable by this user only.
    """
    path = folder / "secrets.json"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if path.is_file():
        try:
            return Secrets(**json.loads(path.read_text()))
        except (ValueError, TypeError):
            path.unlink()  # torn, or of an older version: nothing outlives a start that needs the old ones
    made = _make_secrets()
    write_private(path, json.dumps(asdict(made), indent=2))
    return made


def write_private(path: Path, text: str) -> None:
    """Write a file that only this user may read; it appears whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.unlink(missing_ok=True)
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(text)
    temporary.replace(path)


def public_line(private_key: str) -> str:
    """Return the public half of an OpenSSH private key as one line, with the user's email."""
    key = load_ssh_private_key(private_key.encode(), password=None)
    line = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    return f"{line} {USER_EMAIL}"


def _make_secrets() -> Secrets:
    ssh_key = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    return Secrets(
        s3_access_key_id="CLOUDSYNC" + secrets.token_hex(6).upper(),
        s3_secret_access_key=secrets.token_urlsafe(30),
        postgres_password=secrets.token_urlsafe(24),
        airflow_password=secrets.token_urlsafe(9),
        airflow_jwt_secret=secrets.token_urlsafe(64),
        airflow_secret_key=secrets.token_urlsafe(32),
        airflow_fernet_key=urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        encord_ssh_key=ssh_key.decode(),
    )
