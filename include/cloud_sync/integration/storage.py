"""The section `storage` of an integration file: the fields that each provider has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator, model_validator

from cloud_sync.clouds import MRAP_ARN, MRAP_FORM, OTC_DOMAINS
from cloud_sync.integration.buckets import check_bucket, check_bucket_in_host
from cloud_sync.integration.fields import ConnectionId, FieldError, NonEmpty, Section, shortened
from cloud_sync.integration.prefixes import check_prefix
from cloud_sync.nearest import did_you_mean, one_of, plain

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
OTHER_NAMES: Mapping[str, str] = {
    name: provider
    for provider, names in {
        "s3": "aws aws_s3 amazon amazon_s3 minio s3_compatible s3a",
        "gcs": "google google_cloud google_cloud_storage google_cloud_platform gcp gs",
        "azure": "azure_blob azure_blob_storage microsoft blob adls az wasb wasbs abfs abfss",
        "otc": "obs otc_obs open_telekom_cloud telekom t_systems",
    }.items()
    for name in names.split()
}
"""What else the providers are called, in lower case and with `_` between words."""
IN_CONNECTION = "Remove it: it belongs into the Airflow connection that connection_id names"
INSTEAD_OF: Mapping[str, str] = {
    name: instead
    for names, instead in {
        "container container_name bucket_name": "Write bucket instead.",
        "path folder directory key_prefix": "Write prefix instead.",
        "type kind cloud": "Write provider instead.",
        "connection conn_id aws_conn_id credential": "Write connection_id instead.",
        "account_name storage_account": "Write account instead.",
        "region_name": "Write region instead, for s3 and otc.",
        "endpoint endpoint_url host url": f"{IN_CONNECTION}, for s3 and otc as endpoint_url in its extras, "
        "for azure as its host.",
        "account_url": f"{IN_CONNECTION}, as its host. Here account can name the account.",
        "login password access_key access_key_id aws_access_key_id secret_key secret_access_key "
        "aws_secret_access_key session_token aws_session_token role_arn profile_name key_path keyfile "
        "keyfile_dict credentials account_key sas_token connection_string": f"{IN_CONNECTION}, as all "
        "credentials do.",
    }.items()
    for name in names.split()
}
"""What to do instead of fields that people look for here."""


def _provider(given: Any) -> Any:
    if not isinstance(given, str) or given in STYLES:
        return given
    meant = OTHER_NAMES.get(plain(given))
    hint = f"Did you mean {meant}?" if meant else did_you_mean(given, STYLES)
    raise FieldError(
        f"{shortened(given)} is no provider: write s3 (AWS and S3-compatible stores), gcs (Google Cloud), "
        "azure (Azure Blob) or otc (Open Telekom Cloud).",
        hint,
    )


Provider = Annotated[Literal["s3", "gcs", "azure", "otc"], BeforeValidator(_provider)]


def _no_default(schema: dict[str, Any]) -> None:
    """Tell editors of no default: it depends on the provider."""
    schema.pop("default", None)


class Storage(Section):
    """Where the objects are."""

    instead_of: ClassVar[Mapping[str, str]] = INSTEAD_OF

    provider: Provider
    """Kind of storage: s3 (AWS and S3-compatible), gcs (Google Cloud), azure (Azure Blob), otc (Open Telekom
    Cloud)."""
    connection_id: ConnectionId
    """Airflow connection with the credentials, of type `aws` for s3 and otc, `google_cloud_platform` for gcs,
    `wasb` for azure."""
    bucket: Annotated[str, Field(min_length=1)]
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
    """Region of the bucket, for s3, and for otc (eu-de, eu-nl or eu-ch2). Left out: the
    connection's."""
    account: Annotated[str, Field(pattern=r"^[a-z0-9]{3,24}$")] | None = None
    """Storage account, for azure: 3 to 24 lower-case letters and digits. Left out: the connection's. A
    connection of another account is refused."""
    mrap_arn: NonEmpty | None = Field(None, validate_default=True)
    """ARN of the Multi-Region Access Point, with `url_style: mrap`."""

    @model_validator(mode="before")
    @classmethod
    def _usual_style(cls, given: Any) -> Any:
        provider = given.get("provider") if isinstance(given, Mapping) else None
        return {"url_style": STYLES[str(provider)][0], **given} if str(provider) in STYLES else given

    @field_validator("bucket")
    @classmethod
    def _can_be_a_bucket(cls, bucket: str, info: ValidationInfo) -> str:
        check_bucket(bucket, info.data.get("provider"))
        return bucket

    @field_validator("prefix")
    @classmethod
    def _can_be_a_prefix(cls, prefix: str, info: ValidationInfo) -> str:
        check_prefix(prefix, info.data.get("provider"), info.data.get("bucket"))
        return prefix

    @field_validator("url_style")
    @classmethod
    def _style_of_provider(cls, style: UrlStyleName, info: ValidationInfo) -> UrlStyleName:
        provider = info.data.get("provider")
        if provider is not None and style not in STYLES[provider]:
            raise ValueError(f"{provider} has no such URLs: write {one_of(STYLES[provider])}")
        if provider == "s3" and style == "virtual-hosted" and "bucket" in info.data:
            check_bucket_in_host(info.data["bucket"])
        return style

    @field_validator(*PROVIDERS_OF)
    @classmethod
    def _field_of_provider(cls, value: str | None, info: ValidationInfo) -> str | None:
        provider, field = info.data.get("provider"), info.field_name or ""
        if value is not None and provider is not None and provider not in PROVIDERS_OF[field]:
            raise ValueError(f"means nothing for {provider}: remove it")
        return value

    @field_validator("region")
    @classmethod
    def _known_region(cls, region: str | None, info: ValidationInfo) -> str | None:
        if region is None or info.data.get("provider") != "otc" or region in OTC_DOMAINS:
            return region
        raise FieldError(
            f"{shortened(region)} is no region of Open Telekom Cloud that this release knows: write "
            f"{one_of(OTC_DOMAINS)}.",
            did_you_mean(region, OTC_DOMAINS),
            "For a newer one leave region out, and give the connection region_name and endpoint_url in its "
            "extras.",
        )

    @field_validator("mrap_arn")
    @classmethod
    def _arn_goes_with_style(cls, arn: str | None, info: ValidationInfo) -> str | None:
        style = info.data.get("url_style")
        if style == "mrap" and arn is None:
            raise FieldError("mrap and mrap_arn go together: give both or neither.", at=("url_style",))
        if arn is not None and style not in {"mrap", None}:
            raise FieldError("goes with url_style: mrap: write that as well, or remove mrap_arn.")
        if arn is not None and not MRAP_ARN.fullmatch(arn):
            raise FieldError(f"{shortened(arn)} is no such ARN: write {MRAP_FORM}.")
        return arn
