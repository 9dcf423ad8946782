"""How like photographs a set of pictures is as a whole: Fréchet inception distance and kernel inception distance."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from fo_faceanon.errors import InputError

#: Parts that the jackknife leaves out in turn.
_BLOCKS = 20


class Distance(NamedTuple):
    """A distance between two sets of pictures, and on how many of each it stands.

    ``standard_error`` is None where the estimator has none.
    """

    value: float
    standard_error: float | None
    preds: int
    target: int


def fid(preds: Tensor, target: Tensor) -> Distance:
    """Fréchet inception distance (Heusel et al. 2017): between Gaussians with the sets' means and covariances.

    It is biased upwards, the more the smaller the sets: compare values of sets of the same sizes only. The trace of the matrix
    square root is the nuclear norm of the product of the centred features, so singular covariances (fewer pictures than
    features) need no regularisation.

    Args:
        preds: ``N x D`` features of the pictures in question.
        target: ``M x D`` features of real ones.

    Returns:
        The distance, 0 or more; computed in float64.

    Raises:
        InputError: the features do not fit, are not finite, or are of fewer than two pictures.
    """
    a, b = _checked(preds, target)
    roots = [_covariance_root(x) for x in (a, b)]
    cross = torch.linalg.svdvals(roots[0] @ roots[1].T).sum()
    spread = sum(root.square().sum() for root in roots)
    value = (a.mean(0) - b.mean(0)).square().sum() + spread - 2 * cross
    return Distance(max(float(value), 0.0), None, len(a), len(b))


def _covariance_root(x: Tensor) -> Tensor:
    """A matrix ``R`` of at most ``D`` rows with ``R' R`` the covariance of ``N x D`` features."""
    centred = (x - x.mean(0)) / (len(x) - 1) ** 0.5
    return torch.linalg.qr(centred, mode="r").R if len(x) > x.shape[1] else centred


def kid(preds: Tensor, target: Tensor) -> Distance:
    """Kernel inception distance (Bińkowski et al. 2018): the squared maximum mean discrepancy under ``(x'y / D + 1) ** 3``.

    The estimate is unbiased, so it may be below 0, and sets of different sizes can be compared. Its standard error is a
    jackknife's over blocks of both sets at once, which also holds where picture ``i`` of one set was made from picture ``i`` of
    the other. Between sets that are alike it comes out about twice too large.

    Args:
        preds: ``N x D`` features of the pictures in question.
        target: ``M x D`` features of real ones.

    Raises:
        InputError: the features do not fit, are not finite, or are of fewer than two pictures.
    """
    a, b = _checked(preds, target)
    blocks = min(_BLOCKS, len(a) // 2, len(b) // 2)
    sums = [_block_sums(x, y, blocks) for x, y in ((a, a), (b, b), (a, b))]
    value = _discrepancy(sums, [len(a)], [len(b)])[0]
    if blocks < 2:
        return Distance(float(value), None, len(a), len(b))
    sizes = [[len(x) - len(part) for part in x.tensor_split(blocks)] for x in (a, b)]
    without = [s.sum() - s.sum(0) - s.sum(1) + s.diagonal() for s in sums]
    left_out = _discrepancy(without, *sizes)
    variance = (blocks - 1) / blocks * (left_out - left_out.mean()).square().sum()
    return Distance(float(value), float(variance.sqrt()), len(a), len(b))


def _block_sums(x: Tensor, y: Tensor, blocks: int) -> Tensor:
    """``blocks x blocks`` sums of the kernel over pairs of two blocks; of one set with itself without the diagonal."""
    rows = []
    for part in x.tensor_split(blocks):
        kernel = (part @ y.T / x.shape[1] + 1) ** 3
        rows.append(torch.stack([piece.sum() for piece in kernel.tensor_split(blocks, 1)]))
    sums = torch.stack(rows)
    if x is y:
        own = (x.square().sum(1) / x.shape[1] + 1) ** 3
        sums = sums - torch.diag(torch.stack([piece.sum() for piece in own.tensor_split(blocks)]))
    return sums


def _discrepancy(sums: list[Tensor], n: list[int], m: list[int]) -> Tensor:
    """Unbiased squared discrepancies from sums over all pairs within and across the sets (scalars after summing, or one per block)."""
    aa, bb, ab = (s.sum()[None] if s.ndim == 2 else s for s in sums)
    count_a, count_b = aa.new_tensor(n), aa.new_tensor(m)
    return aa / (count_a * (count_a - 1)) + bb / (count_b * (count_b - 1)) - 2 * ab / (count_a * count_b)


def _checked(preds: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    if preds.ndim != 2 or target.ndim != 2 or preds.shape[1] != target.shape[1]:
        raise InputError(f"features must be N x D and M x D, but got {tuple(preds.shape)} and {tuple(target.shape)}")
    if min(len(preds), len(target)) < 2:
        raise InputError(f"a distance between sets needs two pictures of each, but got {len(preds)} and {len(target)}")
    a, b = preds.double(), target.double()
    if not (a.isfinite().all() and b.isfinite().all()):
        raise InputError("features hold numbers that are not finite")
    return a, b
