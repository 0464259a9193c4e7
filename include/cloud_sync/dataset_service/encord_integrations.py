"""Credentials stored in Encord, as the configuration file of the dataset service describes them.

Secrets are named, never written: by environment variable or by file (relative to the configuration file).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self
from uuid import UUID, uuid5

from pydantic import BaseModel, ConfigDict, Field, HttpUrl, model_validator

from cloud_sync.errors import ConfigError

# Any fixed value will do: it makes the UUID of an integration a function of its title.
INTEGRATION_NAMESPACE = UUID("5a0e8f0e-6f0b-4d0e-9a57-1f4d8f0f3b11")


class _Common(BaseModel):
    """What all have in common."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    # Groups of fields of which exactly one is to be given.
    ONE_OF: ClassVar[tuple[tuple[str, ...], ...]] = ()

    title: str = Field(min_length=1)
    uuid: UUID | None = Field(None, description="Derived from the title when it is not given.")
    buckets: list[str] = Field(min_length=1, description="Nothing outside these is ever read.")
    writable: bool = Field(True, description="Whether it may write: without that, no image sequences.")

    @model_validator(mode="after")
    def _one_source_per_secret(self) -> Self:
        for names in self.ONE_OF:
            if sum(bool(getattr(self, name)) for name in names) != 1:
                raise ValueError(f"give exactly one of {', '.join(names[:-1])} and {names[-1]}")
        return self

    @property
    def identity(self) -> UUID:
        """The UUID by which the SDK names this integration."""
        return self.uuid or uuid5(INTEGRATION_NAMESPACE, self.title)

    def secret(self, name: str, folder: Path) -> str | None:
        """Return a secret, None if it is not named; files are looked up from `folder`.

        Raises:
            ConfigError: The variable or file is missing or empty.
        """
        variable, file = getattr(self, f"{name}_env"), getattr(self, f"{name}_file")
        if variable is None and file is None:
            return None
        value = os.environ.get(variable, "") if variable else read_text(folder / file)
        if not value.strip():
            raise ConfigError(
                f"{variable or file} is not set or empty.",
                where=f"Encord integration {self.title!r}",
                remedy="Set the environment variable." if variable else "Write the secret into the file.",
            )
        return value.strip()


class _AccessKey(_Common):
    """Access key of a store that speaks the language of S3."""

    ONE_OF = (
        ("access_key_id_env", "access_key_id_file"),
        ("secret_access_key_env", "secret_access_key_file"),
    )

    endpoint_url: HttpUrl | None = Field(None, description="Only for stores of one's own.")
    access_key_id_env: str | None = None
    access_key_id_file: Path | None = None
    secret_access_key_env: str | None = None
    secret_access_key_file: Path | None = None

    @property
    def endpoint(self) -> str | None:
        """The endpoint without a trailing slash, or None for the cloud's own."""
        return _without_slash(self.endpoint_url)

    def credentials(self, folder: Path) -> tuple[str, str]:
        """Return access key id and secret; files are looked up from `folder`.

        Raises:
            ConfigError: A variable or file is missing or empty.
        """
        return self.secret("access_key_id", folder) or "", self.secret("secret_access_key", folder) or ""


class S3EncordIntegration(_AccessKey):
    """One S3 or S3-compatible store and the buckets it may read."""

    provider: Literal["s3"]
    region: str = "us-east-1"


class OtcEncordIntegration(_AccessKey):
    """Open Telekom Cloud OBS in one region, or a store that stands for it."""

    provider: Literal["otc"]
    region: str = "eu-de"


class GcsEncordIntegration(_Common):
    """Google Cloud Storage, with the key of a service account."""

    ONE_OF = (("service_account_env", "service_account_file", "anonymous"),)

    provider: Literal["gcs"]
    endpoint_url: HttpUrl | None = Field(None, description="Only for a store that stands for Google's.")
    service_account_env: str | None = Field(None, description="Holds the JSON of the key.")
    service_account_file: Path | None = None
    anonymous: bool = Field(False, description="Only public buckets, or a store that asks for nothing.")

    @property
    def endpoint(self) -> str | None:
        """The endpoint without a trailing slash, or None for Google's."""
        return _without_slash(self.endpoint_url)


class AzureEncordIntegration(_Common):
    """One Azure storage account; its containers are the buckets."""

    ONE_OF = (("account_key_env", "account_key_file", "sas_token_env", "sas_token_file"),)

    provider: Literal["azure"]
    account: str = Field(pattern=r"^[a-z0-9]{3,24}$")
    account_url: HttpUrl | None = Field(None, description="Only for other clouds of Azure and emulators.")
    account_key_env: str | None = None
    account_key_file: Path | None = None
    sas_token_env: str | None = None
    sas_token_file: Path | None = None

    @property
    def url(self) -> str:
        """The account's URL, without a trailing slash."""
        return _without_slash(self.account_url) or f"https://{self.account}.blob.core.windows.net"


EncordIntegration = Annotated[
    S3EncordIntegration | GcsEncordIntegration | AzureEncordIntegration | OtcEncordIntegration,
    Field(discriminator="provider"),
]


def read_text(path: Path) -> str:
    """Read a small file.

    Raises:
        ConfigError: It cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ConfigError(f"cannot be read: {reason}.", where=str(path), remedy="Check the path.") from error


def _without_slash(url: HttpUrl | None) -> str | None:
    return str(url).rstrip("/") if url else None
