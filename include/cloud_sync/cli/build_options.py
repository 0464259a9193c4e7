"""Options of `manifest build` that no other command has."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from cloud_sync.cli.options import ACCESS_PANEL, GROUP_PANEL, option

SELECT_PANEL = "Which objects"
EXTENSIONS_PANEL = "Extensions of each type, between commas"


SourceArgument = Annotated[
    str,
    typer.Argument(
        metavar="s3://BUCKET/PREFIX",
        help="What to list: s3://, gs:// (Google), az:// (Azure) or obs:// (Open Telekom Cloud).",
        show_default=False,
    ),
]
TargetOption = Annotated[
    Path, option("A .json or .csv file, or a folder that is new or empty.", "--output", "-o")
]
WriteFormatOption = Annotated[
    Literal["json", "csv"] | None,
    option("What to write. Left out: as the name of -o ends, else JSON.", "--format"),
]
SizeOption = Annotated[int, typer.Option("--items-per-manifest", help="Most items in one file.")]
SkipOption = Annotated[
    bool,
    typer.Option(
        help="Let Encord skip what it has.", rich_help_panel="A flag of the manifests", show_default="skip"
    ),
]
TitleOption = Annotated[
    str | None, option("Template of the titles of single files, such as '{folder} {stem}'.")
]

IncludeOption = Annotated[
    list[str] | None,
    option("Pattern of keys to take, as in .gitignore. May stand several times.", panel=SELECT_PANEL),
]
ExcludeOption = Annotated[
    list[str] | None,
    option("Pattern of keys to leave out; wins. May stand several times.", panel=SELECT_PANEL),
]
MinimumAgeOption = Annotated[
    str | None, option("Leave younger objects out, such as 10m.", panel=SELECT_PANEL)
]
MaximumSizeOption = Annotated[
    str | None, option("Leave larger objects out, such as '1 GB'.", panel=SELECT_PANEL)
]

VideosOption = Annotated[str | None, option("Left out: mp4,mov,m4v,webm,mkv.", panel=EXTENSIONS_PANEL)]
ImagesOption = Annotated[
    str | None, option("Left out: jpg,jpeg,png,webp,avif,bmp,tif,tiff.", panel=EXTENSIONS_PANEL)
]
AudioOption = Annotated[str | None, option("Left out: mp3,wav,flac.", panel=EXTENSIONS_PANEL)]
PdfOption = Annotated[str | None, option("Left out: pdf.", panel=EXTENSIONS_PANEL)]
NiftiOption = Annotated[str | None, option("Left out: nii,nii.gz.", panel=EXTENSIONS_PANEL)]
DicomOption = Annotated[str | None, option("Left out: dcm,dicom.", panel=EXTENSIONS_PANEL)]
TextOption = Annotated[str | None, option("Left out: none; txt with --only text.", panel=EXTENSIONS_PANEL)]

AccountOption = Annotated[
    str | None,
    option("Storage account, for az://. Left out: AZURE_STORAGE_ACCOUNT.", panel=ACCESS_PANEL),
]
QuietForOption = Annotated[
    str | None, option("Leave out groups whose newest file is younger. Left out: 10m.", panel=GROUP_PANEL)
]
