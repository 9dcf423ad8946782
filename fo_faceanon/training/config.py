"""What a training run is: one JSON file per method, every choice of which can be changed by name."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from fo_faceanon.errors import InputError

#: The configurations that come with the package.
CONFIGS = Path(__file__).resolve().parent / "configs"


@dataclass(frozen=True)
class TrainConfig:
    """A training run.

    Args:
        kind: of generator, ``inpainting`` or ``mesh``.
        network: values of the generator's configuration that differ from its defaults.
        size: side of the crops in pixels; larger packed ones are reduced to it. None for theirs.
        sets: set -> how often it is drawn, relative to the others; empty for all sets, each as often as the root of its size.
        min_known: leaves out faces of whose crop a smaller fraction lies inside their picture.
        batch: faces per step.
        rate: Adam's step size, of both networks.
        discriminator_width: its channels at full resolution; they double at each half of it.
        discriminator_widest: up to so many.
        hull: whether the hidden region is the face's hull, rather than its box.
        grow: how far the hidden region reaches beyond the landmarks, in face sizes; drawn from this range.
        forehead: how far up the hidden region reaches above the brows, in eye-to-mouth distances; drawn from this range.
        narrow: how often the context is cut to the window that the pipeline would see, edges repeated beyond.
        gamma: weight of the gradient penalty R1 (Mescheder et al. 2018), taken every ``penalty_every`` steps.
        penalty_every: see ``gamma``.
        augment: whether the discriminator's inputs are augmented, as often as it needs to not overfit (Karras et al. 2020).
        overfit_target: the mean sign of its logits on training faces that augmentation steers to.
        matching: weight of feature matching (Wang et al. 2018) at the start; falls linearly to ``matching_end``.
        matching_end: see ``matching``.
        pixel: weight of the absolute difference to the hidden original at the start; falls to ``pixel_end`` likewise.
        pixel_end: see ``pixel``.
        total_images: faces shown until those weights have fallen; training goes on beyond with the last ones.
        average_images: half-life of the weights' running average, in faces shown.
        seed: of everything random.
    """

    kind: str = "inpainting"
    network: dict[str, Any] = field(default_factory=dict)
    size: int | None = None
    sets: dict[str, float] = field(default_factory=dict)
    min_known: float = 0.55
    batch: int = 64
    rate: float = 2e-3
    discriminator_width: int = 64
    discriminator_widest: int = 512
    hull: bool = True
    grow: tuple[float, float] = (0.04, 0.12)
    forehead: tuple[float, float] = (0.5, 0.85)
    narrow: float = 0.5
    gamma: float = 0.2
    penalty_every: int = 16
    augment: bool = True
    overfit_target: float = 0.6
    matching: float = 2.0
    matching_end: float = 0.5
    pixel: float = 4.0
    pixel_end: float = 1.0
    total_images: int = 1_500_000
    average_images: float = 10_000.0
    seed: int = 0

    def progress(self, images: int) -> float:
        """How much of the run is done, in ``[0, 1]``."""
        return min(images / max(self.total_images, 1), 1.0)


def load_config(path: Path | str, changes: Sequence[str] = ()) -> TrainConfig:
    """A configuration, with changes.

    Args:
        path: of a JSON file, or the name of a configuration of this package (``landmark68``, ``sparse7``, ``mesh478``).
        changes: each ``name=value``, the value in JSON; ``network.width=48`` changes the generator.

    Raises:
        InputError: the file is missing or no JSON, or a name is unknown.
    """
    file = Path(path) if Path(path).suffix else CONFIGS / f"{path}.json"
    try:
        values = json.loads(file.read_text("utf-8"))
    except OSError:
        known = ", ".join(sorted(p.stem for p in CONFIGS.glob("*.json")))
        raise InputError(f"there is no training configuration {path}: give a JSON file or one of {known}") from None
    except ValueError as error:
        raise InputError(f"{file} is no JSON: {error}") from error
    for change in changes:
        name, equals, text = change.partition("=")
        if not equals:
            raise InputError(f"a change must read NAME=VALUE, but got {change!r}")
        _put(values, name, text)
    known_names = {f.name for f in fields(TrainConfig)}
    unknown = sorted(set(values) - known_names)
    if unknown:
        raise InputError(f"{file} has unknown settings {', '.join(unknown)}; known are {', '.join(sorted(known_names))}")
    config = TrainConfig(**values)
    (low, high), (lowest, highest) = config.grow, config.forehead  # lists, in JSON
    return replace(config, grow=(low, high), forehead=(lowest, highest))


def _put(values: dict[str, Any], name: str, text: str) -> None:
    try:
        value = json.loads(text)
    except ValueError:
        value = text
    group, dot, key = name.partition(".")
    if dot:
        values.setdefault(group, {})[key] = value
    else:
        values[name] = value
