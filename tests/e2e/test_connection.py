"""The connection type `encord` in a running Airflow: its form, and "test connection"."""

from __future__ import annotations

from typing import Any

from tests.e2e.conftest import Bench


def test_the_form_shows_what_is_needed_and_hides_the_key(bench: Bench) -> None:
    bench.stack.api.import_errors()  # signs in
    answer = bench.stack.api._http.get("/ui/connections/hook_meta")
    (encord,) = [hook for hook in answer.json() if hook["connection_type"] == "encord"]
    fields = encord["standard_fields"]
    assert {name for name, field in fields.items() if not (field and field["hidden"])} == {
        "description",
        "host",
        "password",
    }
    assert list(encord["extra_fields"]) == ["encord_integration"]


def test_a_good_connection_is_told_from_a_bad_one(bench: Bench) -> None:
    def tested(key: str) -> dict[str, Any]:
        body = {
            "connection_id": "tried",
            "conn_type": "encord",
            "host": bench.slow_service.url,
            "password": key,
            "extra": f'{{"encord_integration": "{bench.slow_service.encord_integration}"}}',
        }
        return bench.stack.api._call("POST", "connections/test", json=body)

    good = tested(bench.slow_service.private_key)
    assert good["status"] is True, good
    assert bench.slow_service.encord_integration in good["message"]
    bad = tested(bench.rsa_key)
    assert bad["status"] is False
    assert "ssh-keygen -t ed25519" in bad["message"]
    assert not any(line in bad["message"] for line in bench.rsa_key.splitlines() if "-----" not in line)
