"""`manifest build` and `plan` as processes, over real servers."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.servers import LOOPBACK, running_azurite, running_gcs, running_moto

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.servers import S3Server

KEYS = ["raw/a.mp4", "raw/b c.mp4", "raw/run/f2.jpg", "raw/run/f10.jpg", "raw/\x1b[2J.txt", "other/x.mp4"]
INTEGRATION = """
name: cams
storage: {provider: s3, connection_id: aws, bucket: media, prefix: raw/, url_style: s3}
target: {connection_id: encord, dataset: Cams}
"""


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A store with the objects of `KEYS`."""
    with running_moto(tmp_path_factory.mktemp("moto"), keys_per_page=2) as server:
        client = server.client()
        client.create_bucket(Bucket="media")
        for key in KEYS:
            client.put_object(Bucket="media", Key=key, Body=b"x" * 1000)
        yield server


def environment(endpoint_url: str) -> dict[str, str]:
    """Return what a person would have exported."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "FORCE_"))}
    return {
        **own,
        "AWS_ACCESS_KEY_ID": "test-access-key",
        "AWS_SECRET_ACCESS_KEY": "test-secret-key",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": endpoint_url,
        "AWS_CONFIG_FILE": "/nowhere/config",
        "AWS_SHARED_CREDENTIALS_FILE": "/nowhere/credentials",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "cloud_sync.cli", *arguments]


def run(folder: Path, env: Mapping[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments), cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=120
    )


def test_a_manifest_of_a_real_store(s3: S3Server, tmp_path: Path) -> None:
    options = [
        "--url-style",
        "path",
        "--group-type",
        "image_group",
        "--group-by",
        "folder",
        "--quiet-for",
        "0s",
    ]
    done = run(
        tmp_path,
        environment(s3.endpoint_url),
        "manifest",
        "build",
        "s3://media/raw/",
        "-o",
        "m.json",
        *options,
    )
    assert (done.returncode, done.stdout) == (0, "m.json\n"), done.stderr
    base = f"{s3.endpoint_url}/media/raw"
    assert json.loads((tmp_path / "m.json").read_text()) == {
        "videos": [{"objectUrl": f"{base}/a.mp4"}, {"objectUrl": f"{base}/b%20c.mp4"}],
        "image_groups": [
            {
                "title": "raw/run",
                "createVideo": False,
                "objectUrl_0": f"{base}/run/f2.jpg",
                "objectUrl_1": f"{base}/run/f10.jpg",
            }
        ],
        "skip_duplicate_urls": True,
    }
    assert r"raw/\x1b[2J.txt" in done.stderr


def test_a_plan_of_a_real_store(s3: S3Server, tmp_path: Path) -> None:
    (tmp_path / "cams.yaml").write_text(INTEGRATION)
    done = run(tmp_path, environment(s3.endpoint_url), "plan", "cams.yaml")
    assert done.returncode == 0, done.stderr
    assert [line.split("\t")[:2] for line in done.stdout.splitlines()] == [
        ["register", "image"],
        ["register", "video"],
        ["skip", "other"],
    ]


@pytest.mark.parametrize(
    ("source", "extra", "said"),
    [
        ("s3://no-such-bucket", {}, "the bucket does not exist. Check the bucket's name"),
        (
            "s3://media",
            {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""},
            "no credentials could be obtained",
        ),
        ("s3://media", {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, "cannot be reached. Check --endpoint-url"),
    ],
)
@pytest.mark.timeout(180)
def test_an_error_of_the_store_is_one_line(
    s3: S3Server, tmp_path: Path, source: str, extra: dict[str, str], said: str
) -> None:
    env = environment(s3.endpoint_url) | extra
    done = run(tmp_path, env, "manifest", "build", source, "-o", "m.json", "--url-style", "s3")
    assert done.returncode == 4
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_ctrl_c_leaves_nothing_behind(tmp_path: Path) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    with socket.create_server((LOOPBACK, 0)) as silent:
        env = environment(f"http://{LOOPBACK}:{silent.getsockname()[1]}") | {"TMPDIR": str(temporary)}
        arguments = ["manifest", "build", "s3://media", "-o", "m.json", "--url-style", "s3"]
        process = subprocess.Popen(
            command(*arguments),
            cwd=tmp_path,
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # A shell starts its jobs with Ctrl-C ignored, and whoever runs these tests may be one.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 (no threads here)
        )
        silent.settimeout(60)
        connection, _ = silent.accept()
        with connection:
            assert list(temporary.iterdir())
            time.sleep(0.2)
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (130, "", "Error: interrupted.\n")
    assert not list(temporary.iterdir())
    assert not (tmp_path / "m.json").exists()


def test_a_manifest_of_a_bucket_of_google(tmp_path: Path) -> None:
    (tmp_path / "gcs").mkdir()
    with running_gcs(tmp_path / "gcs", ["media"]) as server:
        for key in ("raw/a.mp4", "raw/b c.mp4", "other/x.mp4"):
            server.client().bucket("media").blob(key).upload_from_string(b"x")
        env = environment("http://127.0.0.1:9") | {
            "STORAGE_EMULATOR_HOST": server.endpoint_url,
            "GOOGLE_APPLICATION_CREDENTIALS": "/nowhere/key.json",
        }
        done = run(tmp_path, env, "manifest", "build", "gs://media/raw/", "-o", "m.json")
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "m.json").read_text())["videos"] == [
        {"objectUrl": "gs://media/raw/a.mp4"},
        {"objectUrl": "gs://media/raw/b%20c.mp4"},
    ]


def test_a_manifest_of_a_container_of_azure(tmp_path: Path) -> None:
    (tmp_path / "azure").mkdir()
    with running_azurite(tmp_path / "azure", ["media"]) as server:
        for key in ("raw/a.mp4", "raw/b c.mp4", "other/x.mp4"):
            server.container("media").upload_blob(key, b"x")
        env = environment("http://127.0.0.1:9") | {"AZURE_STORAGE_KEY": server.key}
        options = ("-o", "m.json", "--endpoint-url", server.account_url)
        done = run(tmp_path, env, "manifest", "build", "az://media/raw/", *options)
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "m.json").read_text())["videos"] == [
        {"objectUrl": f"{server.account_url}/media/raw/a.mp4"},
        {"objectUrl": f"{server.account_url}/media/raw/b%20c.mp4"},
    ]


def test_wrong_credentials_of_azure_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "azure").mkdir()
    with running_azurite(tmp_path / "azure", ["media"]) as server:
        env = environment("http://127.0.0.1:9") | {"AZURE_STORAGE_KEY": "d3Jvbmc="}
        options = ("-o", "m.json", "--endpoint-url", server.account_url)
        done = run(tmp_path, env, "manifest", "build", "az://media/raw/", *options)
    assert done.returncode == 4
    assert "AZURE_STORAGE_KEY" in done.stderr
    assert done.stderr.count("\n") == 1
