"""`cloud-sync integration check | schema | new`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from cloud_sync.cli import options as shared
from cloud_sync.cli.exits import ExitCode
from cloud_sync.cli.files import check_new, write_whole
from cloud_sync.cli.output import say
from cloud_sync.cli.settings import checked, groups_settings, types_settings, without_none
from cloud_sync.errors import ConfigError

app = typer.Typer(
    help="Integration files: what is synced, from where, to which dataset.", no_args_is_help=True
)
INTEGRATIONS_FOLDER: Final = Path("include/integrations")


@app.command(epilog="Example:\n\ncloud-sync integration check include/integrations/street-cameras.yaml")
def check(files: Annotated[list[Path], typer.Argument(help="Integration files.")]) -> None:
    """Check integration files.

    Ends with 0 if all are good, else with 1, and says file, line and remedy.
    """
    from cloud_sync.integration import load_integration

    good = True
    for path in files:
        try:
            name = load_integration(path).name
        except ConfigError as error:
            good = False
            say(str(error))
        else:
            typer.echo(f"{path}: good, integration {name}")
    raise typer.Exit(ExitCode.FINE if good else ExitCode.FINDINGS)


@app.command(epilog="Example:\n\ncloud-sync integration schema include/integrations/integration.schema.json")
def schema(file: Annotated[Path, typer.Argument(help="Where to write it.", show_default=False)]) -> None:
    """Write the JSON schema with which editors complete and check integration files."""
    from cloud_sync.integration import write_json_schema

    write_json_schema(file)


@dataclass(frozen=True, slots=True)
class Question:
    """Something that `new` asks.

    Attributes:
        option: The name of the option that answers it.
        text: The question.
        default: The answer of a bare Return; None if there has to be one.
    """

    option: str
    text: str
    default: str | None = None


QUESTIONS: Final = (
    Question("name", "Name of the integration (lower-case letters, digits, - and _)"),
    Question("bucket", "Bucket"),
    Question("prefix", "Prefix of the keys, such as raw/ (empty: the whole bucket)", ""),
    Question("storage_connection", "Airflow connection of the bucket", "aws_default"),
    Question("dataset", "Encord dataset, title or hash"),
    Question("encord_connection", "Airflow connection of Encord", "encord_default"),
    Question("only", "Types: videos,images,audio,pdf,nifti,dicom,text (empty: all but text)", ""),
    Question("group_type", "Groups: image_group, image_sequence, dicom_series (empty: none)", ""),
    Question("group_by", "Groups by: folder, regex, series_uid", "folder"),
    Question("group_pattern", "Regular expression with (?P<group>...) and, if wanted, (?P<index>...)"),
    Question("schedule", "Schedule, cron in UTC, such as 0 2 * * * (empty: by hand only)", ""),
)


def _text_option(help: str, *names: str) -> Any:
    return typer.Option(*names, help=help, show_default=False)


@app.command(
    epilog="Examples:\n\ncloud-sync integration new\n\ncloud-sync integration new --yes --name cameras "
    "--bucket my-bucket --dataset 'Street cameras'"
)
def new(
    *,
    context: typer.Context,
    output: Annotated[
        Path | None,
        _text_option(
            "File to write. Left out: NAME.yaml in include/integrations, else here.", "--output", "-o"
        ),
    ] = None,
    name: Annotated[str | None, _text_option("Names the DAG: sync__NAME.")] = None,
    bucket: Annotated[str | None, _text_option("Bucket.")] = None,
    prefix: Annotated[str | None, _text_option("Only keys that begin with this.")] = None,
    storage_connection: Annotated[str | None, _text_option("Airflow connection of the bucket.")] = None,
    dataset: Annotated[str | None, _text_option("Encord dataset, title or hash.")] = None,
    encord_connection: Annotated[str | None, _text_option("Airflow connection of Encord.")] = None,
    only: shared.OnlyOption = None,
    group_type: shared.GroupTypeOption = None,
    group_by: shared.GroupByOption = None,
    group_pattern: shared.GroupPatternOption = None,
    schedule: Annotated[str | None, _text_option("Cron expression, UTC.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Ask nothing: options and defaults say all.")] = False,
) -> None:
    """Write an integration file with a comment above each field; asks for what the options do not say.

    Each answer is checked at once.

    A file that exists is never replaced.
    """
    given = {question.option: context.params[question.option] for question in QUESTIONS}
    settings = Interview(given, ask=not yes).settings()
    path = output or _usual_place(settings["name"])
    check_new(path, force=False)
    _check_name(settings["name"], path)
    from cloud_sync.cli.integration_file import integration_text

    write_whole(path, integration_text(settings, folder=path.parent).encode())
    say(f"Wrote {path}. Check it with: cloud-sync integration check {path}")
    say(f"See what it would do: cloud-sync plan {path}")


def _usual_place(name: str) -> Path:
    return (INTEGRATIONS_FOLDER if INTEGRATIONS_FOLDER.is_dir() else Path()) / f"{name}.yaml"


def _check_name(name: str, path: Path) -> None:
    """Refuse a name that another file in the folder has: both would count as wrong."""
    from cloud_sync.integration import load_integrations

    if not path.parent.is_dir():
        return
    for other, integration in load_integrations(path.parent).integrations:
        if integration.name == name:
            raise ConfigError(f"has the name {name!r} already.", where=str(other), remedy="Choose another.")


class Interview:
    """Gets the answers, from options or from a person, and checks each as it comes.

    Raises:
        ConfigError: An option is wrong, or missing where nobody is asked.
    """

    def __init__(self, given: Mapping[str, str | None], *, ask: bool) -> None:
        self._given = given
        self._ask = ask
        # Answers that are good until the real ones come, so that what is there can be checked as a whole.
        self._answers: dict[str, str] = {"name": "a", "bucket": "a", "dataset": "a"}

    def settings(self) -> dict[str, Any]:
        """Return the settings of the integration file, checked, without what was left empty."""
        for question in QUESTIONS:
            if self._applies(question):
                self._answer(question)
        return _settings(self._answers)

    def _applies(self, question: Question) -> bool:
        if self._given[question.option] is not None:
            return True
        if question.option == "group_by":
            return bool(self._answers.get("group_type"))
        if question.option == "group_pattern":
            return self._answers.get("group_by") == "regex"
        return True

    def _answer(self, question: Question) -> None:
        given = self._given[question.option]
        if given is not None or not self._ask:
            answer = given if given is not None else question.default
            if answer is None:
                option = f"--{question.option.replace('_', '-')}"
                raise ConfigError(
                    "is missing.", where=option, remedy="Give it, or leave out --yes to be asked."
                )
            self._take(question, answer)
            return
        while True:
            answer = typer.prompt(question.text, question.default, show_default=bool(question.default))
            try:
                self._take(question, answer)
            except ConfigError as error:
                say(str(error), style="yellow")
            else:
                return

    def _take(self, question: Question, answer: str) -> None:
        """Keep an answer if all settings are good with it."""
        tried = {**self._answers, question.option: answer.strip()}
        # A rule by regex is good only with its pattern, which is asked for next.
        if not (question.option == "group_by" and tried["group_by"] == "regex"):
            checked(_settings(tried))
        self._answers = tried


def _settings(answers: Mapping[str, str]) -> dict[str, Any]:
    given = {name: answer for name, answer in answers.items() if answer}
    types = types_settings(given.get("only"), {})
    groups = groups_settings(
        group_type=given.get("group_type"),
        by=given.get("group_by"),
        pattern=given.get("group_pattern"),
    )
    return without_none(
        {
            "name": given.get("name", ""),
            "schedule": given.get("schedule"),
            "storage": {
                "provider": "s3",
                "connection_id": given.get("storage_connection", "aws_default"),
                "bucket": given.get("bucket", ""),
                "prefix": given.get("prefix"),
            },
            "target": {
                "connection_id": given.get("encord_connection", "encord_default"),
                "dataset": given.get("dataset", ""),
            },
            "types": types if "only" in given else None,
            "groups": groups or None,
        }
    )
