"""Options that several commands have."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer

ACCESS_PANEL = "Access to the bucket"
GROUP_PANEL = "Several files as one item"
URL_PANEL = "How object URLs are written"

OutputOption = Annotated[
    Literal["table", "json"],
    typer.Option("--output", help="A table (in a pipe: cells between tabs), or JSON for programs."),
]
ForceOption = Annotated[bool, typer.Option("--force", help="Replace a file that exists.")]
LenientOption = Annotated[
    bool, typer.Option("--lenient", help="Read JSON with commas before closing brackets.")
]
FormatOption = Annotated[
    Literal["json", "csv"] | None,
    typer.Option("--format", help="What the files are. Left out: told by their content.", show_default=False),
]
AllowLossOption = Annotated[
    bool, typer.Option("--allow-loss", help="Write a CSV even if it cannot say everything.")
]

ProfileOption = Annotated[
    str | None,
    typer.Option(
        help="Profile in ~/.aws. Left out: AWS_PROFILE, environment variables, the machine's role.",
        rich_help_panel=ACCESS_PANEL,
        show_default=False,
    ),
]
EndpointOption = Annotated[
    str | None,
    typer.Option(
        "--endpoint-url",
        help="Address of an S3-compatible store. Left out: the profile's, else AWS.",
        rich_help_panel=ACCESS_PANEL,
        show_default=False,
    ),
]
RegionOption = Annotated[
    str | None,
    typer.Option(
        help="Region of the bucket. Left out: the profile's.",
        rich_help_panel=ACCESS_PANEL,
        show_default=False,
    ),
]
UrlStyleOption = Annotated[
    Literal["virtual-hosted", "path", "s3", "mrap"],
    typer.Option(
        "--url-style",
        metavar="STYLE",
        help="virtual-hosted, path, s3, or mrap with --mrap-arn.",
        rich_help_panel=URL_PANEL,
    ),
]
MrapOption = Annotated[
    str | None,
    typer.Option(
        "--mrap-arn",
        help="ARN of the Multi-Region Access Point.",
        rich_help_panel=URL_PANEL,
        show_default=False,
    ),
]

OnlyOption = Annotated[
    str | None,
    typer.Option(
        help="Take only these types, such as videos,images,dicom. Left out: all but text.",
        show_default=False,
    ),
]
GroupTypeOption = Annotated[
    Literal["image_group", "image_sequence", "dicom_series"] | None,
    typer.Option(
        "--group-type",
        metavar="TYPE",
        help="image_group, image_sequence or dicom_series.",
        rich_help_panel=GROUP_PANEL,
        show_default=False,
    ),
]
GroupByOption = Annotated[
    Literal["folder", "regex", "series_uid"] | None,
    typer.Option(
        "--group-by",
        metavar="BY",
        help="folder, regex (with --group-pattern) or series_uid.",
        rich_help_panel=GROUP_PANEL,
        show_default=False,
    ),
]
GroupPatternOption = Annotated[
    str | None,
    typer.Option(
        "--group-pattern",
        help="Regular expression (RE2) with the named groups group and, if wanted, index and count.",
        rich_help_panel=GROUP_PANEL,
        show_default=False,
    ),
]
GroupTitleOption = Annotated[
    str | None,
    typer.Option(
        "--group-title",
        help="Template of the titles of groups. Left out: {group}.",
        rich_help_panel=GROUP_PANEL,
        show_default=False,
    ),
]

StateFolderOption = Annotated[
    Path | None,
    typer.Option(
        "--state-folder",
        help="Airflow's state folder, for the ledger in it. Left out: everything counts as new.",
        show_default=False,
    ),
]
TablesFolderOption = Annotated[
    Path | None,
    typer.Option(
        "--tables-folder",
        help="Folder of metadata tables. Left out: `tables` in the state folder.",
        show_default=False,
    ),
]


@dataclass(frozen=True, slots=True)
class Access:
    """How the bucket is reached from this machine.

    Attributes:
        profile: Profile of the AWS files; None for the default chain.
        endpoint_url: Address of an S3-compatible store; None for that of the profile, else AWS.
        region: Region of the bucket; None for that of the profile.
    """

    profile: str | None = None
    endpoint_url: str | None = None
    region: str | None = None


def words(text: str) -> list[str]:
    """Return the words of a list in one option: `mp4, mov`."""
    return [word for word in (part.strip() for part in text.split(",")) if word]
