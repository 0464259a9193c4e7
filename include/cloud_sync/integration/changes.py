"""What to do about registered objects that are not as they were, as the integration file sets it."""

from __future__ import annotations

from typing import Literal

from cloud_sync.integration.fields import Section


class Changes(Section):
    """What a run does about registered objects that are gone or have another key. The plan reports them."""

    removed: Literal["report", "unlink"] = "report"
    """unlink: items whose objects are gone from the storage leave the dataset, and with them their labels in
    its projects. Nothing is deleted: the items stay in a storage folder, from which a person can put them
    back. Needs a limit in approval.removed_count or approval.removed_share."""
    moved: Literal["report", "register"] = "report"
    """register: an object that holds what is registered under a key that is gone becomes an item of its own,
    without the labels of the old one."""
