"""Running a generator of steps as an operator: progress while it works, and its result at the end."""

from __future__ import annotations

import time

from . import _forms


def run(ctx, steps, noun, finish):
    """Yields the App's messages: progress at most twice a second, then what ``finish`` makes of the result.

    Args:
        ctx: of the operator.
        steps: a generator whose items are ``(done, total)``, or have these as attributes, and which returns a result.
        noun: what is counted.
        finish: takes the result; gives the last words of the progress, and the output of :meth:`resolve_output` with its values.
    """
    yield _forms.show_progress(ctx, 0.0, "Starting: loading what it takes")  # seconds, in which nothing else would show
    shown = 0.0
    while True:
        try:
            step = next(steps)
        except StopIteration as stop:
            result = stop.value
            break
        done, total = step if isinstance(step, tuple) else (step.done, step.total)
        if time.monotonic() - shown > 0.5:
            shown = time.monotonic()
            yield _forms.show_progress(ctx, done / max(total, 1), f"{done} of {total} {noun}")
    words, schema, values = finish(result)
    yield _forms.show_progress(ctx, 1.0, words)
    if not ctx.delegated:
        yield ctx.ops.reload_dataset()
        yield _forms.show_output(ctx, schema, values)


def at_once(function):
    """What has no steps worth showing, as a generator of steps."""
    return function()
    yield
