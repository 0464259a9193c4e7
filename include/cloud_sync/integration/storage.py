"""The section `storage` of an integration file: the fields that each provider has."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from cloud_sync.integration.fields import Bucket, ConnectionId, NonEmpty, Section

Provider = Literal["s3", "gcs", "azure", "otc"]
UrlStyleName = Literal["virtual-hosted", "path", "s3", "mrap", "gs", "https"]

STYLES: Mapping[str, tuple[UrlStyleName, ...]] = {
    "s3": ("virtual-hosted", "path", "s3", "mrap"),
    "gcs": ("gs", "https"),
    "azure": ("https",),
    "otc": ("virtual-hosted", "path"),
}
"""How object URLs can be written, by provider; the first one if nothing is said."""
PROVIDERS_OF: Mapping[str, frozenset[str]] = {
    "region": frozenset({"s3", "otc"}),
    "account": frozenset({"azure"}),
    "mrap_arn": frozenset({"s3"}),
}
"""The fields that not all providers have."""
CONTAINER = re.compile(r"(?=.{3,63}$)[a-z0-9]+(?:-[a-z0-9]+)*|\$root|\$web")


def _no_default(schema: dict[str, Any]) -> None:
    """Tell editors of no default: it depends on the provider."""
    schema.pop("default", None)


class Storage(Section):
    """Where the objects are."""

    provider: Provider
    """Kind of storage: s3 (AWS and S3-compatible), gcs (Google Cloud), azure (Azure Blob), otc (Open Telekom
    Cloud)."""
    connection_id: ConnectionId
    """Airflow connection with the credentials, of type `aws` for s3 and otc, `google_cloud_platform` for gcs,
    `wasb` for azure."""
    bucket: Bucket
    """Bucket name. Of Azure the container."""
    prefix: str = ""
    """Only keys that begin with this text are listed. Empty means the whole bucket."""
    listing_shards: int = Field(default=1, ge=1, le=200, strict=True)
    """Tasks that share the listing, for buckets of very many objects and a deployment with several workers.
    1: one task lists all."""
    url_style: UrlStyleName = Field("virtual-hosted", json_schema_extra=_no_default)
    """How object URLs are written: virtual-hosted, path, s3 or mrap (s3); gs or https (gcs); https (azure);
    virtual-hosted or path (otc). Left out: the first. Encord tells duplicates by the exact URL, so do not
    change it later."""
    region: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$")] | None = None
    """Region of the bucket, for s3 and otc. Left out: the connection's region."""
    account: Annotated[str, Field(pattern=r"^[a-z0-9]{3,24}$")] | None = None
    """Storage account, for azure. Left out: the connection's. A connection of another account is refused."""
    mrap_arn: NonEmpty | None = None
    """ARN of the Multi-Region Access Point, with `url_style: mrap`."""

    @model_validator(mode="before")
    @classmethod
    def _usual_style(cls, given: Any) -> Any:
        provider = given.get("provider") if isinstance(given, Mapping) else None
        return {"url_style": STYLES[str(provider)][0], **given} if str(provider) in STYLES else given

    @field_validator("bucket")
    @classmethod
    def _container_name(cls, bucket: str, info: ValidationInfo) -> str:
        if info.data.get("provider") == "azure" and not CONTAINER.fullmatch(bucket):
            raise ValueError(
                "write a container's name: 3 to 63 lower-case letters, digits and single hyphens between them"
            )
        return bucket

    @field_validator("url_style")
    @classmethod
    def _style_of_provider(cls, style: UrlStyleName, info: ValidationInfo) -> UrlStyleName:
        provider = info.data.get("provider")
        if provider is not None and style not in STYLES[provider]:
            raise ValueError(f"{provider} has no such URLs: write {' or '.join(STYLES[provider])}")
        return style

    @field_validator(*PROVIDERS_OF)
    @classmethod
    def _field_of_provider(cls, value: str | None, info: ValidationInfo) -> str | None:
        provider, field = info.data.get("provider"), info.field_name or ""
        if value is not None and provider is not None and provider not in PROVIDERS_OF[field]:
            raise ValueError(f"means nothing for {provider}: remove it")
        return value

    @model_validator(mode="after")
    def _arn_goes_with_style(self) -> Self:
        if (self.url_style == "mrap") != (self.mrap_arn is not None):
            raise ValueError("url_style: mrap and mrap_arn go together: give both or neither")
        return self
