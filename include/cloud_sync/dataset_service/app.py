"""The application: routes behind the signature gate, faults outermost, the worker beside them."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse

from cloud_sync.dataset_service import routes_legacy, routes_v2
from cloud_sync.dataset_service.auth import SignatureMiddleware, v2_refusal
from cloud_sync.dataset_service.faults import FailedFetch, FaultsMiddleware
from cloud_sync.dataset_service.refusals import InvalidRequest, Refusal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.types import ASGIApp

    from cloud_sync.dataset_service.service import Service


def create_app(service: Service) -> ASGIApp:
    """Return the ASGI application of a service; its lifespan starts the worker and closes the service.

    Raises:
        ConfigError: No public key is registered, or one is wrong.
    """
    config = service.config
    app = FastAPI(title="Encord dataset service", openapi_url=None, lifespan=_lifespan)
    app.state.service = service
    app.include_router(routes_v2.router)
    app.include_router(routes_legacy.router)
    app.add_api_route("/healthz", _healthz)
    app.add_exception_handler(Refusal, _refused)
    app.add_exception_handler(RequestValidationError, _not_valid)
    gate = SignatureMiddleware(
        app,
        config.key_ring(),
        window_s=config.signature_window_s,
        body_limit_bytes=config.limits.request_bytes,
    )
    faults = [rule for rule in config.faults if not isinstance(rule, FailedFetch)]
    return FaultsMiddleware(gate, faults) if faults else gate


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    service: Service = app.state.service
    service.worker.start()
    try:
        yield
    finally:
        service.close()


async def _healthz() -> dict[str, str]:
    """Tell that the service answers; needs no signature."""
    return {"status": "ok"}


async def _refused(_request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, Refusal):
        raise error
    return v2_refusal(error)


async def _not_valid(_request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, RequestValidationError):
        raise error
    problem = error.errors()[0]
    place = ".".join(str(part) for part in problem["loc"])
    return v2_refusal(InvalidRequest(f"{problem['msg']}.", where=place))
