"""What is recognised without a face's pixels: a solid fill, the shape alone, the light alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from fo_faceanon.attacks.frames import FRAME
from fo_faceanon.judging.faces import JudgedFace
from fo_faceanon.photometry.color import linear_to_srgb, srgb_to_linear
from fo_faceanon.photometry.lowpass import lowpass_gain
from fo_faceanon.photometry.skin import face_hull, face_size, forehead_points

#: Width of the low-pass whose light is handed over, as a fraction of the face: what `donor` does by default.
LIGHT_WIDTH = 0.3
_MARGIN = 2  # pixels around the face that the fill's window holds
_CHUNK = 64


def solid_fill(image: np.ndarray, faces: Sequence[JudgedFace]) -> np.ndarray:
    """The privacy floor, and the context-only attack: each face with its forehead becomes its mean colour; not one of its pixels is left.

    Args:
        image: ``H x W x 3`` uint8.
        faces: with landmarks.
    """
    filled = image.copy()
    for face in faces:
        points = torch.from_numpy(face.landmarks)[None].float()
        outline = torch.cat([points, forehead_points(points)], 1)[0]
        low = [max(int(v) - _MARGIN, 0) for v in outline.amin(0).tolist()]
        high = [min(int(v) + 1 + _MARGIN, side) for v, side in zip(outline.amax(0).tolist(), image.shape[1::-1], strict=True)]
        if high[0] <= low[0] or high[1] <= low[1]:
            continue  # outside of the picture
        window = (slice(low[1], high[1]), slice(low[0], high[0]))
        inside = face_hull(points - torch.tensor(low), high[1] - low[1], high[0] - low[0])[0, 0].numpy() > 0
        if inside.any():
            filled[window][inside] = np.round(image[window][inside].mean(0))
    return filled


def shape_vectors(landmarks: np.ndarray) -> np.ndarray:
    """The shape alone, as unit vectors: the 68 points aligned to their mean by similarities (generalized Procrustes), less that mean.

    Args:
        landmarks: ``N x 68 x 2``; NaN where unknown.

    Returns:
        ``N x 136`` float32; NaN where the landmarks are.
    """
    from fo_faceanon.faces import apply_affine, estimate_similarity

    points = torch.from_numpy(landmarks).double()
    known = points.isfinite().flatten(1).all(1)
    vectors = torch.full((len(points), 136), torch.nan, dtype=torch.double)
    if known.any():
        some = points[known]
        mean = some[0]
        for _ in range(5):
            mean = mean - mean.mean(0)
            mean = mean / mean.norm()
            aligned = apply_affine(estimate_similarity(some, mean), some)
            mean = aligned.mean(0)
        vectors[known] = torch.nn.functional.normalize((aligned - mean).flatten(1), dim=1)
    return vectors.float().numpy()


def light_alone(frames: np.ndarray, landmarks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pictures that hold nothing of a person but the low-passed luminance: painted over the mean face of all.

    Args:
        frames: ``N x 3 x S x S`` uint8 aligned originals.
        landmarks: ``N x 68 x 2`` in them.

    Returns:
        ``N x 3 x S x S`` uint8 pictures, and the mean landmarks, ``68 x 2``, by which each of them is to be aligned.
    """
    mean = srgb_to_linear(torch.from_numpy(frames.mean(0, dtype=np.float64)).float() / 255)
    typical = torch.from_numpy(landmarks.mean(0)).float()
    hull, size = face_hull(typical[None], FRAME, FRAME), face_size(typical[None])
    pictures = np.empty_like(frames)
    for start in range(0, len(frames), _CHUNK):
        some: Tensor = srgb_to_linear(torch.from_numpy(frames[start : start + _CHUNK]).float() / 255)
        n = len(some)
        means = mean[None].expand(n, -1, -1, -1)
        gain = lowpass_gain(means, some, hull.expand(n, -1, -1, -1), LIGHT_WIDTH * size.expand(n), colour=0.0)
        lit = linear_to_srgb((means * gain.exp()).clamp(0, 1))
        pictures[start : start + _CHUNK] = (lit * 255).round().to(torch.uint8).numpy()
    return pictures, typical.numpy()
