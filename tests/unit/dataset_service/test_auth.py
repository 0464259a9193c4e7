"""The gate: what passes it, what it answers, and that the application still gets its body."""

from __future__ import annotations

import json
import time

import pytest

from cloud_sync.dataset_service.auth import SignatureMiddleware
from cloud_sync.dataset_service.signatures import KeyRing, SignedRequest

from . import test_signatures
from .test_signatures import KEY, STRANGER, legacy, line

LIMIT_BYTES = 1 << 20


def signed(*arguments, **settings) -> SignedRequest:
    return test_signatures.signed(*arguments, created=int(time.time()), **settings)


class Application:
    """Remembers who came with what."""

    def __init__(self) -> None:
        self.seen: list[tuple[str | None, bytes]] = []

    async def __call__(self, scope, receive, send) -> None:
        body = (await receive())["body"]
        self.seen.append((scope.get("state", {}).get("user"), body))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"{}"})


@pytest.fixture
def application() -> Application:
    return Application()


async def pass_gate(application, request: SignedRequest, *, parts: int = 1) -> tuple[int, dict]:
    gate = SignatureMiddleware(
        application, KeyRing.from_lines([line(KEY)]), window_s=300, body_limit_bytes=LIMIT_BYTES
    )
    path, _, query = request.target.partition("?")
    scope = {
        "type": "http",
        "method": request.method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode()) for name, value in request.headers.items()],
    }
    size = max(1, len(request.body) // parts)
    chunks = [request.body[at : at + size] for at in range(0, len(request.body), size)] or [b""]
    sent = []

    async def receive():
        return {"type": "http.request", "body": chunks.pop(0), "more_body": bool(chunks)}

    async def send(message):
        sent.append(message)

    await gate(scope, receive, send)
    return sent[0]["status"], json.loads(sent[1]["body"])


async def test_a_signed_request_passes_with_its_owner_and_body(application):
    body = b"x" * 300_000
    assert (await pass_gate(application, signed(method="POST", body=body), parts=3))[0] == 200
    assert (await pass_gate(application, legacy(body=b"{}")))[0] == 200
    assert application.seen == [("engineer@example.com", body), ("engineer@example.com", b"{}")]


async def test_a_strangers_request_is_answered_in_its_own_protocol(application):
    refused = (401, {"message": "the public key is not registered."})
    assert await pass_gate(application, signed(STRANGER)) == refused
    status, answer = await pass_gate(application, legacy(STRANGER))
    assert (status, answer["status"], answer["response"]) == (200, 401, ["AUTHENTICATION_ERROR"])
    assert application.seen == []


@pytest.mark.parametrize("announce", [True, False])
async def test_a_body_over_the_limit_is_refused_before_it_is_kept(application, announce):
    request = signed(method="POST", body=b"x" * (LIMIT_BYTES + 1))
    if announce:
        request.headers["content-length"] = str(len(request.body))
    status, answer = await pass_gate(application, request, parts=4)
    assert (status, application.seen) == (413, [])
    assert "larger than 1048576 bytes" in answer["message"]


async def test_health_needs_no_signature(application):
    assert (await pass_gate(application, SignedRequest("GET", "/healthz", {}, b"")))[0] == 200
    assert application.seen == [(None, b"")]
