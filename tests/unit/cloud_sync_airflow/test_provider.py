"""Airflow itself reads the provider: the connection form shows what is needed, the settings are known."""

from __future__ import annotations

import json
from pathlib import Path

import airflow
import jsonschema
import pytest

from cloud_sync_airflow.provider import get_provider_info


@pytest.fixture(scope="module")
def hooks():
    """What the API server gives the connection form."""
    from airflow.api_fastapi.core_api.services.ui.connections import HookMetaService

    return {hook.connection_type: hook for hook in HookMetaService.hook_meta_data()}


def test_the_description_is_valid():
    schema = Path(airflow.__file__).parent / "provider_info.schema.json"
    jsonschema.validate(get_provider_info(), json.loads(schema.read_text()))


def test_the_form_shows_domain_key_and_encord_integration_only(hooks):
    form = hooks["encord"]
    shown = {
        name for name, field in form.standard_fields.model_dump().items() if not (field or {}).get("hidden")
    }
    assert form.hook_class_name == "cloud_sync_airflow.hooks.encord.EncordHook"
    assert {"host", "password"} <= shown
    assert shown.isdisjoint({"login", "port"})
    assert list(form.extra_fields) == ["encord_integration"]


def test_the_fields_are_named_in_encords_words(hooks):
    fields = hooks["encord"].standard_fields
    assert fields.host.title == "API domain"
    assert fields.password.title == "SSH private key"
    assert "https://api.encord.com" in fields.host.placeholder


def test_the_settings_are_known_to_airflow(monkeypatch):
    from airflow.configuration import conf

    assert conf.get("cloud_sync", "state_folder") == ""
    assert conf.get("cloud_sync", "integrations_folder") == ""
    assert conf.get("cloud_sync", "manifests_folder") == ""
    assert conf.get("cloud_sync", "tables_folder") == ""
    monkeypatch.setenv("AIRFLOW__CLOUD_SYNC__STATE_FOLDER", "/srv/state")
    assert conf.get("cloud_sync", "state_folder") == "/srv/state"
