"""Stores that one test runs against in turn, each with its provider's own client to judge ours by."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any, Protocol

from cloud_sync.objects.gcs import open_gcs
from cloud_sync.objects.otc import otc_endpoint
from cloud_sync.objects.stores import open_s3

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from cloud_sync.objects.model import ObjectStore
    from tests.servers import GcsServer, S3Server

NUMBERS = count()
FILLED: dict[tuple[str, frozenset[tuple[str, bytes]]], str] = {}
"""Buckets that have been filled, by server and content: tests only read."""
OTC_REGION = "eu-de"


class Backend(Protocol):
    """A store that keeps keys as they are and gives small pages."""

    @property
    def server(self) -> Any:
        """The server."""

    @property
    def refused_keys(self) -> frozenset[str]:
        """Keys that the real store can hold, and this server cannot."""

    def fill(self, bucket: str, contents: Mapping[str, bytes]) -> None:
        """Make a bucket and put objects into it."""

    def opened(self, bucket: str) -> ObjectStore:
        """Return a bucket as we open it."""

    def entries(self, bucket: str, prefix: str) -> Iterator[tuple[Any, ...]]:
        """Yield what the provider's own client lists: key, size, time and etag of each object."""


def bucket_with(backend: Backend, contents: Mapping[str, bytes]) -> str:
    """Return the name of a bucket that has these objects and no others."""
    known = (backend.server.endpoint_url, frozenset(contents.items()))
    if known not in FILLED:
        FILLED[known] = f"bucket-{next(NUMBERS)}"
        backend.fill(FILLED[known], contents)
    return FILLED[known]


def as_its_client_lists(backend: Backend, bucket: str, prefix: str) -> list[tuple[Any, ...]]:
    """Return the objects of a bucket, folder markers left out, in the order of their keys' bytes."""
    kept = (entry for entry in backend.entries(bucket, prefix) if entry[1] or not entry[0].endswith("/"))
    return sorted(kept, key=lambda entry: entry[0].encode())


@dataclass(frozen=True)
class S3Backend:
    """Moto, addressed as AWS S3 or as Open Telekom Cloud is: with the bucket in the host's name."""

    server: S3Server
    is_otc: bool = False

    @property
    def refused_keys(self) -> frozenset[str]:
        """Its web framework knows no line breaks, and takes one of two leading slashes away."""
        return frozenset({"raw/cam1/line\n.jpg", *(("/lead.jpg", "//") if self.is_otc else ())})

    def fill(self, bucket: str, contents: Mapping[str, bytes]) -> None:
        """Fill with boto3."""
        client = self.server.client()
        client.create_bucket(Bucket=bucket)
        for key, body in contents.items():
            client.put_object(Bucket=bucket, Key=key, Body=body)

    def opened(self, bucket: str) -> ObjectStore:
        """Open with keys."""
        port = self.server.endpoint_url.rsplit(":", 1)[1]
        otc_url = otc_endpoint(OTC_REGION).replace("https", "http") + f":{port}"
        return open_s3(
            bucket,
            endpoint_url=otc_url if self.is_otc else self.server.endpoint_url,
            region=OTC_REGION if self.is_otc else "us-east-1",
            access_key_id=self.server.access_key_id,
            secret_access_key=self.server.secret_access_key,
            virtual_hosted=self.is_otc,
        )

    def entries(self, bucket: str, prefix: str) -> Iterator[tuple[Any, ...]]:
        """List with boto3."""
        pages = self.server.client().get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        for page in pages:
            for entry in page.get("Contents", ()):
                yield entry["Key"], entry["Size"], entry["LastModified"], entry["ETag"].strip('"')


@dataclass(frozen=True)
class GcsBackend:
    """fake-gcs-server in memory."""

    server: GcsServer
    refused_keys: frozenset[str] = frozenset()

    def fill(self, bucket: str, contents: Mapping[str, bytes]) -> None:
        """Fill with google-cloud-storage."""
        made = self.server.client().create_bucket(bucket)
        for key, body in contents.items():
            made.blob(key).upload_from_string(body)

    def opened(self, bucket: str) -> ObjectStore:
        """Open with a token."""
        return open_gcs(bucket, credentials=self.server.credentials(), endpoint_url=self.server.endpoint_url)

    def entries(self, bucket: str, prefix: str) -> Iterator[tuple[Any, ...]]:
        """List with google-cloud-storage."""
        for blob in self.server.client().list_blobs(bucket, prefix=prefix):
            yield blob.name, blob.size, blob.time_created, blob.md5_hash
