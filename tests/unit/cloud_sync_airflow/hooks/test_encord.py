"""The hook: from a connection to a client, with the key out of every log and error."""

from __future__ import annotations

import json

import pytest

from cloud_sync.errors import ConfigError, EncordError
from cloud_sync.registration.client import EncordClient
from cloud_sync_airflow.hooks import encord
from cloud_sync_airflow.hooks.encord import EncordHook
from tests.unit.registration.keys import ed25519_key, wrong_keys

KEY = ed25519_key()


@pytest.fixture
def masked(monkeypatch):
    values: list[str] = []
    monkeypatch.setattr(encord, "mask_secret", values.append)
    return values


@pytest.fixture
def connect(monkeypatch, masked):
    def as_environment(**fields):
        text = json.dumps({"conn_type": "encord", **fields})
        monkeypatch.setenv("AIRFLOW_CONN_ENCORD_TEST", text)
        return EncordHook("encord_test")

    return as_environment


def test_the_client_has_the_connections_domain(connect):
    client = connect(host="https://api.us.encord.com", password=KEY).get_conn()
    assert isinstance(client, EncordClient)
    assert client.domain == "https://api.us.encord.com"


def test_the_domain_may_be_left_out(connect):
    assert connect(password=KEY).get_conn().domain == "https://api.encord.com"


def test_a_port_that_stands_apart_belongs_to_the_domain(connect):
    client = connect(host="http://127.0.0.1", port=8099, password=KEY).get_conn()
    assert client.domain == "http://127.0.0.1:8099"


def test_the_client_is_made_once(connect):
    hook = connect(password=KEY)
    assert hook.get_conn() is hook.get_conn()


def test_all_that_use_a_connection_keep_to_one_pace(connect, monkeypatch, tmp_path):
    monkeypatch.setenv("AIRFLOW__CLOUD_SYNC__STATE_FOLDER", str(tmp_path))
    one, other = (connect(password=KEY).get_conn() for _ in range(2))
    one.pace.refused(30)
    assert 29 < other.pace.wait_s() <= 30
    assert [path.name for path in (tmp_path / "pace").glob("*.json")] == ["encord_test.json"]


def test_the_key_is_masked_whole_and_by_line(connect, masked):
    connect(password=KEY.replace("\n", "")).get_conn()
    assert KEY in masked
    assert set(KEY.splitlines()[1:-1]) <= set(masked)


@pytest.mark.parametrize(
    ("extra", "wanted"),
    [({}, None), ({"encord_integration": "  "}, None), ({"encord_integration": " AWS prod "}, "AWS prod")],
)
def test_the_encord_integration_is_a_named_extra(connect, extra, wanted):
    assert connect(password=KEY, extra=extra).encord_integration == wanted


@pytest.mark.parametrize(("text", "kind"), wrong_keys().values(), ids=list(wrong_keys()))
def test_a_wrong_key_names_the_connection_and_no_byte_of_it(connect, text, kind):
    with pytest.raises(ConfigError) as caught:
        connect(password=text).get_conn()
    assert str(caught.value).startswith("connection encord_test: ")
    assert kind in str(caught.value)
    assert not [line for line in text.splitlines() if len(line) > 20 and line in str(caught.value)]


def test_a_wrong_domain_names_the_connection(connect):
    with pytest.raises(ConfigError, match="connection encord_test: the API domain"):
        connect(host="api.encord.com/v2", password=KEY).get_conn()


def test_a_missing_connection_is_an_error_at_once_with_a_remedy(masked):
    hook = EncordHook("absent")
    for call in (hook.get_conn, lambda: hook.encord_integration):
        with pytest.raises(ConfigError) as caught:
            call()
        assert not caught.value.transient
        assert str(caught.value) == (
            "connection absent: does not exist. "
            "Add it in the Airflow UI (type encord), or correct target.connection_id."
        )
    assert hook.test_connection() == (False, str(caught.value))


def test_a_connection_of_another_type_is_an_error(connect):
    with pytest.raises(ConfigError) as caught:
        connect(conn_type="aws", password=KEY).get_conn()
    assert str(caught.value) == (
        "connection encord_test: is of the type 'aws'. The Encord target needs a connection of type 'encord'."
    )


class Answering:
    domain = "https://api.example.com"

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.wanted: list[str] = []

    def check(self) -> int:
        if self.error:
            raise self.error
        return 3

    def find_encord_integration(self, wanted: str) -> tuple[str, str]:
        self.wanted.append(wanted)
        return "uuid", wanted


def test_test_connection_says_what_it_found(connect):
    hook = connect(password=KEY, extra={"encord_integration": "AWS"})
    hook._client = Answering()
    assert hook.test_connection() == (
        True,
        "Connected to https://api.example.com. The user sees 3 Encord integrations; it has 'AWS'.",
    )
    assert hook._client.wanted == ["AWS"]


def test_test_connection_says_what_is_wrong(connect):
    hook = connect(password=KEY)
    hook._client = Answering(EncordError("not accepted.", where="x", remedy="Do this."))
    assert hook.test_connection() == (False, "x: not accepted. Do this.")


def test_test_connection_with_a_wrong_key(connect):
    good, message = connect(password="nonsense").test_connection()
    assert not good
    assert "ssh-keygen" in message
