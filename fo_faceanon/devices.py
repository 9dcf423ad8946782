"""Choosing the device that networks run on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from fo_faceanon.errors import InputError


def resolve_device(device: str = "auto") -> str:
    """A device name that torch accepts.

    Args:
        device: ``auto`` (a CUDA GPU, else Apple's, else the CPU), or a torch device name.

    Raises:
        InputError: the device is unknown, or is not there.
    """
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        kind = torch.device(device)
    except RuntimeError:
        raise InputError(f"there is no device {device!r}: use auto, cpu, cuda, cuda:N or mps") from None
    if kind.type == "cuda" and (not torch.cuda.is_available() or (kind.index or 0) >= torch.cuda.device_count()):
        raise InputError(f"device {device!r} is not there: torch sees {torch.cuda.device_count()} CUDA devices; use cpu or auto")
    return device


@contextmanager
def one_thread() -> Iterator[None]:
    """Torch on one CPU thread: sums depend on how they are split over threads, and outputs must not."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
