"""Light as 27 numbers: nine spherical harmonics of the surface normal in three channels."""

from __future__ import annotations

import torch
from torch import Tensor

from fo_faceanon.photometry.lowpass import log_ratio

_HUBER = 1.345  # of robust standard deviations: 95 % efficient on clean data (Huber 1981)
_STEPS = 4
_SAMPLES = 48  # pixels a side that are enough to fit nine numbers
_RIDGE = 3e-3  # of the pixel count, on all but the constant: a face shows half of the sphere, so the basis is near-collinear


def harmonic_basis(normals: Tensor) -> Tensor:
    """The first nine real harmonics without their constants (Basri and Jacobs 2003): ``B x 9 x H x W`` of unit ``B x 3 x H x W``."""
    x, y, z = normals.unbind(1)
    return torch.stack([torch.ones_like(x), x, y, z, x * y, x * z, y * z, x * x - y * y, 3 * z * z - 1], 1)


def fit_light(image: Tensor, normals: Tensor, weights: Tensor) -> Tensor:
    """Robust least-squares light of a face (iteratively reweighted, Huber's weights on the luminance-like channel mean).

    Args:
        image: ``B x 3 x H x W``, linear light.
        normals: ``B x 3 x H x W``, unit.
        weights: ``B x 1 x H x W``, which pixels count: skin.

    Returns:
        ``B x 9 x 3`` coefficients; all zero for a face without skin pixels.
    """
    stride = max(1, max(image.shape[-2:]) // _SAMPLES)
    image, normals, weights = (field[..., ::stride, ::stride] for field in (image, normals, weights))
    basis = harmonic_basis(normals).flatten(2).transpose(1, 2)  # B x N x 9
    pixels = image.flatten(2).transpose(1, 2)  # B x N x 3
    prior = weights.flatten(2).transpose(1, 2)  # B x N x 1
    ridge = torch.eye(9, device=image.device, dtype=image.dtype)
    ridge[0, 0] = 0
    penalty = ridge * (_RIDGE * prior.sum((1, 2)).clamp_min(1e-6))[:, None, None]
    penalty = penalty + 1e-8 * torch.eye(9, device=image.device, dtype=image.dtype)
    robust = prior
    for step in range(_STEPS):
        weighted = basis * robust
        coefficients = torch.linalg.solve(weighted.transpose(1, 2) @ basis + penalty, weighted.transpose(1, 2) @ pixels)
        if step < _STEPS - 1:
            error = (pixels - basis @ coefficients).mean(-1, keepdim=True).abs()
            scale = 1.4826 * _weighted_median(error, prior) + 1e-3
            robust = prior * (_HUBER * scale / error.clamp_min(1e-6)).clamp(max=1)
    return coefficients


def _weighted_median(values: Tensor, weights: Tensor) -> Tensor:
    """Over the pixels of each image: ``B x N x 1`` to ``B x 1 x 1``."""
    ordered, index = values.sort(dim=1)
    running = weights.gather(1, index).cumsum(1)
    position = (running < 0.5 * running[:, -1:]).sum(1, keepdim=True).clamp(max=values.shape[1] - 1)
    return ordered.gather(1, position)


def render_light(coefficients: Tensor, normals: Tensor) -> Tensor:
    """Linear light ``B x 3 x H x W`` of coefficients ``B x 9 x 3``; not below a tenth of its mean over the window."""
    light = torch.einsum("bkhw,bkc->bchw", harmonic_basis(normals), coefficients)
    return torch.maximum(light, 0.1 * light.clamp_min(0).mean((2, 3), keepdim=True))


def harmonic_gain(generated: Tensor, original: Tensor, normals: Tensor, weights: Tensor, colour: float = 1.0) -> Tensor:
    """Logarithm of the ratio of the two rendered lights, ``B x 3 x H x W``, limited to ``±log(MAX_GAIN)``.

    Args:
        generated: ``B x 3 x H x W``, linear light.
        original: ``B x 3 x H x W``, linear light.
        normals: ``B x 3 x H x W``.
        weights: ``B x 1 x H x W``.
        colour: 1 transfers each channel, 0 the luminance only.
    """
    both, twice = torch.cat([original, generated]), (2, 1, 1, 1)  # one pass of many small steps instead of two
    lights = render_light(fit_light(both, normals.repeat(twice), weights.repeat(twice)), normals.repeat(twice))
    target, source = lights.chunk(2)
    return log_ratio(target, source, colour)
