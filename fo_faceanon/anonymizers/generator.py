"""What the methods that draw faces with a trained network share: the way into the canonical crop and back, light, and grain."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from fo_faceanon.errors import WeightsError
from fo_faceanon.faces import CropBatch, apply_affine, grid_sample_pixels, invert_affine, warp_affine
from fo_faceanon.networks.files import load_generator
from fo_faceanon.photometry.correct import Photometry, correct
from fo_faceanon.photometry.grain import match_grain
from fo_faceanon.photometry.skin import face_masks, face_size
from fo_faceanon.weights.generators import require_generator

#: The correction of Celona et al. 2025: intrinsic relighting that is not low-passed, Laplacian pyramid, transfer of Cb and Cr.
PAPER = Photometry(light="intrinsic", bandwidth=0.02, pyramid=1.0)
#: Dials of every method that draws faces: its weights, and those of the correction.
DIALS: tuple[str, ...] = ("weights", "light", "light_strength", "bandwidth", "pyramid", "colour_strength")


def load(name: str, weights: str | None, kind: type[nn.Module], device: str) -> tuple[nn.Module, Path]:
    """A method's network, and the file that it came from.

    Args:
        name: the method.
        weights: path of the file; None for the released one.
        kind: the class that the network must have.
        device: where it goes.

    Raises:
        WeightsError: the file is missing, damaged, or another method's.
    """
    path = Path(weights) if weights is not None else require_generator(name)
    network = load_generator(path, device)
    if not isinstance(network, kind):
        raise WeightsError(f"{path} holds a {type(network).__name__}, but method {name!r} needs a {kind.__name__}")
    return network, path


def half_precision(pixels: Tensor) -> torch.autocast:
    """Networks run in bfloat16 on a GPU, in float32 elsewhere."""
    return torch.autocast(pixels.device.type, torch.bfloat16, enabled=pixels.device.type == "cuda")


def hide(batch: CropBatch, alpha: Tensor, frame: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Crops in which nothing of what will be replaced is left.

    Pixels that the replacement touches are set to 0 before anything is resampled, so no network, filter or interpolation ever reads
    them. Beyond the window its edge is repeated, as in training.

    Args:
        batch: the windows.
        alpha: ``B x 1 x S x S``, above 0 wherever the window will change.
        frame: ``B x 2 x 3``, window pixels to crop pixels.
        size: side of the crops.

    Returns:
        ``B x 3 x size x size`` in ``[-1, 1]``, and ``B x 1 x size x size``: 1 where hidden, 0 elsewhere.
    """
    covered = (alpha > 0).to(batch.pixels.dtype)
    crop = warp_affine(torch.cat([batch.pixels * (1 - covered), covered], 1), frame, size)
    return crop[:, :3] * 2 - 1, (crop[:, 3:] > 0).to(crop.dtype)


def _positions(matrix: Tensor, side: int) -> Tensor:
    """``B x side x side x 2``: where affine maps take the pixels of a picture."""
    axis = torch.arange(side, device=matrix.device, dtype=matrix.dtype)
    grid = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), -1).reshape(1, -1, 2)
    return apply_affine(matrix, grid.expand(len(matrix), -1, -1)).reshape(-1, side, side, 2)


def place(crops: Tensor, frame: Tensor, side: int) -> Tensor:
    """Crops back in their windows.

    Args:
        crops: ``B x 3 x s x s``.
        frame: ``B x 2 x 3``, window pixels to crop pixels.
        side: of the windows.

    Returns:
        ``B x 3 x side x side``: enlarged bicubically, antialiased where shrunk.
    """
    scales = frame[:, :, 0].norm(dim=1).tolist()  # each face by itself: it never depends on its neighbours in the batch
    return torch.cat([_place(crops[i : i + 1], frame[i : i + 1], side, scale) for i, scale in enumerate(scales)])


def _place(crop: Tensor, frame: Tensor, side: int, scale: float) -> Tensor:
    if scale > 0.75:
        return warp_affine(crop, invert_affine(frame), side)
    return grid_sample_pixels(crop, _positions(frame, side), "bicubic")


def finish(made: Tensor, batch: CropBatch, photometry: Photometry) -> Tensor:
    """The original's light, skin tone and grain on generated windows.

    Args:
        made: ``B x 3 x S x S`` in ``[0, 1]``.
        batch: the windows.
        photometry: the correction.
    """
    side = batch.pixels.shape[-1]
    masks = face_masks(batch.landmarks, side, side)
    size = face_size(batch.landmarks)
    lit = correct(made, batch.pixels, masks.hull, masks.skin, size, photometry, batch.landmarks)
    return match_grain(lit, batch.pixels, masks.skin, batch.seeds)
