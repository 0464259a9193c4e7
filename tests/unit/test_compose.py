"""docker-compose.yaml and the Dockerfile agree with Compose, Airflow, the pins and the repository."""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
import subprocess
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography.fernet import Fernet

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
HOME_IN_THE_IMAGE = "/opt/airflow/"
SETTING = re.compile(r"\bAIRFLOW__([A-Z0-9_]+?)__([A-Z0-9_]+)\b")
NOT_AIRFLOW = {"postgres", "redis"}
SECRETS = {
    "AIRFLOW_FERNET_KEY": Fernet.generate_key().decode(),
    "AIRFLOW_JWT_SECRET": "canary-jwt",
    "AIRFLOW_SECRET_KEY": "canary-secret-key",
    "POSTGRES_PASSWORD": "canarypostgres",
    "REDIS_PASSWORD": "canaryredis",
    "AIRFLOW_ADMIN_PASSWORD": "canary-admin",
}


def compose(settings: dict[str, str], *arguments: str, env_file: Path) -> subprocess.CompletedProcess[str]:
    """Run the real Compose binary. (The `docker-compose` script beside Python drops its exit code.)"""
    spec = importlib.util.find_spec("compose")
    assert spec is not None
    assert spec.origin is not None
    env_file.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    command = [str(Path(spec.origin).with_name("docker-compose")), "--project-directory", str(ROOT)]
    command += ["--file", str(ROOT / "docker-compose.yaml"), "--env-file", str(env_file), *arguments]
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(env_file.parent)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The services as Compose understands them, profile demo included."""
    env_file = tmp_path_factory.mktemp("compose") / "env"
    arguments = ["--profile", "demo", "config", "--format", "json"]
    done = compose(SECRETS, *arguments, env_file=env_file)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)["services"]
    return found


def airflow_commands(services: dict[str, Any]) -> Iterator[tuple[str, list[str]]]:
    """Give (service, arguments after `airflow`) for every Airflow command: to run, to check, to set up."""
    for name, service in services.items():
        if name in NOT_AIRFLOW:
            continue
        command = service.get("command") or []
        if not service.get("entrypoint") and command[0] != "bash":
            yield name, command
        scripts = [command[-1]] if command[0] == "bash" else []
        check = service.get("healthcheck", {}).get("test", [])
        scripts += [check[1]] if check[:1] == ["CMD-SHELL"] else []
        for line in "\n".join(scripts).splitlines():
            words = shlex.split(line)
            if words and words[0] == "airflow":
                yield name, words[1:]


def test_compose_accepts_the_file_with_and_without_the_demo(tmp_path: Path) -> None:
    for profile in ([], ["--profile", "demo"]):
        done = compose(SECRETS, *profile, "config", "--quiet", env_file=tmp_path / "env")
        assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("missing", SECRETS)
def test_compose_refuses_to_start_without_a_secret_and_says_how_to_make_it(
    tmp_path: Path, missing: str
) -> None:
    settings = {name: value for name, value in SECRETS.items() if name != missing}

    done = compose(settings, "config", "--quiet", env_file=tmp_path / "env")

    assert done.returncode != 0
    assert f"required variable {missing} is missing a value: " in done.stderr
    assert re.search(r"missing a value: (make one with \"openssl rand |choose the password)", done.stderr)


def test_the_example_env_file_lists_every_variable_and_sets_no_secret(tmp_path: Path) -> None:
    example = (ROOT / ".env.example").read_text()
    used = set(re.findall(r"(?<!\$)\$\{([A-Z_]+)", (ROOT / "docker-compose.yaml").read_text()))
    passed_through = {"AIRFLOW_CONN_ENCORD_DEFAULT", "AIRFLOW_CONN_AWS_DEFAULT", "AIRFLOW_CONN_STATE"}

    assert set(re.findall(r"^#?([A-Z_]+)=", example, re.MULTILINE)) == used | passed_through
    assert set(re.findall(r"^([A-Z_]+)=$", example, re.MULTILINE)) == set(SECRETS)
    assert not re.search(r"^[A-Z_]+=.+", example, re.MULTILINE)


def test_the_command_that_the_message_gives_makes_a_fernet_key() -> None:
    text = (ROOT / "docker-compose.yaml").read_text()
    command = re.search(r'AIRFLOW_FERNET_KEY:\?make one with "(.+?)"', text)
    assert command

    made = subprocess.run(
        ["/bin/sh", "-c", command[1]], capture_output=True, text=True, check=True
    ).stdout.strip()

    Fernet(made)


def test_a_connection_in_the_env_file_reaches_airflow_as_it_is(tmp_path: Path) -> None:
    connection = json.dumps({"conn_type": "encord", "password": "-----BEGIN-----\nabc\n-----END-----\n"})
    settings = {**SECRETS, "AIRFLOW_CONN_ENCORD_DEFAULT": f"'{connection}'"}

    done = compose(settings, "config", "--format", "json", env_file=tmp_path / "env")

    environment = json.loads(done.stdout)["services"]["airflow-worker"]["environment"]
    assert json.loads(environment["AIRFLOW_CONN_ENCORD_DEFAULT"]) == json.loads(connection)
    assert environment["AIRFLOW_CONN_AWS_DEFAULT"] is None


def test_no_secret_stands_in_a_command_or_in_the_parts_that_need_none(services: dict[str, Any]) -> None:
    for name, service in services.items():
        shown = json.dumps({key: value for key, value in service.items() if key != "environment"})
        assert not [secret for secret in SECRETS.values() if secret in shown], name
    assert "environment" not in services["demo-object-store"]
    assert "environment" not in services["demo-dataset-service"]


def test_only_the_ui_is_published_and_only_on_loopback(services: dict[str, Any]) -> None:
    published = {
        name: [(port.get("host_ip"), port["target"]) for port in service["ports"]]
        for name, service in services.items()
        if "ports" in service
    }

    assert published == {"airflow-api-server": [("127.0.0.1", 8080)]}


def test_what_is_mounted_and_copied_exists(services: dict[str, Any]) -> None:
    mounts = [m for service in services.values() for m in service.get("volumes", []) if m["type"] == "bind"]
    copied = [
        source
        for line in re.findall(r"^COPY --chown=airflow:0 (.+)$", DOCKERFILE, re.MULTILINE)
        for source in line.split()[:-1]
    ]

    assert {Path(m["source"]).relative_to(ROOT).as_posix() for m in mounts} == {"dags", "include", "plugins"}
    assert all(m["target"] == HOME_IN_THE_IMAGE + Path(m["source"]).name and m["read_only"] for m in mounts)
    assert {"requirements.txt", "pyproject.toml", "dags", "include", "plugins", "demo"} <= set(copied)
    assert [source for source in copied if not (ROOT / source).exists()] == []


def test_docker_sees_what_the_dockerfile_copies_and_nothing_else() -> None:
    copied = re.findall(r"^COPY --chown=airflow:0 (.+)$", DOCKERFILE, re.MULTILINE)
    ignore = (ROOT / ".dockerignore").read_text().split()

    assert ignore[ignore.index("*")] == "*"
    assert {line.strip("!/") for line in ignore if line.startswith("!")} == {
        source for line in copied for source in line.split()[:-1]
    }


def test_every_airflow_service_shares_state_and_logs(services: dict[str, Any]) -> None:
    for name, service in services.items():
        if name.startswith("airflow-"):
            targets = {mount["target"] for mount in service["volumes"]}
            assert {"/opt/airflow/state", "/opt/airflow/logs"} <= targets, name
            assert service["image"] == services["airflow-init"]["image"]
    assert "AIRFLOW__CLOUD_SYNC__STATE_FOLDER=/opt/airflow/state" in DOCKERFILE
    assert (
        "mkdir -p state/manifests state/tables logs" in DOCKERFILE
    )  # owned by the image's user, as the new volumes will be


def test_every_airflow_command_parses(services: dict[str, Any]) -> None:
    from airflow.cli.cli_parser import get_parser

    commands = list(airflow_commands(services))

    assert {name for name, _ in commands} == {name for name in services if name.startswith("airflow-")}
    for _, arguments in commands:
        assert callable(get_parser().parse_args(arguments).func)
    assert ("airflow-init", ["db", "migrate"]) in commands
    assert ("airflow-worker", ["celery", "worker"]) in commands


@cache
def known_settings() -> dict[str, dict[str, Any]]:
    """Every configuration option of the installed Airflow, its providers and this project."""
    from airflow.configuration import retrieve_configuration_description

    description = retrieve_configuration_description(include_airflow=True, include_providers=True)
    return {section: content["options"] for section, content in description.items()}


def test_every_setting_exists(services: dict[str, Any]) -> None:
    settings = {setting for service in services.values() for setting in service.get("environment", {})}
    found = {match.groups() for match in SETTING.finditer(" ".join(settings) + DOCKERFILE)}

    assert ("CORE", "FERNET_KEY") in found
    assert ("WORKERS", "MIN_HEARTBEAT_INTERVAL") in found
    assert ("CLOUD_SYNC", "STATE_FOLDER") in found
    missing = [pair for pair in found if pair[1].lower() not in known_settings().get(pair[0].lower(), {})]
    assert missing == []


def test_every_service_that_stays_is_checked_and_restarted(services: dict[str, Any]) -> None:
    once = {"airflow-init", "demo-secrets", "demo-seed"}

    assert once < set(services)
    for name, service in services.items():
        assert ("healthcheck" in service) == (name not in once), name
        assert service.get("restart") == (None if name in once else "unless-stopped"), name


def test_the_health_checks_ask_the_right_place(services: dict[str, Any]) -> None:
    from airflow.api_fastapi.core_api.routes.public import public_router

    def url(name: str) -> str:
        return next(word for word in services[name]["healthcheck"]["test"] if word.startswith("http"))

    port = known_settings()["scheduler"]["scheduler_health_check_server_port"]["default"]
    assert url("airflow-scheduler") == f"http://localhost:{port}/health"
    api_port = known_settings()["api"]["port"]["default"]
    api_paths = {f"http://localhost:{api_port}{route.path}" for route in public_router.routes}
    assert url("airflow-api-server") in api_paths
    assert url("demo-object-store") == "http://localhost:8333/status"
    serve = services["demo-dataset-service"]["command"]
    assert url("demo-dataset-service") == f"http://localhost:{serve[serve.index('--port') + 1]}/healthz"


def test_the_worker_is_asked_through_its_celery_app(services: dict[str, Any]) -> None:
    import importlib

    import celery

    words = shlex.split(services["airflow-worker"]["healthcheck"]["test"][1])
    module, name = words[words.index("--app") + 1].rsplit(".", 1)

    assert isinstance(getattr(importlib.import_module(module), name), celery.Celery)
    assert words[-2:] == ["--destination", "celery@$${HOSTNAME}"]


def test_the_image_has_the_pinned_airflow_and_the_supported_python() -> None:
    pins = (ROOT / "requirements.txt").read_text()
    airflow = re.search(r"^apache-airflow==(\S+)", pins, re.MULTILINE)
    assert airflow

    bases = re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)

    assert bases == [f"apache/airflow:slim-{airflow[1]}-python3.11", "runtime"]


def test_the_images_carry_the_version_of_the_project(services: dict[str, Any]) -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]

    own = {service["image"] for name, service in services.items() if name not in NOT_AIRFLOW}

    assert own == {f"encord-cloud-sync:{version}", f"encord-cloud-sync-demo:{version}"}
    assert f"--tag encord-cloud-sync:{version} ." in DOCKERFILE


def test_images_that_are_built_here_are_looked_for_in_no_registry_unless_asked(tmp_path: Path) -> None:
    for settings, expected in (
        (SECRETS, "never"),
        ({**SECRETS, "CLOUD_SYNC_PULL_POLICY": "missing"}, "missing"),
    ):
        arguments = ["--profile", "demo", "config", "--format", "json"]
        done = compose(settings, *arguments, env_file=tmp_path / "env")
        services = json.loads(done.stdout)["services"]
        policies = {name: service.get("pull_policy") for name, service in services.items()}
        own = {policy for name, policy in policies.items() if name not in NOT_AIRFLOW}
        assert (own, policies["postgres"], policies["redis"]) == ({expected}, None, None)


def test_the_demo_services_are_where_their_configuration_says(services: dict[str, Any]) -> None:
    from cloud_sync.dataset_service.config import load_config
    from deploy import demo_stack

    serve = services["demo-dataset-service"]["command"]
    config = load_config(ROOT / serve[serve.index("--config") + 1])
    (integration,) = config.encord_integrations
    demo = yaml.safe_load((ROOT / "include/integrations/demo.yaml").read_text())

    assert integration.endpoint == demo_stack.OBJECT_STORE_URL
    assert demo_stack.OBJECT_STORE_URL.removeprefix("http://").split(":")[0] in services
    assert demo_stack.DATASET_SERVICE_URL.removeprefix("http://").split(":")[0] in services
    assert integration.title == demo["target"]["encord_integration"] == demo_stack.ENCORD_INTEGRATION
    assert integration.buckets == [demo["storage"]["bucket"]] == [demo_stack.BUCKET]
    assert demo["target"]["dataset"] == demo_stack.DATASET
    folder = Path(services["demo-secrets"]["command"][1])
    assert services["demo-seed"]["command"][1] == str(folder)
    assert Path(services["demo-object-store"]["command"][1]) / "secrets" == folder
    files = demo_stack.SecretFiles(folder)
    assert config.public_key_files == [files.encord_key.with_suffix(".pub")]
    assert integration.access_key_id_file == files.s3_access_key_id
    assert integration.secret_access_key_file == files.s3_secret_access_key
