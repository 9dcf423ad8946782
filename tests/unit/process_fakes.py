"""A function for the tests of processes that needs nothing loaded."""

from __future__ import annotations

import os
from collections.abc import Callable

from fo_faceanon.errors import InputError


def make_double(setup: int) -> Callable[[int], int]:
    """Fails on 3, and dies of 13."""

    def double(item: int) -> int:
        if item == 13:
            os._exit(9)
        return setup * item // (item - 3)

    if setup < 0:
        raise InputError("no such setup")
    return double
