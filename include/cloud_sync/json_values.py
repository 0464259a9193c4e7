"""What JSON cannot say of values that Python takes for JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping


def is_finite(value: object) -> bool:
    """Tell whether no number inside a JSON value is NaN or infinite, which encoders write as null.

    Not by recursion: a value may be nested as deeply as its reader allows.
    """
    todo = [value]
    while todo:
        one = todo.pop()
        if isinstance(one, Mapping):
            todo += one.values()
        elif isinstance(one, list | tuple):
            todo += one
        elif isinstance(one, float) and not math.isfinite(one):
            return False
    return True
