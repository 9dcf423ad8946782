"""One function over many items, on several processes: results in the order of the items, failures as values.

Plain subprocesses that talk over pipes, for the reasons given in `engine.pool`; every process computes on one thread, and so does
the caller's own where there is but one worker, so that results do not depend on how many there are.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

from fo_faceanon.errors import FaceAnonError

Item = TypeVar("Item")
Result = TypeVar("Result")
Setup = TypeVar("Setup")
#: Builds the function from its setup, once per process; both must be importable by name.
Make = Callable[[Setup], Callable[[Item], Result]]


class Died(Exception):
    """The process that worked on an item ended, twice: most likely for lack of memory."""


def map_processes(make: Make[Setup, Item, Result], setup: Setup, items: Sequence[Item], workers: int) -> Iterator[Result | Exception]:
    """``make(setup)(item)`` for every item, in order; the exception where one was raised.

    Args:
        make: a function of a module, called once in every process.
        setup: its argument; picklable.
        items: picklable.
        workers: processes; 1 works in the caller's own.

    Raises:
        FaceAnonError: what ``make`` raised, or that processes die while they start.
    """
    if min(workers, len(items)) <= 1:
        yield from _here(make, setup, items)
        return
    pool = _Pool(make, setup, items)
    try:
        yield from pool.run(min(workers, len(items)))
    finally:
        pool.stop()


def _here(make: Make[Setup, Item, Result], setup: Setup, items: Sequence[Item]) -> Iterator[Result | Exception]:
    if not items:
        return
    from fo_faceanon.devices import one_thread  # loads torch, which a worker need not

    with one_thread():
        function = make(setup)
    for item in items:
        with one_thread():
            result = _attempt(function, item)
        yield result


def _attempt(function: Callable[[Item], Result], item: Item) -> Result | Exception:
    try:
        return function(item)
    except Exception as error:
        return error


class _Pool(Generic[Setup, Item, Result]):
    """A thread for each process hands it one item at a time."""

    def __init__(self, make: Make[Setup, Item, Result], setup: Setup, items: Sequence[Item]) -> None:
        self.start = pickle.dumps((make, setup), pickle.HIGHEST_PROTOCOL)
        self.items = items
        self.numbers = iter(range(len(items)))
        self.lock = threading.Lock()
        self.results: SimpleQueue[tuple[int | None, Any]] = SimpleQueue()
        self.processes: list[subprocess.Popen[bytes]] = []
        self.stopped = False

    def run(self, workers: int) -> Iterator[Result | Exception]:
        for _ in range(workers):
            threading.Thread(target=self._serve, daemon=True).start()
        waiting: dict[int, Any] = {}
        for number in range(len(self.items)):
            while number not in waiting:
                found, value = self.results.get()
                if found is None:
                    raise value
                waiting[found] = value
            yield waiting.pop(number)

    def stop(self) -> None:
        """Ends all processes, whatever they do: they own nothing that must be saved."""
        with self.lock:
            self.stopped = True
            for process in self.processes:
                process.kill()
        for process in self.processes:
            process.wait()

    def _serve(self) -> None:
        try:
            process = self._begin()
            while (number := self._next()) is not None:
                for last in (False, True):
                    try:
                        value = _ask(process, self.items[number])
                        break
                    except (OSError, EOFError, pickle.UnpicklingError):
                        process = self._begin()
                        value = Died("the process that worked on it ended twice, most likely for lack of memory") if last else None
                self.results.put((number, value))
        except Exception as error:  # no process to go on with: the caller must hear of it
            self.results.put((None, error if isinstance(error, FaceAnonError) else FaceAnonError(str(error))))

    def _next(self) -> int | None:
        with self.lock:
            return None if self.stopped else next(self.numbers, None)

    def _begin(self) -> subprocess.Popen[bytes]:
        """A process that is ready for items."""
        code = f"import sys; sys.path[:] = {sys.path!r}; from fo_faceanon.judging.processes import main; main()"
        single = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
        with self.lock:
            if self.stopped:
                raise FaceAnonError("stopped")
            process = subprocess.Popen(
                [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, **single}
            )
            self.processes.append(process)
        try:
            fault = _exchange(process, self.start)
        except (OSError, EOFError, pickle.UnpicklingError) as error:
            raise FaceAnonError("a worker process died while it started; use fewer workers, or free some memory") from error
        if fault is not None:
            raise fault
        return process


def _ask(process: subprocess.Popen[bytes], item: Any) -> Any:
    return _exchange(process, pickle.dumps(item, pickle.HIGHEST_PROTOCOL))


def _exchange(process: subprocess.Popen[bytes], message: bytes) -> Any:
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(message)
    process.stdin.flush()
    return pickle.load(process.stdout)


def main() -> None:
    """A worker process: the function first, then items, until its parent closes the pipe or is gone."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group: the parent decides
    outbox = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print must not get between the results
    with suppress(EOFError, BrokenPipeError):
        function = _prepare(outbox)
        while function is not None:
            _reply(outbox, _attempt(function, pickle.load(sys.stdin.buffer)))
    outbox.flush()
    os._exit(0)  # interpreters with networks loaded take long to end, and nothing is left to save


def _prepare(outbox: Any) -> Callable[[Any], Any] | None:
    try:
        make, setup = pickle.load(sys.stdin.buffer)
        function: Callable[[Any], Any] = make(setup)
    except Exception as error:
        _reply(outbox, error if isinstance(error, FaceAnonError) else FaceAnonError(f"{type(error).__name__}: {error}"))
        return None
    _reply(outbox, None)
    return function


def _reply(outbox: Any, value: Any) -> None:
    try:
        data = pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
    except Exception:  # an exception that holds what cannot be sent
        data = pickle.dumps(FaceAnonError(f"{type(value).__name__}: {value}"))
    outbox.write(data)
    outbox.flush()
