"""The form of `upload_manifest`: what it shows, and what is made of what a person fills in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import Param
from airflow.sdk.exceptions import ParamValidationError

from cloud_sync.errors import FormError
from cloud_sync_airflow.upload_params import LONGEST_TEXT, UploadOptions, upload_params
from tests.unit.tables import an_integration

CAMERAS = an_integration()
FOLDER = Path("/srv/manifests")
FORM = upload_params(dict.fromkeys(["cameras", "more"], CAMERAS.model_dump(mode="json")), FOLDER)


def filled_in(**values: Any) -> dict[str, Any]:
    """The values of a form as a task's context has them."""
    params = {name: param.value for name, param in FORM.items()} | {"integration": "cameras", **values}
    for name, value in params.items():
        FORM[name].resolve(value)
    return {"params": params}


def options(**values: Any) -> UploadOptions:
    return UploadOptions.of(filled_in(**values))


class TestForm:
    def test_the_fields_in_their_order(self):
        assert list(FORM) == [
            "integration",
            "manifest_path",
            "manifest_text",
            "dry_run",
            "format",
            "lenient",
            "ignore_errors",
            "skip_duplicate_urls",
        ]

    def test_every_field_explains_itself_and_none_is_in_a_section_that_starts_closed(self):
        for param in FORM.values():
            assert param.description
            assert param.schema["title"]
            assert "section" not in param.schema

    def test_the_folder_of_manifests_is_named(self):
        assert "in the folder /srv/manifests of Airflow's workers" in FORM["manifest_path"].description

    def test_the_integration_is_chosen_from_a_list_that_says_what_each_is(self):
        schema = FORM["integration"].schema
        assert schema["enum"] == ["cameras", "more"]
        assert schema["values_display"]["cameras"] == "cameras: recordings -> Cameras"
        with pytest.raises(ParamValidationError):
            FORM["integration"].resolve()

    def test_without_integrations_the_form_says_so(self):
        param = upload_params({}, FOLDER)["integration"]
        assert param.resolve() is None
        assert "There is none yet" in param.description

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("integration", "absent"),
            ("format", "xml"),
            ("ignore_errors", True),
            ("skip_duplicate_urls", "no"),
            ("skip_duplicate_urls", False),
            ("manifest_text", "x" * (LONGEST_TEXT + 1)),
        ],
    )
    def test_other_values_are_refused_by_airflow(self, name, value):
        with pytest.raises(ParamValidationError):
            FORM[name].resolve(value)

    def test_shown_values_are_those_of_the_lists(self):
        lists = [param for param in FORM.values() if "enum" in param.schema]
        assert len(lists) == 4
        for param in lists:
            assert list(param.schema["values_display"]) == param.schema["enum"]
            assert isinstance(param, Param)


class TestOptions:
    def test_the_least(self):
        assert options(manifest_path=" week/a.json ") == UploadOptions(
            integration="cameras",
            path="week/a.json",
            text=None,
            format=None,
            ignore_errors=None,
            skip_duplicates=False,
            lenient=False,
        )

    def test_all(self):
        chosen = options(
            manifest_text="{}\n",
            manifest_path=" ",
            format="csv",
            ignore_errors="no",
            skip_duplicate_urls="yes",
            lenient=True,
        )
        assert chosen == UploadOptions("cameras", None, "{}\n", "csv", False, True, True)

    @pytest.mark.parametrize(
        ("path", "text", "said"),
        [
            ("a.json", "{}", "both are filled in."),
            (None, None, "neither is filled in."),
            ("", " \n", "neither is filled in."),
        ],
    )
    def test_one_manifest_it_must_be(self, path, text, said):
        with pytest.raises(FormError) as caught:
            options(manifest_path=path, manifest_text=text)
        assert str(caught.value) == (
            f"the form's fields Manifest file and Manifest text: {said} Fill in one of them."
        )


class TestAppliedTo:
    @pytest.mark.parametrize("own", [True, False])
    @pytest.mark.parametrize(("chosen", "applied"), [("integration", None), ("yes", True), ("no", False)])
    def test_ignore_errors(self, own, chosen, applied):
        integration = an_integration(upload={"ignore_errors": own, "items_per_manifest": 7})
        upload = options(manifest_text="{}", ignore_errors=chosen).applied_to(integration).upload
        assert upload.ignore_errors is (own if applied is None else applied)
        assert upload.items_per_manifest == 7

    @pytest.mark.parametrize(
        ("own", "chosen", "applied"),
        [
            (True, "integration", True),
            (True, "yes", True),
            (False, "integration", False),
            (False, "yes", True),
        ],
    )
    def test_skipping_duplicates_can_be_switched_on_only(self, own, chosen, applied):
        integration = an_integration(upload={"skip_duplicate_urls": own})
        upload = options(manifest_text="{}", skip_duplicate_urls=chosen).applied_to(integration).upload
        assert upload.skip_duplicate_urls is applied
