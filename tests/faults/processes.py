"""Stages in processes of their own, to be killed at any moment.

The processes are forked from one that has imported everything, so that a kill a tenth of a second after the
start hits the stage and not its imports.
"""

from __future__ import annotations

import multiprocessing
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from tests.faults.sync import Sync

PRELOADED = [
    "tests.faults.sync",
    "encord",
    "encord.user_client",
    "encord.orm.storage",
    "duckdb",
    "pandas",
    "boto3",
]
START_S = 60
END_S = 120

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(PRELOADED)


class StageProcess:
    """A process that runs stages of a sync as Airflow would, with retries.

    Args:
        sync: The run.
        stages: What it runs.
    """

    def __init__(self, sync: Sync, *stages: str) -> None:
        mine, theirs = CONTEXT.Pipe(duplex=False)
        self._process: Any = CONTEXT.Process(target=_work, args=(sync, stages, theirs), daemon=True)
        self._process.start()
        theirs.close()
        assert mine.poll(START_S), "the process did not begin"
        mine.recv()
        mine.close()
        self.began_at = time.monotonic()

    def wait(self, after_s: float) -> None:
        """Wait until so long after it began, or for its end."""
        self._process.join(max(0.0, self.began_at + after_s - time.monotonic()))

    def kill(self, after_s: float) -> bool:
        """Kill it so long after it began; False if it had ended before."""
        self.wait(after_s)
        self._process.kill()
        self._process.join()
        return bool(self._process.exitcode != 0)

    def finish(self) -> float:
        """Wait for its end, which must be a good one; return how long it took, in seconds."""
        self._process.join(END_S)
        assert self._process.exitcode == 0, f"ended with {self._process.exitcode}"
        return time.monotonic() - self.began_at


def _work(sync: Sync, stages: tuple[str, ...], began: Connection) -> None:
    began.send(True)
    began.close()
    sync.run_with_tries(*stages)
