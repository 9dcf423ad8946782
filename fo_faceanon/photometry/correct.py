"""The photometric correction that anonymizers call: the original's light and skin tone on a generated face."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from fo_faceanon.errors import InputError
from fo_faceanon.photometry.color import GAMMA, apply_gain, luminance, srgb_to_linear
from fo_faceanon.photometry.colour_transfer import colour_transform
from fo_faceanon.photometry.harmonics import harmonic_gain
from fo_faceanon.photometry.intrinsic import intrinsic_gain
from fo_faceanon.photometry.lowpass import lowpass_gain, masked_lowpass
from fo_faceanon.photometry.normals import face_normals
from fo_faceanon.photometry.pyramid import blend_bands

LIGHTS = ("lowpass", "intrinsic", "harmonics", "none")
#: Longer side of the grid on which light is estimated. All that is transferred is smooth, so enlarging it loses nothing.
GRID = 128
#: How much of a change of colour (not of brightness) spares eyes, brows and mouth: a skin tone must not dye the white of the eyes.
_SPARED = 0.35


@dataclass(frozen=True)
class Photometry:
    """How the original's light and skin tone are handed to a generated face.

    Light identifies people: a finer ``bandwidth`` looks closer to the original and is less private.

    Args:
        light: ``lowpass`` (ratio of low-passed light), ``intrinsic`` (low-passed ratio of bilateral shadings), ``harmonics``
            (27 numbers of light on a generic head, and of what they leave the low-pass) or ``none``.
        light_strength: 0 (off) to 1.
        bandwidth: width of the low-pass's Gaussian as a fraction of the face, 0.02 to 1; smaller is finer.
        light_colour: 1 transfers the colour of the light too, 0 its luminance only.
        pyramid: 0 multiplies all detail by the light; 1 adds the light's change in the coarse Laplacian bands only, and leaves
            the generated detail's contrast as it is (the paper's refinement).
        pyramid_cut: where coarse gives way to fine, as a Gaussian width in fractions of the face, 0.01 to 1.
        colour_strength: how much of the chroma's mean and spread over skin is matched, 0 (off) to 1.
    """

    light: str = "lowpass"
    light_strength: float = 1.0
    bandwidth: float = 0.30
    light_colour: float = 1.0
    pyramid: float = 0.0
    pyramid_cut: float = 0.06
    colour_strength: float = 1.0

    def __post_init__(self) -> None:
        if self.light not in LIGHTS:
            raise InputError(f"photometry: light must be one of {', '.join(LIGHTS)}, but got {self.light!r}")
        unit, limits = (0.0, 1.0), {"bandwidth": (0.02, 1.0), "pyramid_cut": (0.01, 1.0)}
        for name in ("light_strength", "bandwidth", "light_colour", "pyramid", "pyramid_cut", "colour_strength"):
            value = getattr(self, name)
            low, high = limits.get(name, unit)
            if not isinstance(value, int | float) or not low <= value <= high:
                raise InputError(f"photometry: {name} must be a number from {low:g} to {high:g}, but got {value!r}")


def correct(
    generated: Tensor,
    original: Tensor,
    mask: Tensor,
    skin: Tensor,
    face_size: Tensor,
    settings: Photometry,
    landmarks: Tensor | None = None,
) -> Tensor:
    """Gives generated faces the light and the skin tone of the originals.

    Only pixels inside ``mask`` are read, of either image; what is returned outside of it continues smoothly, for a feather.

    Args:
        generated: ``B x 3 x H x W`` gamma-encoded sRGB in ``[0, 1]``.
        original: the same; where the mask is.
        mask: ``B x 1 x H x W`` in ``[0, 1]``: the region that will be replaced. A face with an empty mask is returned as it is.
        skin: ``B x 1 x H x W`` soft skin weights (`face_masks`); where it is empty, the mask takes its place.
        face_size: ``B``, in pixels (`skin.face_size`).
        settings: what to transfer, and how much of it.
        landmarks: ``B x 68 x 2`` window pixels, needed by ``light="harmonics"``; a face with NaN gets frontal normals there.

    Returns:
        ``B x 3 x H x W`` in ``[0, 1]``, finite where ``generated`` is; ``generated`` itself where all strengths are 0.

    Raises:
        InputError: shapes do not fit, or landmarks are needed and missing.
    """
    _check(generated, original, mask, skin, face_size, settings, landmarks)
    lit = settings.light != "none" and settings.light_strength > 0
    if not lit and settings.colour_strength == 0:
        return generated
    step = math.ceil(max(generated.shape[-2:]) / (2 * GRID)) if max(generated.shape[-2:]) > GRID else 0
    small = _Small.reduce(generated, original, mask, skin, face_size, step)
    fields = _light_fields(small, settings, landmarks, step) if lit else _Fields(None, None)
    preview = _apply_light(small.generated, fields, settings.pyramid)
    colour = colour_transform(preview, small.original, small.weights, settings.colour_strength)
    result = torch.empty_like(generated)
    # on a CPU face by face, so that the passes over native pixels stay in its cache
    chunk = 1 if generated.device.type == "cpu" else len(generated)
    for i in range(0, len(generated), chunk):
        part = slice(i, i + chunk)
        image = generated[part]
        image = _apply_light(image, fields.enlarge(part, step, image), settings.pyramid)
        if settings.colour_strength > 0:
            image = colour.part(part).apply(image, _enlarge(_SPARED * small.features[part], step, image))
        result[part] = image
    return result.clamp_(0, 1)


@dataclass(frozen=True, slots=True)
class _Small:
    """The batch on the grid where light is estimated; images are averages over the mask's pixels only."""

    generated: Tensor
    original: Tensor
    mask: Tensor
    weights: Tensor
    features: Tensor
    face_size: Tensor

    @classmethod
    def reduce(cls, generated: Tensor, original: Tensor, mask: Tensor, skin: Tensor, face_size: Tensor, step: int) -> _Small:
        thin = slice(None, None, max(1, step))
        generated, original, mask, skin = (image[..., thin, thin] for image in (generated, original, mask, skin))
        small_mask = _shrink(mask, step)
        divisor = small_mask.clamp_min(1e-4)
        generated, original = ((_shrink(image * mask, step) / divisor).nan_to_num() for image in (generated, original))
        small_skin = torch.minimum(_shrink(skin, step), small_mask)
        has_skin = small_skin.sum((1, 2, 3), keepdim=True) > 1
        weights = torch.where(has_skin, small_skin, small_mask)
        weights = weights * _reliable(original, weights) * _reliable(generated, weights)
        size = (face_size / max(1, 2 * step)).nan_to_num(nan=1.0).clamp(1, 4 * max(small_mask.shape[-2:]))
        return cls(generated, original, small_mask, weights, _features(small_skin, size), size)


@dataclass(frozen=True, slots=True)
class _Fields:
    """What light changes: the root of a gain to multiply by, and a coarse change to add."""

    root: Tensor | None
    change: Tensor | None

    def enlarge(self, part: slice, step: int, like: Tensor) -> _Fields:
        """These faces' fields at native size."""
        return _Fields(*(None if f is None else _enlarge(f[part], step, like) for f in (self.root, self.change)))


def _features(skin: Tensor, face_size: Tensor) -> Tensor:
    """Eyes, brows and mouth: the holes of the skin, by a morphological closing over a quarter of the face."""
    radius = max(1, int(0.13 * float(face_size.max())))
    radius = min(radius, min(skin.shape[-2:]) // 2)
    if radius < 1:
        return torch.zeros_like(skin)
    window = 2 * radius + 1
    grown = F.max_pool2d(skin, (1, window), 1, (0, radius))
    grown = F.max_pool2d(grown, (window, 1), 1, (radius, 0))
    closed = -F.max_pool2d(-grown, (1, window), 1, (0, radius))
    closed = -F.max_pool2d(-closed, (window, 1), 1, (radius, 0))
    return (closed - skin).clamp(0, 1)


def _reliable(rgb: Tensor, weights: Tensor) -> Tensor:
    """Down-weights what is far darker than the face's mean: a fringe, sunglasses or a beard is not skin in shadow.

    Skin in shade is within about three stops of the mean; dark hair is four or more below lit skin.
    """
    level = luminance(srgb_to_linear(rgb)) + 1e-3
    mean = (level * weights).sum((2, 3), keepdim=True) / weights.sum((2, 3), keepdim=True).clamp_min(1e-6)
    stops = (mean.clamp_min(1e-3) / level).log2()
    return ((4 - stops) / 1.5).clamp(0.02, 1)


def _light_fields(small: _Small, settings: Photometry, landmarks: Tensor | None, step: int) -> _Fields:
    gain = _log_gain(small, settings, landmarks, step)
    grey = gain.mean(1, keepdim=True)
    gain = grey + (gain - grey) * (1 - _SPARED * small.features)
    root = (gain * (settings.light_strength / GAMMA)).exp()
    if settings.pyramid == 0:
        return _Fields(root, None)
    # what the light changes in the coarse bands, continued beyond the mask
    cut = settings.pyramid_cut * small.face_size
    change = apply_gain(small.generated, root) - small.generated
    change = masked_lowpass(change, small.mask, 0.25 * cut)
    return _Fields(root, blend_bands(change, torch.zeros_like(change), cut))


def _log_gain(small: _Small, settings: Photometry, landmarks: Tensor | None, step: int) -> Tensor:
    generated, original = srgb_to_linear(small.generated), srgb_to_linear(small.original)
    weights = small.weights + 0.02 * small.mask  # eyes and mouth count little, but leave no hole
    sigma = settings.bandwidth * small.face_size
    if settings.light == "lowpass":
        return lowpass_gain(generated, original, weights, sigma, settings.light_colour)
    if settings.light == "intrinsic":
        return intrinsic_gain(generated, original, weights, small.face_size, sigma)
    assert landmarks is not None
    normals = face_normals((landmarks + 0.5) / max(1, 2 * step) - 0.5, *small.mask.shape[-2:])
    gain = harmonic_gain(generated, original, normals, small.weights, settings.light_colour)
    gain = masked_lowpass(gain, small.mask, 0.05 * small.face_size)  # beyond the contour, continue it
    return gain + lowpass_gain(generated * gain.exp(), original, weights, sigma, settings.light_colour)


def _apply_light(image: Tensor, fields: _Fields, pyramid: float) -> Tensor:
    if fields.root is None:
        return image
    if fields.change is None:
        return apply_gain(image, fields.root)
    return torch.lerp(apply_gain(image, fields.root), image + fields.change, pyramid)


def _shrink(image: Tensor, step: int) -> Tensor:
    """Averages of 2 x 2 of the samples taken every ``step`` pixels; ``step`` 0 leaves the image as it is."""
    return image if step == 0 else F.avg_pool2d(image, 2, ceil_mode=True, count_include_pad=False)


def _enlarge(field: Tensor, step: int, like: Tensor) -> Tensor:
    if step == 0:
        return field
    size = (field.shape[-2] * 2 * step, field.shape[-1] * 2 * step)
    return F.interpolate(field, size, mode="bilinear", align_corners=False)[..., : like.shape[-2], : like.shape[-1]]


def _check(
    generated: Tensor,
    original: Tensor,
    mask: Tensor,
    skin: Tensor,
    face_size: Tensor,
    settings: Photometry,
    landmarks: Tensor | None,
) -> None:
    shape = tuple(generated.shape)
    if generated.ndim != 4 or shape[1] != 3 or tuple(original.shape) != shape:
        raise InputError(f"generated and original must both be B x 3 x H x W, but got {shape} and {tuple(original.shape)}")
    for name, value in (("mask", mask), ("skin", skin)):
        if tuple(value.shape) != (shape[0], 1, *shape[2:]):
            raise InputError(f"{name} must have shape {(shape[0], 1, *shape[2:])}, but got {tuple(value.shape)}")
    if tuple(face_size.shape) != shape[:1]:
        raise InputError(f"face_size must hold one number per face, {shape[0]}, but got shape {tuple(face_size.shape)}")
    if settings.light == "harmonics" and (landmarks is None or tuple(landmarks.shape) != (shape[0], 68, 2)):
        found = None if landmarks is None else tuple(landmarks.shape)
        raise InputError(f"light='harmonics' needs landmarks of shape {(shape[0], 68, 2)}, but got {found}")
