"""One worker process of the engine: chunks of items come in on stdin, records go out on what was stdout."""

from __future__ import annotations

import os
import pickle
import signal
import sys
import threading
from queue import SimpleQueue
from typing import Any, BinaryIO

from fo_faceanon.errors import FaceAnonError

#: What the parent sends to end a worker in good order.
STOP = None


def main() -> None:
    """Works until told to stop; ends at once where the parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group: the parent decides
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # as an exception, so that temporary files are removed
    outbox = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print must not get between the records
    inbox: SimpleQueue[Any] = SimpleQueue()
    stopping = threading.Event()
    started = threading.Event()
    threading.Thread(target=_listen, args=(sys.stdin.buffer, inbox, started, stopping), daemon=True).start()
    try:
        _work(inbox, outbox, started, stopping)
    except BrokenPipeError:
        os._exit(1)
    except SystemExit as end:
        os._exit(end.code if isinstance(end.code, int) else 1)  # with a thread reading stdin, a regular exit would abort
    except BaseException as error:
        _send(outbox, ("fatal", error if isinstance(error, FaceAnonError) else FaceAnonError(f"{type(error).__name__}: {error}")))
    os._exit(0)  # interpreters with networks loaded take long to end, and nothing is left to save


def _work(inbox: SimpleQueue[Any], outbox: BinaryIO, started: threading.Event, stopping: threading.Event) -> None:
    from fo_faceanon.engine.stages import process

    options = inbox.get()
    if isinstance(options, Exception):
        raise options
    anonymizer = options.build()
    started.set()
    _send(outbox, ("ready", None))
    while (chunk := inbox.get()) is not STOP:
        for record in process(chunk, anonymizer, options.method):
            _send(outbox, ("record", record))
            if stopping.is_set():
                return


def _listen(stdin: BinaryIO, inbox: SimpleQueue[Any], started: threading.Event, stopping: threading.Event) -> None:
    """Reads ahead, so that the parent's end is noticed in the middle of a chunk."""
    while True:
        try:
            message = pickle.load(stdin)
        except (EOFError, OSError, pickle.UnpicklingError):  # the parent was killed: leave no orphan
            os._exit(1)
        except Exception as error:  # it names something that cannot be imported here
            message = error
        if message is STOP:
            stopping.set()
            if not started.is_set():  # still loading networks, with nothing begun
                os._exit(0)
        inbox.put(message)
        if message is STOP:
            return


def _send(outbox: BinaryIO, message: tuple[str, Any]) -> None:
    pickle.dump(message, outbox, pickle.HIGHEST_PROTOCOL)
    outbox.flush()
