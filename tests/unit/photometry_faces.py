"""A frontal 68-point face, drawn from proportions, for the photometric tests."""

import math

import torch
from torch import Tensor


def canonical_landmarks(size: int) -> Tensor:
    """``1 x 68 x 2`` iBUG landmarks of a frontal face that fills the middle of a ``size`` px window."""
    jaw = [(math.cos(math.pi * (1 - i / 16)) * 0.30 + 0.5, 0.45 + 0.40 * math.sin(math.pi * i / 16)) for i in range(17)]
    brow = [(0.27 + 0.04 * i, 0.39 - 0.025 * math.sin(math.pi * i / 4)) for i in range(5)]
    brows = brow + [(1 - x, y) for x, y in reversed(brow)]
    nose = [(0.5, 0.43 + 0.05 * i) for i in range(4)] + [(0.44 + 0.03 * i, 0.62 + 0.01 * (2 - abs(i - 2))) for i in range(5)]
    eye = [(0.31, 0.45), (0.335, 0.435), (0.375, 0.435), (0.40, 0.455), (0.375, 0.465), (0.335, 0.465)]
    other = [(1 - eye[i][0], eye[i][1]) for i in (3, 2, 1, 0, 5, 4)]
    outer = [(0.5 - 0.1 * math.cos(math.pi * i / 6), 0.72 - 0.03 * math.sin(math.pi * i / 6)) for i in range(12)]
    inner = [(0.5 - 0.07 * math.cos(math.pi * i / 4), 0.72 - 0.005 * math.sin(math.pi * i / 4)) for i in range(8)]
    return torch.tensor([jaw + brows + nose + eye + other + outer + inner]) * size - 0.5
