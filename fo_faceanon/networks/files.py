"""Generators on disk: safetensors in half precision, with what they are and their model card in the file's metadata."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

from fo_faceanon.errors import WeightsError
from fo_faceanon.images import write_atomic
from fo_faceanon.networks.inpainting import InpaintingConfig, InpaintingGenerator
from fo_faceanon.networks.mesh_generator import MeshConfig, MeshGenerator

#: What a file's ``kind`` makes.
_KINDS: dict[str, tuple[type, type]] = {"inpainting": (InpaintingConfig, InpaintingGenerator), "mesh": (MeshConfig, MeshGenerator)}


def build_generator(kind: str, config: dict[str, Any]) -> nn.Module:
    """An untrained generator.

    Args:
        kind: ``inpainting`` or ``mesh``.
        config: values of its configuration; others keep their defaults.

    Raises:
        WeightsError: there is no such kind, or its configuration has other values.
    """
    if kind not in _KINDS:
        raise WeightsError(f"there is no generator of kind {kind!r}; the kinds are {', '.join(_KINDS)}")
    settings, network = _KINDS[kind]
    try:
        return network(settings(**config))
    except TypeError as error:
        raise WeightsError(f"a generator of kind {kind!r} cannot have the configuration {config!r}: {error}") from error


def kind_of(network: nn.Module) -> str:
    """The name under which a generator's files say what it is."""
    return next(kind for kind, (_, made) in _KINDS.items() if isinstance(network, made))


def save_generator(path: Path | str, network: nn.Module, card: dict[str, Any]) -> None:
    """Writes a generator, whole or not at all.

    Args:
        path: of the ``.safetensors`` file.
        network: an :class:`InpaintingGenerator` or a :class:`MeshGenerator`.
        card: the model card: data, licence, pictures seen, hardware, metrics, limits; anything JSON holds.

    Raises:
        OutputError: the file cannot be written.
    """
    tensors = {name: value.detach().half().cpu().contiguous() for name, value in network.state_dict().items()}
    config = asdict(network.config)  # type: ignore[call-overload]
    metadata = {"kind": kind_of(network), "config": json.dumps(config), "card": json.dumps(card)}
    write_atomic(path, save(tensors, metadata))


def load_generator(path: Path | str, device: torch.device | str = "cpu") -> nn.Module:
    """A generator, in single precision and evaluation mode.

    Args:
        path: of a file that :func:`save_generator` wrote.
        device: where it goes.

    Returns:
        An :class:`InpaintingGenerator` or a :class:`MeshGenerator`; its ``config`` says which points and size it wants.

    Raises:
        WeightsError: the file is missing, truncated, of something else, or does not fit what it says it is.
    """
    tensors, metadata = _read(Path(path))
    network = build_generator(metadata["kind"], json.loads(metadata["config"]))
    try:
        network.load_state_dict({name: value.float() for name, value in tensors.items()})
    except RuntimeError as error:
        raise WeightsError(f"{path} does not hold the weights of the generator that it names: {str(error).splitlines()[0]}") from error
    network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network.eval().requires_grad_(False)


def read_card(path: Path | str) -> dict[str, Any]:
    """The model card in a generator's file.

    Raises:
        WeightsError: as :func:`load_generator`.
    """
    return json.loads(_read(Path(path))[1]["card"])


def _read(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    try:
        with safe_open(str(path), "pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dictionary
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"{path} cannot be read as a generator's weights: {error}; train or fetch it again") from error
    missing = {"kind", "config", "card"} - set(metadata)
    if missing:
        raise WeightsError(f"{path} is not a generator of this package: its metadata lacks {', '.join(sorted(missing))}")
    return tensors, metadata
