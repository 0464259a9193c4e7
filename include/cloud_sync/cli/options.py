"""Options that several commands have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import typer

ACCESS_PANEL = "Access to the bucket"
GROUP_PANEL = "Several files as one item"
URL_PANEL = "How object URLs are written"


def option(help: str, *names: str, panel: str | None = None, metavar: str | None = None) -> Any:
    """Return an option that may be left out, which its help explains better than a default does."""
    return typer.Option(*names, help=help, rich_help_panel=panel, metavar=metavar, show_default=False)


OutputOption = Annotated[
    Literal["table", "json"],
    typer.Option("--output", help="A table (in a pipe: cells between tabs), or JSON for programs."),
]
ForceOption = Annotated[bool, option("Replace a file that exists.", "--force")]
LenientOption = Annotated[bool, option("Read JSON with commas before closing brackets.", "--lenient")]
FormatOption = Annotated[
    Literal["json", "csv"] | None,
    option("What the files are. Left out: told by their content.", "--format"),
]
AllowLossOption = Annotated[bool, option("Write a CSV even if it cannot say everything.", "--allow-loss")]

ProfileOption = Annotated[
    str | None,
    option(
        "Profile in ~/.aws, for S3 and OBS. Left out: AWS_PROFILE, other variables, the machine's role.",
        panel=ACCESS_PANEL,
    ),
]
EndpointOption = Annotated[
    str | None,
    option(
        "Address of an S3-compatible store or Azure account. Left out: the profile's, else the cloud's.",
        panel=ACCESS_PANEL,
    ),
]
RegionOption = Annotated[
    str | None, option("Region of the bucket. Left out: the profile's.", panel=ACCESS_PANEL)
]

UrlStyleOption = Annotated[
    Literal["virtual-hosted", "path", "s3", "mrap", "gs", "https"] | None,
    option(
        "virtual-hosted, path, s3, or mrap with --mrap-arn; of Google gs or https. Left out: the first.",
        panel=URL_PANEL,
        metavar="STYLE",
    ),
]
MrapOption = Annotated[str | None, option("ARN of the Multi-Region Access Point.", panel=URL_PANEL)]

OnlyOption = Annotated[
    str | None, option("Take only these types, such as videos,images,dicom. Left out: all but text.")
]
GroupTypeOption = Annotated[
    Literal["image_group", "image_sequence", "dicom_series"] | None,
    option("image_group, image_sequence or dicom_series.", panel=GROUP_PANEL, metavar="TYPE"),
]
GroupByOption = Annotated[
    Literal["folder", "regex", "series_uid"] | None,
    option("folder, regex (with --group-pattern) or series_uid.", panel=GROUP_PANEL, metavar="BY"),
]
GroupPatternOption = Annotated[
    str | None,
    option(
        "Regular expression (RE2) with the named groups group and, if wanted, index and count.",
        panel=GROUP_PANEL,
    ),
]
GroupTitleOption = Annotated[
    str | None, option("Template of the titles of groups. Left out: {group}.", panel=GROUP_PANEL)
]

StateFolderOption = Annotated[
    str | None,
    option(
        "Airflow's state folder, for the ledger in it: a path or s3://bucket/prefix. Left out: everything "
        "counts as new.",
        metavar="PATH",
    ),
]
TablesFolderOption = Annotated[
    str | None,
    option(
        "Folder of metadata tables: a path or URL. Left out: `tables` in the state folder.", metavar="PATH"
    ),
]


@dataclass(frozen=True, slots=True)
class Access:
    """How the bucket is reached from this machine.

    Attributes:
        profile: Profile of the AWS files; None for the default chain.
        endpoint_url: Address of an S3-compatible store or Azure account; None for that of the profile, else
            the cloud's own.
        region: Region of the bucket; None for that of the profile.
    """

    profile: str | None = None
    endpoint_url: str | None = None
    region: str | None = None


def words(text: str) -> list[str]:
    """Return the words of a list in one option: `mp4, mov`."""
    return [word for word in (part.strip() for part in text.split(",")) if word]
