"""Ridge regression on a bank's description."""

from __future__ import annotations

import torch
from torch import Tensor


def ridge_slope(x: Tensor, y: Tensor, ridge: float) -> Tensor:
    """``D x K`` float32, so that ``x @ slope`` comes close to ``y``; solved in double precision.

    Args:
        x: ``N x D``.
        y: ``N x K``.
        ridge: added to the diagonal of ``x.T @ x``.
    """
    x, y = x.double(), y.double()
    gram = x.T @ x + ridge * torch.eye(x.shape[1], dtype=x.dtype, device=x.device)
    return torch.linalg.solve(gram, x.T @ y).float()
