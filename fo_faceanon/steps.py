"""Long work as generators: one item per step, the result as the return value."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, TypeVar

Step = TypeVar("Step")
Result = TypeVar("Result")


def drain(steps: Generator[Step, None, Result], seen: Callable[[Step], Any] | None = None) -> Result:
    """Runs to the end and returns the result; ``seen`` is called with every step."""
    while True:
        try:
            step = next(steps)
        except StopIteration as stop:
            return stop.value
        if seen is not None:
            seen(step)
