"""The legacy protocol: one address, a query type and a method in the body, a dataset in the headers."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, TypeVar
from uuid import UUID

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ValidationError
from starlette.concurrency import run_in_threadpool

from cloud_sync.dataset_service import datasets, jobs, leaving
from cloud_sync.dataset_service.auth import legacy_refusal
from cloud_sync.dataset_service.refusals import InvalidRequest, Refusal
from cloud_sync.dataset_service.service import Service, service_of, user_of
from cloud_sync.dataset_service.wire import (
    DataRowFilter,
    LegacyRequest,
    LegacyValues,
    LinkItems,
    PollDatasetJob,
    StartDatasetJob,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

router = APIRouter()

TheService = Annotated[Service, Depends(service_of)]
User = Annotated[str, Depends(user_of)]
Payload = TypeVar("Payload", bound=BaseModel)


class Call:
    """One legacy call: who, on which dataset, with what."""

    def __init__(self, service: Service, user: str, headers: Mapping[str, str], values: LegacyValues) -> None:
        self.service = service
        self.user = user
        self.uid = values.uid
        self._headers = headers
        self._payload = values.payload

    @property
    def dataset_uuid(self) -> UUID:
        """The dataset in the headers, which the signature does not cover: its owner is checked."""
        try:
            return UUID(self._headers.get("resourceid", ""))
        except ValueError as error:
            raise InvalidRequest("The ResourceID header names no dataset.") from error

    def payload(self, model: type[Payload]) -> Payload:
        """Return the arguments."""
        try:
            return model.model_validate(self._payload or {})
        except ValidationError as error:
            raise InvalidRequest(f"The arguments are not those of {model.__name__}.") from error


class _DatasetPayload(BaseModel):
    dataset_access_settings: dict[str, bool] = {}


@router.post("/public")
@router.post("/public/user")
async def legacy(service: TheService, user: User, request: Request) -> JSONResponse:
    """Answer a legacy call: always HTTP 200, the outcome stands inside."""
    body = await request.body()
    try:
        asked = await run_in_threadpool(_read_envelope, body)
        handler = HANDLERS.get((asked.query_type, asked.query_method))
        if handler is None:
            raise InvalidRequest(f"{asked.query_method} {asked.query_type} is not supported here.")
        response = await handler(Call(service, user, request.headers, asked.values))
    except Refusal as refusal:
        return legacy_refusal(refusal)
    return JSONResponse({"status": 200, "response": response})


async def _get_dataset(call: Call) -> Any:
    asked = call.payload(_DatasetPayload)
    with_settings = partial(datasets.dataset_answer, settings=asked.dataset_access_settings)
    return await run_in_threadpool(_reading, call, with_settings)


async def _get_data_rows(call: Call) -> Any:
    asked = call.payload(DataRowFilter)
    return await run_in_threadpool(_reading, call, partial(datasets.data_rows, asked=asked))


async def _link_items(call: Call) -> Any:
    asked = call.payload(LinkItems)
    return await run_in_threadpool(_writing, call, partial(datasets.link_items, asked=asked))


async def _delete_data_rows(call: Call) -> Any:
    hashes = leaving.data_hashes(call.uid)
    return await run_in_threadpool(_writing, call, partial(leaving.delete_data_rows, hashes=hashes))


async def _start_job(call: Call) -> Any:
    asked = await run_in_threadpool(call.payload, StartDatasetJob)
    start = partial(
        jobs.start_dataset_job,
        asked=asked,
        limits=call.service.config.limits,
        integrations=call.service.readers.keys(),
    )
    job_uuid = await run_in_threadpool(_writing, call, start)
    call.service.worker.wake()
    return {"process_hash": str(job_uuid)}


async def _poll_job(call: Call) -> Any:
    asked = call.payload(PollDatasetJob)

    def read() -> Any:
        with call.service.database.reading() as session:
            return jobs.dataset_job_state(session, call.user, asked.process_hash, call.dataset_uuid)

    state = await call.service.held(asked.process_hash, asked.timeout_seconds, read)
    return state.model_dump(mode="json", by_alias=True)


HANDLERS: Mapping[tuple[str, str], Callable[[Call], Awaitable[Any]]] = {
    ("dataset", "GET"): _get_dataset,
    ("datarows", "GET"): _get_data_rows,
    ("datasetlinkitems", "POST"): _link_items,
    # The SDK's word for a data row of whatever type.
    ("video", "DELETE"): _delete_data_rows,
    ("datasetdatalongpolling", "POST"): _start_job,
    ("datasetdatalongpolling", "GET"): _poll_job,
}


def _read_envelope(body: bytes) -> LegacyRequest:
    try:
        return LegacyRequest.model_validate_json(body)
    except ValidationError as error:
        raise InvalidRequest("The request is not one of the legacy protocol.") from error


def _reading(call: Call, work: Callable[..., Any]) -> Any:
    with call.service.database.reading() as session:
        return work(session, call.user, call.dataset_uuid)


def _writing(call: Call, work: Callable[..., Any]) -> Any:
    with call.service.database.writing() as session:
        return work(session, call.user, call.dataset_uuid)
