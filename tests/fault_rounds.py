"""How often a test with chance in it is run: FAULT_ROUNDS times, each time with another seed.

FAULT_SEED is the first seed. A test's name ends with its seed: run it again with FAULT_SEED=<seed>
FAULT_ROUNDS=1.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

FIRST_SEED = int(os.environ.get("FAULT_SEED", "1"))
SEEDS = range(FIRST_SEED, FIRST_SEED + int(os.environ.get("FAULT_ROUNDS", "1")))


def once_a_seed(metafunc: pytest.Metafunc) -> None:
    """Run each test that takes a seed once for each round; called by `pytest_generate_tests`."""
    if "seed" in metafunc.fixturenames:
        metafunc.parametrize("seed", SEEDS, ids=[f"seed={seed}" for seed in SEEDS])
