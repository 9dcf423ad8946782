"""The engine over processes, on a CPU: one core each, and one that dies costs no more than the image that killed it.

The workers are plain subprocesses that talk over pipes. ``multiprocessing`` would import the caller's ``__main__`` again, which
breaks scripts without a main guard, and its queues hang when a process that holds their lock is killed.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any

from fo_faceanon.engine.items import Item, Options, chunks, usable_cores
from fo_faceanon.engine.worker import STOP
from fo_faceanon.errors import FaceAnonError
from fo_faceanon.records import ImageRecord

#: Images per message to a worker, and per call of its anonymizer.
BATCH_SIZE = 4
_AHEAD = 2  # chunks a worker holds: the one it works on, and the next
_STARTS = 3  # workers that may die before they are ready, one after the other, before the run gives up
_PATIENCE = 5.0  # seconds for a worker to end by itself


@dataclass(eq=False, slots=True)
class _Worker:
    process: subprocess.Popen[bytes]
    held: deque[list[Item]] = field(default_factory=deque)
    ready: bool = False
    alone: bool = False  # it holds one suspect image, and nothing else

    def send(self, message: Any) -> None:
        """Sends a message; a worker that is gone says so elsewhere."""
        assert self.process.stdin is not None
        with suppress(OSError):
            pickle.dump(message, self.process.stdin, pickle.HIGHEST_PROTOCOL)
            self.process.stdin.flush()

    def give(self, chunk: list[Item], alone: bool) -> None:
        """Hands over a chunk."""
        self.held.append(chunk)
        self.alone = alone
        self.send(list(chunk))


def run_pool(entries: Iterator[Item | ImageRecord], options: Options) -> Iterator[tuple[ImageRecord, bool]]:
    """Records, and whether each is new."""
    pool = _Pool(entries, options)
    try:
        yield from pool.run()
    finally:
        pool.stop()


class _Pool:
    def __init__(self, entries: Iterator[Item | ImageRecord], options: Options) -> None:
        self.chunks = chunks(entries, options.batch_size or BATCH_SIZE)
        self.options = options
        self.size = options.workers or usable_cores()
        self.workers: list[_Worker] = []
        self.news: SimpleQueue[tuple[_Worker, str, Any]] = SimpleQueue()
        self.todo: deque[tuple[list[Item], bool]] = deque()  # the next chunks, and whether each is a suspect that must run alone
        self.failed_starts = 0

    def run(self) -> Iterator[tuple[ImageRecord, bool]]:
        while True:
            for record in self._feed():
                yield record, False
            if not any(worker.held for worker in self.workers):
                return
            worker, kind, value = self.news.get()
            if kind == "record":
                yield self._done(worker, value), True
            elif kind == "ready":
                worker.ready, self.failed_starts = True, 0
            elif kind == "fatal":
                raise value
            else:
                for record in self._buried(worker):
                    yield record, True

    def _feed(self) -> Iterator[ImageRecord]:
        """Gives work to whoever has room, starting workers as long as there is work; yields records met on the way."""
        while True:
            while not self.todo and (chunk := next(self.chunks, None)) is not None:
                if isinstance(chunk, ImageRecord):
                    yield chunk
                else:
                    self.todo.append((chunk, False))
            worker = self._with_room(alone=self.todo[0][1]) if self.todo else None
            if worker is None:
                return
            worker.give(*self.todo.popleft())

    def _with_room(self, alone: bool) -> _Worker | None:
        """The worker to get the next chunk. A suspect goes only to one with nothing else to do, so that blame is exact."""
        if len(self.workers) < self.size and all(worker.held for worker in self.workers):
            self.workers.append(self._start())
        room = 1 if alone else _AHEAD
        free = [worker for worker in self.workers if len(worker.held) < room and not (worker.alone and worker.held)]
        return min(free, key=lambda worker: len(worker.held), default=None)

    def _start(self) -> _Worker:
        # The caller's sys.path as it is: no current folder that was not there, no entry lost.
        code = f"import sys; sys.path[:] = {sys.path!r}; from fo_faceanon.engine.worker import main; main()"
        # One thread each, torch's too: a process per core is enough, and sums depend on how they are split over threads.
        single = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
        process = subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, **single}
        )
        worker = _Worker(process)
        threading.Thread(target=_listen, args=(worker, self.news), daemon=True).start()
        worker.send(self.options)
        return worker

    def _done(self, worker: _Worker, record: ImageRecord) -> ImageRecord:
        chunk = worker.held[0]
        chunk[:] = [item for item in chunk if item.key != record.key]
        if not chunk:
            worker.held.popleft()
        return record

    def _buried(self, worker: _Worker) -> Iterator[ImageRecord]:
        """Takes back what a dead worker held; yields the record of an image that has now killed two."""
        code = worker.process.wait()
        self.workers.remove(worker)
        again = [(chunk, worker.alone) for chunk in worker.held]
        if not worker.ready:
            self.failed_starts += 1
            if self.failed_starts >= _STARTS:
                raise FaceAnonError(f"worker processes die while they start ({_end(code)}); use fewer workers, or free some memory")
        elif again:
            blamed, _ = again.pop(0)
            if worker.alone:
                yield from (self._failed(item, code) for item in blamed)
            else:
                again[:0] = [([item], True) for item in blamed]
        self.todo.extendleft(reversed(again))

    def _failed(self, item: Item, code: int) -> ImageRecord:
        from fo_faceanon.engine.stages import fail  # loads what only workers need, unless something died

        return fail(item, self.options.method, f"its worker process ended twice while it was processed ({_end(code)})")

    def stop(self) -> None:
        """Ends all workers, whatever they do."""
        for worker in self.workers:
            worker.send(STOP)
        for end in (None, subprocess.Popen.terminate, subprocess.Popen.kill):
            for worker in self.workers:
                if end is not None and worker.process.poll() is None:
                    end(worker.process)
            for worker in self.workers:
                with suppress(subprocess.TimeoutExpired):
                    worker.process.wait(_PATIENCE)
        for worker in self.workers:
            with suppress(OSError):
                worker.process.stdin.close()  # type: ignore[union-attr]
        self.workers.clear()


def _listen(worker: _Worker, news: SimpleQueue[tuple[_Worker, str, Any]]) -> None:
    """Passes on what a worker says, and its end."""
    assert worker.process.stdout is not None
    with worker.process.stdout as stdout:
        while True:
            try:
                kind, value = pickle.load(stdout)
            except Exception:  # the end of the pipe, perhaps in the middle of a message
                news.put((worker, "gone", None))
                return
            news.put((worker, kind, value))


def _end(code: int) -> str:
    if code == -9:
        return "killed, most likely for lack of memory"
    return f"signal {-code}" if code < 0 else f"exit status {code}"
