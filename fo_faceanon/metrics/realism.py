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
    return _frechet((a.mean(0), _covariance_root(a), len(a)), (b.mean(0), _covariance_root(b), len(b)))


def _frechet(a: tuple[Tensor, Tensor, int], b: tuple[Tensor, Tensor, int]) -> Distance:
    """From both sets' mean, root of the covariance, and size."""
    cross = torch.linalg.svdvals(a[1] @ b[1].T).sum()
    spread = a[1].square().sum() + b[1].square().sum()
    value = (a[0] - b[0]).square().sum() + spread - 2 * cross
    return Distance(max(float(value), 0.0), None, a[2], b[2])


def _covariance_root(x: Tensor) -> Tensor:
    """A matrix ``R`` of at most ``D`` rows with ``R' R`` the covariance of ``N x D`` features."""
    centred = (x - x.mean(0)) / (len(x) - 1) ** 0.5
    return torch.linalg.qr(centred, mode="r").R if len(x) > x.shape[1] else centred


class Moments:
    """Size, mean and covariance of features that come in parts: what FID needs of a set that is larger than memory.

    Args:
        features: ``D``, the length of a feature.
    """

    def __init__(self, features: int) -> None:
        self.count = 0
        self._mean = torch.zeros(features, dtype=torch.float64)
        self._scatter = torch.zeros(features, features, dtype=torch.float64)

    def add(self, rows: Tensor) -> None:
        """``N x D`` more features (Chan, Golub and LeVeque 1979: merges means and scatters without cancellation)."""
        rows = rows.double()
        mean, share = rows.mean(0), len(rows) / (self.count + len(rows))
        gap = mean - self._mean
        centred = rows - mean
        self._scatter += centred.T @ centred + torch.outer(gap, gap) * (self.count * share)
        self._mean += gap * share
        self.count += len(rows)

    def fid(self, target: Moments) -> Distance:
        """:func:`fid` of this set to another.

        Raises:
            InputError: one has fewer than two pictures.
        """
        if min(self.count, target.count) < 2:
            raise InputError(f"a distance between sets needs two pictures of each, but got {self.count} and {target.count}")
        return _frechet(self._parts(), target._parts())

    def _parts(self) -> tuple[Tensor, Tensor, int]:
        values, vectors = torch.linalg.eigh(self._scatter / (self.count - 1))
        return self._mean, values.clamp_min(0).sqrt()[:, None] * vectors.T, self.count


def kid(preds: Tensor, target: Tensor, paired: bool = False) -> Distance:
    """Kernel inception distance (Bińkowski et al. 2018): the squared maximum mean discrepancy under ``(x'y / D + 1) ** 3``.

    The estimate is unbiased, so it may be below 0, and sets of different sizes can be compared. Its standard error is a
    jackknife's over blocks of both sets at once, which also holds where picture ``i`` of one set was made from picture ``i`` of
    the other. Between sets that are alike it comes out about twice too large.

    Args:
        preds: ``N x D`` features of the pictures in question.
        target: ``M x D`` features of real ones.
        paired: whether picture ``i`` of one was made from picture ``i`` of the other. Such pairs, which are alike for another
            reason than that both look real, are then left out (the U-statistic of Gretton et al. 2012, lemma 6).

    Raises:
        InputError: the features do not fit, are not finite, or are of fewer than two pictures.
    """
    a, b = _checked(preds, target)
    if paired and len(a) != len(b):
        raise InputError(f"paired sets must be of one size, but got {len(a)} and {len(b)} pictures")
    blocks = max(min(_BLOCKS, len(a) // 3, len(b) // 3), 1)
    sums = [_block_sums(a, a, blocks, False), _block_sums(b, b, blocks, False), _block_sums(a, b, blocks, not paired)]
    value = _discrepancy([s.sum()[None] for s in sums], [len(a)], [len(b)], paired)[0]
    if blocks < 2:
        return Distance(float(value), None, len(a), len(b))
    sizes = [[len(x) - len(part) for part in x.tensor_split(blocks)] for x in (a, b)]
    without = [s.sum() - s.sum(0) - s.sum(1) + s.diagonal() for s in sums]
    left_out = _discrepancy(without, sizes[0], sizes[1], paired)
    variance = (blocks - 1) / blocks * (left_out - left_out.mean()).square().sum()
    return Distance(float(value), float(variance.sqrt()), len(a), len(b))


def _block_sums(x: Tensor, y: Tensor, blocks: int, diagonal: bool) -> Tensor:
    """``blocks x blocks`` sums of the kernel over pairs of two blocks, with or without each picture's pair with its like."""
    rows = []
    for part in x.tensor_split(blocks):
        kernel = (part @ y.T / x.shape[1] + 1) ** 3
        rows.append(torch.stack([piece.sum() for piece in kernel.tensor_split(blocks, 1)]))
    sums = torch.stack(rows)
    if not diagonal:
        own = ((x * y).sum(1) / x.shape[1] + 1) ** 3
        sums = sums - torch.diag(torch.stack([piece.sum() for piece in own.tensor_split(blocks)]))
    return sums


def _discrepancy(sums: list[Tensor], n: list[int], m: list[int], paired: bool) -> Tensor:
    """Unbiased squared discrepancies from sums over all pairs within the first set of ``n``, the second of ``m``, and across."""
    within_a, within_b, across = sums
    size_a, size_b = across.new_tensor(n), across.new_tensor(m)
    pairs = size_a * (size_b - 1 if paired else size_b)
    return within_a / (size_a * (size_a - 1)) + within_b / (size_b * (size_b - 1)) - 2 * across / pairs


def _checked(preds: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    if preds.ndim != 2 or target.ndim != 2 or preds.shape[1] != target.shape[1]:
        raise InputError(f"features must be N x D and M x D, but got {tuple(preds.shape)} and {tuple(target.shape)}")
    if min(len(preds), len(target)) < 2:
        raise InputError(f"a distance between sets needs two pictures of each, but got {len(preds)} and {len(target)}")
    a, b = preds.double(), target.double()
    if not (a.isfinite().all() and b.isfinite().all()):
        raise InputError("features hold numbers that are not finite")
    return a, b
