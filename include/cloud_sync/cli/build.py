"""`cloud-sync manifest build`: manifests of what a bucket holds, made by the code of the pipelines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import typer

from cloud_sync.cli import build_options as own
from cloud_sync.cli import options as shared
from cloud_sync.cli.exits import ExitCode
from cloud_sync.cli.files import check_new, write_whole
from cloud_sync.cli.manifest import SUFFIXES
from cloud_sync.cli.output import say
from cloud_sync.cli.run import planned_run
from cloud_sync.cli.settings import checked, groups_settings, types_settings
from cloud_sync.cli.store import parse_source
from cloud_sync.encord_limits import ITEMS_AT_ONE_TIME
from cloud_sync.errors import ConfigError
from cloud_sync.numbers import counted

if TYPE_CHECKING:
    from cloud_sync.cli.run import LocalRun
    from cloud_sync.integration import Integration
    from cloud_sync.planning.model import PlanRow

EPILOG: Final = (
    "Examples:\n\ncloud-sync manifest build s3://my-bucket/raw/ -o raw.json\n\n"
    "cloud-sync manifest build s3://my-bucket -o folder/ --only videos\n\n"
    "cloud-sync manifest build s3://scans -o scans.json --group-type dicom_series "
    "--group-by folder"
)


def build(
    *,
    context: typer.Context,
    source: own.SourceArgument,
    target: own.TargetOption,
    only: shared.OnlyOption = None,
    include: own.IncludeOption = None,
    exclude: own.ExcludeOption = None,
    minimum_age: own.MinimumAgeOption = None,
    maximum_size: own.MaximumSizeOption = None,
    videos: own.VideosOption = None,
    images: own.ImagesOption = None,
    audio: own.AudioOption = None,
    pdf: own.PdfOption = None,
    nifti: own.NiftiOption = None,
    dicom: own.DicomOption = None,
    text: own.TextOption = None,
    group_type: shared.GroupTypeOption = None,
    group_by: shared.GroupByOption = None,
    group_pattern: shared.GroupPatternOption = None,
    group_title: shared.GroupTitleOption = None,
    quiet_for: own.QuietForOption = None,
    title: own.TitleOption = None,
    url_style: shared.UrlStyleOption = None,
    mrap_arn: shared.MrapOption = None,
    account: own.AccountOption = None,
    format: own.WriteFormatOption = None,
    items_per_manifest: own.SizeOption = ITEMS_AT_ONE_TIME,
    skip_duplicate_urls: own.SkipOption = True,
    allow_loss: shared.AllowLossOption = False,
    force: shared.ForceOption = False,
    profile: shared.ProfileOption = None,
    endpoint_url: shared.EndpointOption = None,
    region: shared.RegionOption = None,
) -> None:
    """Write manifests of what a bucket holds: list, plan and build as a sync does, and send nothing.

    Settings and their defaults are those of an integration file.

    What Encord does not take at one time goes into several files.

    Each says skip_duplicate_urls: true, unless there is --no-skip-duplicate-urls.

    What is left out is said, with the reason. Ends with 1 if there is nothing to write.
    """
    integration = integration_of(context.params)
    output = Output.at(target, format, force=force)
    output.check_says(skip_duplicate_urls=skip_duplicate_urls, allow_loss=allow_loss)
    with planned_run(integration, shared.Access(profile, endpoint_url, region)) as run:
        _say_left_out(run.plan.rows)
        names = output.write(run, integration, allow_loss=allow_loss)
        _say_written(run, names)


def integration_of(options: Mapping[str, Any]) -> Integration:
    """Return what an integration file with these options would say.

    Raises:
        ConfigError: An option is wrong.
    """
    provider, bucket, prefix = parse_source(options["source"])
    extensions = {
        name: options[name] for name in ("videos", "images", "audio", "pdf", "nifti", "dicom", "text")
    }
    groups = groups_settings(
        group_type=options["group_type"],
        by=options["group_by"],
        pattern=options["group_pattern"],
        title=options["group_title"],
        complete={"quiet_for": options["quiet_for"]},
    )
    settings = {
        # A name, connections and a dataset have to be there; nothing asks for them here.
        "name": "manifest-build",
        "storage": {
            "provider": provider,
            "connection_id": "none",
            "bucket": bucket,
            "prefix": prefix,
            "url_style": options["url_style"],
            "mrap_arn": options["mrap_arn"],
            "account": options["account"],
        },
        "target": {"connection_id": "none", "dataset": "none"},
        "select": {name: options[name] for name in ("include", "exclude", "minimum_age", "maximum_size")},
        "types": types_settings(options["only"], extensions),
        "groups": groups,
        "title": options["title"],
        "upload": {
            "items_per_manifest": options["items_per_manifest"],
            "skip_duplicate_urls": options["skip_duplicate_urls"],
        },
    }
    return checked(settings)


@dataclass(frozen=True, slots=True)
class Output:
    """Where the manifests go: one file, or several in a folder.

    Attributes:
        path: The file or folder.
        format: What is written.
        is_file: One file, whose name gets numbers where there have to be several.
        force: Replace files that exist.
    """

    path: Path
    format: Literal["json", "csv"]
    is_file: bool
    force: bool

    @classmethod
    def at(cls, path: Path, format: Literal["json", "csv"] | None, *, force: bool) -> Output:
        """Look at the place before anything is listed.

        Raises:
            ConfigError: Something stands there.
        """
        is_file = path.suffix.lower() in SUFFIXES and not path.is_dir()
        if is_file:
            check_new(path, force=force)
        elif path.exists() and not path.is_dir():
            raise ConfigError(
                "is no folder.",
                where=str(path),
                remedy="Give a folder, or a name that ends with .json or .csv.",
            )
        elif not force and path.is_dir() and any(path.iterdir()):
            raise ConfigError(
                "is not empty, and old manifests would stand among the new.",
                where=str(path),
                remedy="Give a new folder, or add --force.",
            )
        return cls(path, format or SUFFIXES.get(path.suffix.lower(), "json"), is_file, force)

    def check_says(self, *, skip_duplicate_urls: bool, allow_loss: bool) -> None:
        """Refuse before anything is listed what a CSV cannot say.

        Raises:
            ConfigError: The flag would be lost and `allow_loss` is false.
        """
        if self.format == "csv" and skip_duplicate_urls and not allow_loss:
            raise ConfigError(
                "a CSV cannot state skip_duplicate_urls: true.",
                where=str(self.path),
                remedy="Write JSON, or add --no-skip-duplicate-urls or --allow-loss.",
            )

    def write(self, run: LocalRun, integration: Integration, *, allow_loss: bool) -> list[Path]:
        """Build the manifests of a run, all of them before the first is put in its place; return their paths.

        Raises:
            ManifestError: A CSV cannot say everything and `allow_loss` is false.
        """
        from cloud_sync.manifest.build import build_manifests
        from cloud_sync.planning.model import REGISTER_NAME

        _, index = build_manifests(
            run.folder,
            register_path=run.folder.local(REGISTER_NAME),
            build_urls=run.storage.urls.build_many,
            items_per_manifest=integration.upload.items_per_manifest,
            jobs_in_flight=integration.upload.jobs_in_flight,
            skip_duplicate_urls=integration.upload.skip_duplicate_urls,
        )
        built = [run.folder.local(entry.name) for entry in index.manifests]
        if self.format == "csv":
            for path in built:
                path.write_bytes(_as_csv(path, allow_loss=allow_loss))
        places = self._places(built)
        for place in places:
            check_new(place, force=self.force)
        for path, place in zip(built, places, strict=True):
            write_whole(place, path.read_bytes())
        return places

    def _places(self, built: list[Path]) -> list[Path]:
        if not self.is_file:
            return [self.path / path.with_suffix(f".{self.format}").name for path in built]
        if len(built) <= 1:
            return [self.path] * len(built)
        stem, suffix = self.path.stem, self.path.suffix
        return [self.path.with_name(f"{stem}-{number:04d}{suffix}") for number in range(len(built))]


def _as_csv(path: Path, *, allow_loss: bool) -> bytes:
    from cloud_sync.manifest.convert import convert_manifest
    from cloud_sync.manifest.reader import read_manifest

    manifest = read_manifest(path, file=path.name, format="json")
    return convert_manifest(manifest, to="csv", allow_loss=allow_loss).data


def _say_left_out(rows: Sequence[PlanRow]) -> None:
    from cloud_sync.planning.model import REASONS, SENT_ACTIONS

    for row in rows:
        if row.action not in SENT_ACTIONS:
            examples = ", ".join(row.examples)
            say(
                f"Left out {counted(row.objects, 'object')}: {REASONS[row.reason]}. {examples}",
                style="yellow",
            )


def _say_written(run: LocalRun, names: Sequence[Path]) -> None:
    if not names:
        say("Nothing to write.", style="yellow")
        raise typer.Exit(ExitCode.FINDINGS)
    for name in names:
        typer.echo(name)
    items, objects = counted(run.plan.items, "item"), counted(run.plan.to_register, "object")
    say(f"Wrote {items} of {objects} into {counted(len(names), 'file')}.")
