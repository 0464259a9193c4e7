"""What to do about registered objects that are not as they were, as the integration file sets it."""

from __future__ import annotations

from typing import Literal

from cloud_sync.integration.fields import Section


class Changes(Section):
    """What a run does about registered objects that are gone, have another key, or have changed. The plan
    reports them."""

    removed: Literal["report", "unlink"] = "report"
    """unlink: items whose objects are gone from the storage leave the dataset, and with them their labels in
    its projects. Nothing is deleted: the items stay in a storage folder, from which a person can put them
    back. Needs a limit in approval.removed_count or approval.removed_share."""
    moved: Literal["report", "register"] = "report"
    """register: an object that holds what is registered under a key that is gone becomes an item of its own,
    without the labels of the old one."""
    changed: Literal["report", "register_again"] = "report"
    """register_again: an item whose objects were written again is registered anew; the old item leaves the
    dataset, and with it its labels in its projects. It is kept in a storage folder. Needs a limit in
    approval.changed_count or approval.changed_share."""

    @property
    def unlinks(self) -> bool:
        """Whether items may have to leave the dataset."""
        return self.removed == "unlink" or self.changed == "register_again"
