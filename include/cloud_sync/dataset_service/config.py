r"""The configuration file of the dataset service: who may call, what it may read, how it behaves.

An example:

    database_url: sqlite:///dataset-service.sqlite
    public_keys:
      - ssh-ed25519 AAAAC3Nz... engineer@example.com
    encord_integrations:
      - title: demo storage
        provider: s3
        endpoint_url: http://127.0.0.1:8333
        buckets: [media]
        writable: false         # as if the credential could only read: image sequences fail
        access_key_id_env: DEMO_S3_ACCESS_KEY_ID
        secret_access_key_env: DEMO_S3_SECRET_ACCESS_KEY
    faults:                     # only for tests
      - {fault: refuse, status: 429, retry_after_s: 2, path: upload-jobs, times: 1}
      - {fault: fail_fetch, url: '[.]mp4$', times: 1}
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from uuid import UUID, uuid5

import yaml
from pydantic import BaseModel, ConfigDict, Field, HttpUrl, PrivateAttr, ValidationError, model_validator

from cloud_sync.dataset_service.faults import FaultRule
from cloud_sync.dataset_service.signatures import KeyRing
from cloud_sync.errors import ConfigError

# Any fixed value will do: it makes the UUID of an integration a function of its title.
INTEGRATION_NAMESPACE = UUID("5a0e8f0e-6f0b-4d0e-9a57-1f4d8f0f3b11")


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class S3EncordIntegration(_Model):
    """A credential stored in Encord: one S3 or S3-compatible store and the buckets it may read.

    Secrets are named, never written: by environment variable or by file (relative to the
    configuration file).
    """

    title: str = Field(min_length=1)
    uuid: UUID | None = Field(None, description="Derived from the title when it is not given.")
    provider: Literal["s3"]
    endpoint_url: HttpUrl | None = Field(None, description="Only for stores that are not AWS.")
    region: str = "us-east-1"
    buckets: list[str] = Field(min_length=1, description="Nothing outside these is ever read.")
    writable: bool = Field(True, description="Whether it may write: without that, no image sequences.")
    access_key_id_env: str | None = None
    access_key_id_file: Path | None = None
    secret_access_key_env: str | None = None
    secret_access_key_file: Path | None = None

    @model_validator(mode="after")
    def _one_source_per_secret(self) -> Self:
        for name in ("access_key_id", "secret_access_key"):
            sources = [getattr(self, f"{name}_env"), getattr(self, f"{name}_file")]
            if sum(source is not None for source in sources) != 1:
                raise ValueError(f"give exactly one of {name}_env and {name}_file")
        return self

    @property
    def identity(self) -> UUID:
        """The UUID by which the SDK names this integration."""
        return self.uuid or uuid5(INTEGRATION_NAMESPACE, self.title)

    @property
    def endpoint(self) -> str | None:
        """The endpoint without a trailing slash, or None for AWS."""
        return str(self.endpoint_url).rstrip("/") if self.endpoint_url else None

    def credentials(self, folder: Path) -> tuple[str, str]:
        """Return access key id and secret; files are looked up from `folder`.

        Raises:
            ConfigError: A variable or file is missing or empty.
        """
        return (
            _secret(self.title, self.access_key_id_env, self.access_key_id_file, folder),
            _secret(self.title, self.secret_access_key_env, self.secret_access_key_file, folder),
        )


class Limits(_Model):
    """Encord's documented limits; a test may lower them."""

    units_per_job: int = Field(10_000, ge=1)
    request_bytes: int = Field(100 << 20, ge=1024)
    url_bytes: int = Field(16 << 10, ge=64)
    title_characters: int = Field(300, ge=1)
    client_metadata_bytes: int = Field(10 << 20, ge=2)
    files_per_unit: int | None = Field(None, ge=1, description="Encord documents no limit.")


class ServiceConfig(_Model):
    """Everything the service is told from outside."""

    database_url: str = Field("sqlite:///dataset-service.sqlite", description="Any SQLAlchemy URL.")
    public_keys: list[str] = Field(default_factory=list, description="Lines `ssh-ed25519 AAAA... email`.")
    public_key_files: list[Path] = Field(default_factory=list, description="Files of such lines.")
    encord_integrations: list[S3EncordIntegration] = Field(default_factory=list)
    hold_s: Annotated[float, Field(ge=0, le=120)] = 30
    signature_window_s: Annotated[int, Field(ge=1)] = 300
    workers: Annotated[int, Field(ge=1, le=64)] = 8
    limits: Limits = Limits()
    faults: list[FaultRule] = Field(default_factory=list)

    _folder: Path = PrivateAttr()

    @model_validator(mode="after")
    def _titles_are_unique(self) -> Self:
        titles = [each.title for each in self.encord_integrations]
        if len(titles) != len(set(titles)):
            raise ValueError("two encord_integrations have the same title")
        if len({each.identity for each in self.encord_integrations}) != len(titles):
            raise ValueError("two encord_integrations have the same uuid")
        return self

    @property
    def folder(self) -> Path:
        """The folder of the configuration file."""
        return self._folder

    def key_ring(self) -> KeyRing:
        """Return the registered public keys.

        Raises:
            ConfigError: There is none, or a line or file is wrong.
        """
        lines = list(self.public_keys)
        for path in self.public_key_files:
            lines += _read(self.folder / path).splitlines()
        return KeyRing.from_lines(line for line in lines if line.strip())


def load_config(path: Path) -> ServiceConfig:
    """Read a YAML or JSON configuration file.

    Raises:
        ConfigError: It cannot be read, is not YAML, or a field is wrong; names the file and the field.
    """
    try:
        content = yaml.safe_load(_read(path))
        config = ServiceConfig.model_validate(content or {})
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise ConfigError("is not valid YAML.", where=f"{path}{line}", remedy="Correct it.") from error
    except ValidationError as error:
        raise ConfigError(_describe(error), where=str(path), remedy="Correct it and start again.") from error
    config._folder = path.resolve().parent
    return config


def _describe(error: ValidationError) -> str:
    # The values are left out: a secret may have been pasted where its name belongs.
    problems = error.errors(include_url=False, include_input=False, include_context=False)
    return "; ".join(f"{_place(problem['loc'])}: {problem['msg']}" for problem in problems) + "."


def _place(location: tuple[Any, ...]) -> str:
    return ".".join(str(part) for part in location) or "the file"


def _secret(title: str, variable: str | None, file: Path | None, folder: Path) -> str:
    value = os.environ.get(variable, "") if variable else _read(folder / file) if file else ""
    if not value.strip():
        raise ConfigError(
            f"{variable or file} is not set or empty.",
            where=f"Encord integration {title!r}",
            remedy="Set the environment variable." if variable else "Write the secret into the file.",
        )
    return value.strip()


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ConfigError(f"cannot be read: {reason}.", where=str(path), remedy="Check the path.") from error
