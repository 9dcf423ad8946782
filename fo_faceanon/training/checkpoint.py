"""What a run leaves behind: checkpoints to go on from, and the averaged generator in small pieces that travel."""

from __future__ import annotations

import io
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch
from torch import nn

from fo_faceanon.errors import InputError

CHECKPOINT = "checkpoint.pt"
EXPORT = "generator"
#: Bytes of a piece at most: what comes back from a machine may be limited to 16 MiB a file.
_PIECE = 15 * 2**20


def save_checkpoint(folder: Path, state: dict[str, Any]) -> None:
    """Writes a checkpoint; one cut short never replaces a whole one."""
    part = folder / f".{CHECKPOINT}.part"
    torch.save(state, part)
    part.replace(folder / CHECKPOINT)


def load_checkpoint(folder: Path, device: torch.device | str) -> dict[str, Any]:
    """The state that :func:`save_checkpoint` wrote.

    Raises:
        InputError: there is none, or it cannot be read.
    """
    path = folder / CHECKPOINT
    try:
        return torch.load(path, map_location=device, weights_only=True)
    except (OSError, RuntimeError, EOFError) as error:
        raise InputError(f"{path} cannot be read as a checkpoint: {error}; start afresh without --resume") from error


def export_generator(folder: Path, network: nn.Module, kind: str, card: dict[str, Any]) -> list[Path]:
    """Writes a generator in half precision as ``generator.00``, ``generator.01``...; earlier pieces go.

    Needs no safetensors; :func:`join_export` reads the pieces where that is installed.
    """
    header = {"kind": kind, "config": asdict(network.config), "card": card}  # type: ignore[call-overload]
    arrays = {name: value.detach().half().cpu().numpy() for name, value in network.state_dict().items()}
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **{"": np.frombuffer(json.dumps(header).encode(), np.uint8)}, **arrays)
    data = buffer.getvalue()
    for old in folder.glob(f"{EXPORT}.[0-9][0-9]"):
        old.unlink()
    pieces = []
    for number, start in enumerate(range(0, len(data), _PIECE)):
        pieces.append(folder / f"{EXPORT}.{number:02d}")
        pieces[-1].write_bytes(data[start : start + _PIECE])
    return pieces


def join_export(folder: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Weights and header (``kind``, ``config``, ``card``) that :func:`export_generator` wrote.

    Raises:
        InputError: pieces are missing or damaged.
    """
    pieces = sorted(folder.glob(f"{EXPORT}.[0-9][0-9]"))
    data = b"".join(piece.read_bytes() for piece in pieces)
    try:
        with np.load(io.BytesIO(data)) as file:
            header = json.loads(file[""].tobytes())
            return {name: torch.from_numpy(file[name]) for name in file.files if name}, header
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise InputError(f"{folder} does not hold all pieces of an exported generator ({len(pieces)} found): {error}") from error
