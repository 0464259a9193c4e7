"""Settings come from the environment; a port that cannot be used is named with what to do about it."""

from __future__ import annotations

from dataclasses import fields

import pytest

from cloud_sync.errors import ConfigError
from demo import settings as module
from demo.settings import Settings, environment_help


def test_defaults_need_no_environment() -> None:
    assert Settings.from_environment({}) == Settings()


def test_each_setting_has_a_variable_that_the_help_names_with_its_default() -> None:
    for one in fields(Settings):
        name = f"CLOUD_SYNC_DEMO_{one.name.upper()}"
        assert getattr(Settings.from_environment({name: "12345"}), one.name) == 12345
        assert f"{name}={one.default} " in environment_help()


def test_the_default_ports_differ() -> None:
    ports = [use.port for use in Settings().port_uses()]
    assert len(set(ports)) == len(ports) == 13


@pytest.mark.parametrize("text", ["", "http", "80.5", "-1", "0"])
def test_a_value_that_is_no_number_names_its_variable(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^CLOUD_SYNC_DEMO_S3_PORT: "):
        Settings.from_environment({"CLOUD_SYNC_DEMO_S3_PORT": text})


def test_a_number_that_is_no_port_is_refused() -> None:
    with pytest.raises(ConfigError, match="CLOUD_SYNC_DEMO_AIRFLOW_PORT: 70000 is not a port"):
        Settings.from_environment({"CLOUD_SYNC_DEMO_AIRFLOW_PORT": "70000"})


def test_one_port_wanted_twice_names_both_variables() -> None:
    with pytest.raises(ConfigError) as caught:
        Settings.from_environment({"CLOUD_SYNC_DEMO_S3_PORT": "18345"})
    assert "port 18345 is wanted twice" in str(caught.value)
    assert "CLOUD_SYNC_DEMO_S3_PORT, CLOUD_SYNC_DEMO_S3_INTERNAL_PORT" in str(caught.value)


def test_a_taken_port_names_the_port_who_wanted_it_who_has_it_and_the_variable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_is_free", lambda port: port != 18080)
    monkeypatch.setattr(module, "_holder", lambda port: " by nginx (process 7)")
    with pytest.raises(ConfigError) as caught:
        Settings().refuse_taken_ports()
    assert str(caught.value) == (
        "make demo: Port 18080, wanted by Airflow: UI and REST API, is taken by nginx (process 7). "
        "Free it, or choose another: CLOUD_SYNC_DEMO_AIRFLOW_PORT=19080 make demo"
    )


def test_several_taken_ports_are_all_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_is_free", lambda port: port not in {18080, 18347})
    monkeypatch.setattr(module, "_holder", lambda port: "")
    with pytest.raises(
        ConfigError, match=r"2 ports are taken\.\n  Port 18080.*\n  Port 18347, wanted by SeaweedFS"
    ):
        Settings().refuse_taken_ports()
