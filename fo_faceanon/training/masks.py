"""What is hidden of a training face, and how much of its surroundings is seen: as varied as the pipeline will be."""

from __future__ import annotations

import torch
from torch import Tensor

from fo_faceanon.photometry.skin import convex_distance, face_size
from fo_faceanon.training.config import TrainConfig

#: Unit vectors that hulls are measured along.
_DIRECTIONS = 32
#: What :func:`fo_faceanon.windows.window_of` leaves around landmarks, in their larger extent: sides and below, above.
_WINDOW_MARGIN, _WINDOW_ABOVE = 0.16, 0.42
#: Windows come in steps: the next larger one has up to so much of the side that is needed.
_WINDOW_STEP = 1.34


def uniform(count: int, limits: tuple[float, float], random: torch.Generator) -> Tensor:
    """``count`` numbers from a range."""
    return limits[0] + (limits[1] - limits[0]) * torch.rand(count, device=random.device, generator=random)


def hidden_region(landmarks: Tensor, hairline: Tensor, size: int, config: TrainConfig, random: torch.Generator) -> Tensor:
    """What is hidden: the face's hull with its forehead, or that hull's box, grown at random.

    Args:
        landmarks: ``B x 68 x 2`` in crop pixels.
        hairline: ``B x 10 x 2``, one eye-to-mouth distance above the brows (:func:`forehead_points`).
        size: side of the crop in pixels.
        config: how far it grows.
        random: source of the draws.

    Returns:
        ``B x 1 x size x size``, 1 where hidden.
    """
    count = landmarks.shape[0]
    grow = (uniform(count, config.grow, random) * face_size(landmarks))[:, None, None, None]
    height = uniform(count, config.forehead, random)[:, None, None]
    brows = landmarks[:, 17:27]
    outline = torch.cat([landmarks, brows + height * (hairline - brows)], 1)
    if config.hull:
        step = torch.ones(2, device=landmarks.device)
        return (convex_distance([outline], size, size, step, _DIRECTIONS) < grow).to(landmarks.dtype)
    low, high = outline.amin(1)[:, :, None, None], outline.amax(1)[:, :, None, None]
    axis = torch.arange(size, device=landmarks.device, dtype=landmarks.dtype)
    grid = torch.stack(torch.meshgrid(axis, axis, indexing="xy"))[None]
    return ((grid >= low - grow) & (grid <= high + grow)).all(1, keepdim=True).to(landmarks.dtype)


def narrow_context(pictures: Tensor, landmarks: Tensor, chance: float, random: torch.Generator) -> Tensor:
    """Pictures of which some show only the window that the pipeline cuts around a face; its edges are repeated outward."""
    count, size = pictures.shape[0], pictures.shape[-1]
    low, high = landmarks.amin(1), landmarks.amax(1)
    extent = (high - low).amax(-1, keepdim=True)
    low = low - torch.cat([extent * _WINDOW_MARGIN, extent * _WINDOW_ABOVE], -1)
    high = high + extent * _WINDOW_MARGIN
    side = (high - low).amax(-1, keepdim=True) * uniform(count, (1.0, _WINDOW_STEP), random)[:, None]
    whole = uniform(count, (0.0, 1.0), random)[:, None] >= chance
    first = torch.where(whole, 0.0, (low + high - side) / 2).round().clamp(0, size - 1)
    last = torch.where(whole, size - 1.0, (low + high + side) / 2).round().clamp(0, size - 1)
    axis = torch.arange(size, device=pictures.device, dtype=first.dtype)
    seen = torch.minimum(torch.maximum(axis, first[..., None]), last[..., None]).long()  # B x 2 x size
    rows = seen[:, 1, None, :, None].expand(-1, pictures.shape[1], -1, size)
    columns = seen[:, 0, None, None, :].expand(-1, pictures.shape[1], size, -1)
    return pictures.gather(2, rows).gather(3, columns)
