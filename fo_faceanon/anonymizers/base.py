"""What a method is: something that makes new pixels for a batch of face windows, and says where they go."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from fo_faceanon.faces import CropBatch
from fo_faceanon.photometry.skin import face_hull, feather

if TYPE_CHECKING:
    from fo_faceanon.donors.describe import Description

#: Width of the soft edge outside the face, as a fraction of the face's width.
FEATHER = 0.055
#: Over the forehead the replacement fades out between these heights above the brows, in eye-to-mouth distances, so that hair
#: that falls onto it is not cut off along a line.
FOREHEAD = (0.25, 0.75)


@dataclass(slots=True)
class Generated:
    """New pixels for a batch of windows.

    Args:
        pixels: ``B x 3 x S x S`` float32 in ``[0, 1]``.
        alpha: ``B x 1 x S x S`` float32 in ``[0, 1]``: 1 over the face, soft outside of it, exactly 0 where nothing may change.
        problems: per face, why it could not be made; None where it was. Pixels of a face with a problem must not be used.
        sources: per face, what it was made of (donor rows), so that a retry can avoid it.
    """

    pixels: Tensor
    alpha: Tensor
    problems: list[str | None]
    sources: list[set[int]]


class Method(Protocol):
    """A method, on one device.

    ``uses_landmarks``: it cannot work on a face without landmarks. ``describes``: it wants the batch's description.
    """

    name: str
    uses_landmarks: bool
    describes: bool
    model_sha256: str | None

    def __call__(self, batch: CropBatch, description: Description | None, exclude: list[set[int]]) -> Generated:
        """Makes the faces of a batch; ``exclude`` holds the sources that earlier tries used."""
        ...


def face_widths(batch: CropBatch) -> Tensor:
    """``B`` face widths in window pixels, from landmarks where there are any, else from boxes."""
    boxes = batch.boxes[:, 2] - batch.boxes[:, 0]
    spans = batch.landmarks.amax(1) - batch.landmarks.amin(1)
    return torch.where(batch.landmarks.isnan().any(-1).any(-1), boxes, spans.amax(-1)).clamp_min(1.0)


def replacement_alpha(batch: CropBatch) -> Tensor:
    """``B x 1 x S x S``: 1 on the face, falling to exactly 0 a little way outside, and over the forehead.

    Faces with landmarks get the hull of their points: no original pixel survives inside of it. Faces without get the
    ellipse that the box bounds, grown by a fifth, since detectors cut chins and foreheads.
    """
    side = batch.pixels.shape[-1]
    unknown = batch.landmarks.isnan().any(-1).any(-1)
    ellipse = box_ellipse(batch.boxes, side)
    if bool(unknown.all()):
        return ellipse
    hull = face_hull(batch.landmarks, side, side, forehead=FOREHEAD[1])
    radii = (FEATHER * face_widths(batch)).tolist()
    edge = torch.cat([feather(hull[i : i + 1], radius) for i, radius in enumerate(radii)])
    soft = edge * forehead_fade(torch.nan_to_num(batch.landmarks), side)
    return torch.where(unknown[:, None, None, None], ellipse, soft)


def forehead_fade(landmarks: Tensor, side: int) -> Tensor:
    """``B x 1 x S x S``: 1 up to the lower end of :data:`FOREHEAD` above the brows, falling smoothly to 0 at its upper end."""
    up = landmarks[:, 36:48].mean(1) - landmarks[:, 48:68].mean(1)
    brows = landmarks[:, 17:27].mean(1)
    unit = up / up.square().sum(1, keepdim=True).clamp_min(1e-3)
    axis = torch.arange(side, dtype=landmarks.dtype, device=landmarks.device)
    x, y = axis[None] - brows[:, :1], axis[None] - brows[:, 1:]
    height = x[:, None, :] * unit[:, None, :1] + y[:, :, None] * unit[:, None, 1:]
    t = ((height - FOREHEAD[0]) / (FOREHEAD[1] - FOREHEAD[0])).clamp(0, 1)
    return (1 - t * t * (3 - 2 * t))[:, None]


def box_ellipse(boxes: Tensor, side: int, grow: float = 1.2) -> Tensor:
    """``B x 1 x S x S``: 1 in the ellipse of each box grown by ``grow``, falling to 0 over a tenth of its radius outside."""
    axis = torch.arange(side, dtype=boxes.dtype, device=boxes.device)
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    radius = ((boxes[:, 2:] - boxes[:, :2]) / 2 * grow).clamp_min(2.0)
    x = (axis[None] - centre[:, :1]) / radius[:, :1]
    y = (axis[None] - centre[:, 1:]) / radius[:, 1:]
    distance = (x.square()[:, None, :] + y.square()[:, :, None]).sqrt()
    return ((1.1 - distance) / 0.1).clamp(0, 1)[:, None]
