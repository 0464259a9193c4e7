"""The configuration file: what it may say, and how wrong ones are named."""

from __future__ import annotations

import json
from uuid import UUID

import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from cloud_sync.dataset_service.config import load_config
from cloud_sync.errors import ConfigError

INTEGRATION = {
    "title": "storage",
    "provider": "s3",
    "endpoint_url": "http://127.0.0.1:9000/",
    "buckets": ["media"],
    "access_key_id_env": "SERVICE_KEY_ID",
    "secret_access_key_file": "secret.txt",
}
GOOGLE = {"title": "google", "provider": "gcs", "buckets": ["media"], "anonymous": True}
AZURE = {
    "title": "azure",
    "provider": "azure",
    "account": "traffic",
    "buckets": ["media"],
    "sas_token_env": "SERVICE_SAS",
}
TELEKOM = {
    "title": "telekom",
    "provider": "otc",
    "buckets": ["media"],
    "access_key_id_env": "SERVICE_KEY_ID",
    "secret_access_key_env": "SERVICE_KEY",
}


def public_line() -> str:
    key = Ed25519PrivateKey.generate().public_key()
    return f"{key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()} engineer@example.com"


@pytest.fixture
def written(tmp_path):
    def write(content: object, name: str = "service.yaml"):
        path = tmp_path / name
        path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
        return path

    return write


def test_yaml_and_json_say_the_same(written):
    content = {"encord_integrations": [INTEGRATION], "public_keys": [public_line()]}
    by_yaml = load_config(written(content))
    by_json = load_config(written(json.dumps(content), "service.json"))
    assert by_yaml.encord_integrations == by_json.encord_integrations
    assert by_yaml.hold_s == 30
    assert by_yaml.faults == []


def test_an_integration_may_write_unless_it_says_otherwise(written):
    reading = {**INTEGRATION, "title": "reading", "writable": False}
    config = load_config(written({"encord_integrations": [INTEGRATION, reading]}))
    assert [each.writable for each in config.encord_integrations] == [True, False]


def test_the_uuid_follows_from_the_title_unless_it_is_given(written):
    derived = load_config(written({"encord_integrations": [INTEGRATION]})).encord_integrations[0]
    again = load_config(written({"encord_integrations": [INTEGRATION]})).encord_integrations[0]
    given = {**INTEGRATION, "uuid": str(UUID(int=5))}
    assert derived.identity == again.identity
    assert load_config(written({"encord_integrations": [given]})).encord_integrations[0].identity == UUID(
        int=5
    )
    assert derived.endpoint == "http://127.0.0.1:9000"


def test_secrets_come_from_the_environment_and_from_files_beside_the_configuration(
    written, monkeypatch, tmp_path
):
    monkeypatch.setenv("SERVICE_KEY_ID", "the-id")
    (tmp_path / "secret.txt").write_text("the-secret\n")
    config = load_config(written({"encord_integrations": [INTEGRATION]}))
    assert config.encord_integrations[0].credentials(config.folder) == ("the-id", "the-secret")


def test_a_missing_secret_is_named_by_its_place(written, monkeypatch, tmp_path):
    monkeypatch.delenv("SERVICE_KEY_ID", raising=False)
    config = load_config(written({"encord_integrations": [INTEGRATION]}))
    with pytest.raises(ConfigError, match=r"'storage': SERVICE_KEY_ID is not set"):
        config.encord_integrations[0].credentials(config.folder)
    monkeypatch.setenv("SERVICE_KEY_ID", "the-id")
    with pytest.raises(ConfigError, match=r"secret.txt: cannot be read"):
        config.encord_integrations[0].credentials(config.folder)


def test_each_provider_has_its_own_fields(written):
    config = load_config(written({"encord_integrations": [INTEGRATION, GOOGLE, AZURE, TELEKOM]}))
    assert [each.provider for each in config.encord_integrations] == ["s3", "gcs", "azure", "otc"]
    _, google, azure, telekom = config.encord_integrations
    assert (google.endpoint, azure.url) == (None, "https://traffic.blob.core.windows.net")
    assert (telekom.endpoint, telekom.region) == (None, "eu-de")


def test_an_azure_account_may_be_elsewhere(written):
    own = AZURE | {"account_url": "http://127.0.0.1:10000/traffic/"}
    (azure,) = load_config(written({"encord_integrations": [own]})).encord_integrations
    assert azure.url == "http://127.0.0.1:10000/traffic"


def test_public_keys_may_stand_in_files(written, tmp_path):
    (tmp_path / "keys.pub").write_text(f"{public_line()}\n\n{public_line()}\n")
    assert load_config(written({"public_key_files": ["keys.pub"]})).key_ring()
    with pytest.raises(ConfigError, match="no public key is registered"):
        load_config(written({})).key_ring()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a: [", r"service.yaml:\d: is not valid YAML"),
        ("- a", "service.yaml: the file: "),
        ({"holds": 3}, "holds: Extra inputs"),
        ({"hold_s": 500}, "hold_s: "),
        ({"encord_integrations": [{**INTEGRATION, "provider": "ftp"}]}, "encord_integrations.0: .*'azure'"),
        ({"encord_integrations": [{**INTEGRATION, "buckets": []}]}, "encord_integrations.0.s3.buckets"),
        (
            {"encord_integrations": [{**INTEGRATION, "access_key_id_file": "x"}]},
            "exactly one of access_key_id",
        ),
        ({"encord_integrations": [INTEGRATION, INTEGRATION]}, "the same title"),
        ({"encord_integrations": [GOOGLE | {"service_account_env": "A"}]}, "one of .* and anonymous"),
        ({"encord_integrations": [GOOGLE | {"region": "eu"}]}, "encord_integrations.0.gcs.region: Extra"),
        ({"encord_integrations": [AZURE | {"account_key_env": "A"}]}, "exactly one of account_key_env"),
        ({"encord_integrations": [AZURE | {"account": "My"}]}, "encord_integrations.0.azure.account"),
        ({"encord_integrations": [TELEKOM | {"access_key_id_env": None}]}, "one of access_key_id_env"),
        ({"faults": [{"fault": "explode"}]}, "faults.0: "),
        ({"faults": [{"fault": "refuse", "status": 200}]}, "faults.0.refuse.status"),
    ],
)
def test_a_wrong_file_is_named_with_the_field(written, content, message):
    with pytest.raises(ConfigError, match=message):
        load_config(written(content))


def test_values_never_appear_in_an_error(written):
    wrong = {**INTEGRATION, "secret_access_key": "canary-secret"}
    with pytest.raises(ConfigError) as caught:
        load_config(written({"encord_integrations": [wrong]}))
    assert "canary" not in str(caught.value)


def test_a_missing_file_is_a_clear_error(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        load_config(tmp_path / "none.yaml")
