"""One run at a time on a dataset, whichever process or machine it comes from."""

from __future__ import annotations

import os
import secrets
import socket
import time
from types import TracebackType
from typing import Any

import fiftyone as fo
import psutil
from fiftyone.operators.store import ExecutionStore

from fo_faceanon.errors import HostError

#: A lock held on another machine is taken over after this long without a sign of life, in seconds.
STALE_AFTER = 900.0
_KEY = "run"


class DatasetLock:
    """A lock in FiftyOne's own database, held by process, machine and a last sign of life.

    A lock of a dead process on this machine is taken over at once. Deleted with its dataset.

    Raises:
        HostError: on entering, where another run holds the dataset.
    """

    def __init__(self, dataset: fo.Dataset) -> None:
        self._name = dataset.name
        self._store = ExecutionStore.create("fo_faceanon_lock", dataset._doc.id)
        process = psutil.Process()
        self._owner = {
            "token": secrets.token_hex(8),
            "pid": process.pid,
            "started": process.create_time(),
            "host": socket.gethostname(),
        }
        self._held: dict[str, Any] = {}

    def __enter__(self) -> DatasetLock:
        mine = self._stamp()
        if not self._store.set_if_absent(_KEY, mine):
            other = self._store.get(_KEY)
            if other and _is_alive(other):
                raise HostError(
                    f"another run is anonymizing the dataset '{self._name}' (process {other['pid']} on {other['host']}); "
                    "wait until it is done, or stop it and run the same command again"
                )
            if not self._store.compare_and_set(_KEY, other, mine):
                raise HostError(f"another run has just started on the dataset '{self._name}'; wait until it is done")
        self._held = mine
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._still_mine():
            self._store.delete(_KEY)

    def refresh(self) -> None:
        """Gives a sign of life.

        Raises:
            HostError: the lock was lost to another run: this one must stop.
        """
        fresh = self._stamp()
        if not self._store.compare_and_set(_KEY, self._held, fresh):
            raise HostError(f"another run took over the dataset '{self._name}', because this one gave no sign of life for too long")
        self._held = fresh

    def _stamp(self) -> dict[str, Any]:
        return {**self._owner, "alive": time.time()}

    def _still_mine(self) -> bool:
        current = self._store.get(_KEY)
        return bool(current) and current.get("token") == self._owner["token"]


def holder(dataset: fo.Dataset) -> str | None:
    """Which run holds the dataset, in words; None where none does."""
    owner = ExecutionStore.create("fo_faceanon_lock", dataset._doc.id).get(_KEY)
    return f"process {owner['pid']} on {owner['host']}" if owner and _is_alive(owner) else None


def _is_alive(owner: dict[str, Any]) -> bool:
    if owner.get("host") != socket.gethostname():
        return time.time() - float(owner.get("alive", 0)) < STALE_AFTER
    try:
        process = psutil.Process(int(owner["pid"]))
        return abs(process.create_time() - float(owner["started"])) < 1 or process.pid == os.getpid()
    except psutil.NoSuchProcess:
        return False
