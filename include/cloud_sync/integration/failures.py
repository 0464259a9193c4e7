"""What an integration file says about failures: when they fail a run, and how far each is looked into."""

from __future__ import annotations

from pydantic import Field

from cloud_sync.integration.fields import Section, Share

MOST_REQUESTS = 10_000_000


class Failures(Section):
    """When failures fail the run. A run of whose items none could be registered always fails."""

    fail_at_count: int | None = Field(default=None, ge=1, strict=True)
    """The run fails when so many of the items that it sent failed. Left out: the number does not count."""
    fail_at_share: Share = 0.5
    """The run fails when this share of the items that it sent failed: `50%` or 0.5. With 100% it fails only
    when nothing was registered."""
    diagnosis_requests: int = Field(default=20_000, ge=0, le=MOST_REQUESTS, strict=True)
    """Requests to the store that a run may make to find out what is wrong with failed files, each time it
    looks: before each retry round, and at its end. Files that are left over are tried again by the next
    run."""
