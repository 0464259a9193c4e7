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
      - title: Google storage
        provider: gcs
        buckets: [media]
        service_account_file: key.json
      - title: Azure storage
        provider: azure
        account: mediaaccount
        buckets: [media]        # containers
        sas_token_env: AZURE_SAS_TOKEN
      - title: Telekom storage
        provider: otc
        region: eu-de
        buckets: [media]
        access_key_id_env: OTC_ACCESS_KEY_ID
        secret_access_key_env: OTC_SECRET_ACCESS_KEY
    faults:                     # only for tests
      - {fault: refuse, status: 429, retry_after_s: 2, path: upload-jobs, times: 1}
      - {fault: fail_fetch, url: '[.]mp4$', times: 1}
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError, model_validator

from cloud_sync.dataset_service.encord_integrations import EncordIntegration, read_text
from cloud_sync.dataset_service.faults import FaultRule
from cloud_sync.dataset_service.signatures import KeyRing
from cloud_sync.errors import ConfigError


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


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
    encord_integrations: list[EncordIntegration] = Field(default_factory=list)
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
            lines += read_text(self.folder / path).splitlines()
        return KeyRing.from_lines(line for line in lines if line.strip())


def load_config(path: Path) -> ServiceConfig:
    """Read a YAML or JSON configuration file.

    Raises:
        ConfigError: It cannot be read, is not YAML, or a field is wrong; names the file and the field.
    """
    try:
        content = yaml.safe_load(read_text(path))
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
