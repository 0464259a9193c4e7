"""The gate: reads each request whole and lets it pass only with a valid signature."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse

from cloud_sync.dataset_service.refusals import NotAuthenticated, Refusal, TooLarge
from cloud_sync.dataset_service.signatures import KeyRing, NotSignedError, SignedRequest

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

LEGACY_PATHS = ("/public", "/public/user")
OPEN_PATHS = ("/healthz",)
# Hashing more than this would keep the event loop from its other requests.
LARGE_BODY_BYTES = 1 << 18


class SignatureMiddleware:
    """Puts the caller's email into `scope["state"]["user"]`, or answers 401 or 413."""

    def __init__(self, app: ASGIApp, keys: KeyRing, *, window_s: int, body_limit_bytes: int) -> None:
        self._app = app
        self._keys = keys
        self._window_s = window_s
        self._body_limit_bytes = body_limit_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check an HTTP request; everything else passes."""
        if scope["type"] != "http" or scope["path"] in OPEN_PATHS:
            await self._app(scope, receive, send)
            return
        legacy = scope["path"] in LEGACY_PATHS
        try:
            body = await self._read(scope, receive)
            user = await self._verify(scope, body, legacy=legacy)
        except Refusal as refusal:
            answer = (
                legacy_refusal(refusal)
                if legacy and refusal.status != TooLarge.status
                else v2_refusal(refusal)
            )
            await answer(scope, receive, send)
            return
        scope.setdefault("state", {})["user"] = user
        await self._app(scope, _Replay(body, receive), send)

    async def _read(self, scope: Scope, receive: Receive) -> bytes:
        announced = dict(scope["headers"]).get(b"content-length", b"0")
        parts: list[bytes] = []
        size_bytes = int(announced) if announced.isdigit() else 0
        if size_bytes <= self._body_limit_bytes:
            size_bytes, more = 0, True
            while more and size_bytes <= self._body_limit_bytes:
                message = await receive()
                parts.append(message.get("body", b""))
                size_bytes += len(parts[-1])
                more = message.get("more_body", False)
        if size_bytes > self._body_limit_bytes:
            raise TooLarge(f"The request is larger than {self._body_limit_bytes} bytes.", remedy="Split it.")
        return b"".join(parts)

    async def _verify(self, scope: Scope, body: bytes, *, legacy: bool) -> str:
        query = scope["query_string"]
        target = scope["raw_path"] + (b"?" + query if query else b"")
        headers = {
            name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]
        }
        request = SignedRequest(scope["method"], target.decode("latin-1"), headers, body)
        try:
            if len(body) > LARGE_BODY_BYTES:
                return await run_in_threadpool(self._user, request, legacy=legacy)
            return self._user(request, legacy=legacy)
        except NotSignedError as error:
            raise NotAuthenticated(error.message, remedy=error.remedy) from error

    def _user(self, request: SignedRequest, *, legacy: bool) -> str:
        if legacy:
            return self._keys.verify_legacy(request)
        return self._keys.verify(request, now_s=time.time(), window_s=self._window_s)


class _Replay:
    """Gives the application the body that was read already, then what really comes next."""

    def __init__(self, body: bytes, receive: Receive) -> None:
        self._body: bytes | None = body
        self._receive = receive

    async def __call__(self) -> Message:
        if self._body is None:
            return await self._receive()
        body, self._body = self._body, None
        return {"type": "http.request", "body": body, "more_body": False}


def v2_refusal(refusal: Refusal) -> JSONResponse:
    """Answer as the v2 protocol does."""
    return JSONResponse({"message": str(refusal)}, status_code=refusal.status)


def legacy_refusal(refusal: Refusal) -> JSONResponse:
    """Answer as the legacy protocol does: HTTP 200, with the status and a word inside."""
    return JSONResponse(
        {"status": refusal.status, "response": [refusal.legacy_code], "payload": str(refusal)}
    )
