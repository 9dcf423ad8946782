"""Choosing, among many candidates, a bank that covers what faces look like, without near-duplicates."""

from __future__ import annotations

import torch
from torch import Tensor


def spread(features: Tensor, count: int, typical: float = 0.35, seed: int = 0) -> Tensor:
    """Indices of ``count`` rows: some drawn at random (so that what is common is common), the rest by farthest-point search.

    Farthest-point search (Gonzalez 1985) takes, each time, the row farthest from all rows taken: it covers the rare poses,
    ages and lights that random draws miss.

    Args:
        features: ``N x D``; Euclidean distance between rows is unlikeness.
        count: how many; all rows where there are fewer.
        typical: fraction drawn at random, in ``[0, 1]``.
        seed: of the draw.

    Returns:
        ``min(count, N)`` sorted indices.
    """
    total = features.shape[0]
    if count >= total:
        return torch.arange(total)
    order = torch.randperm(total, generator=torch.Generator().manual_seed(seed))
    chosen = order[: max(int(count * typical), 1)].tolist()
    distance = torch.cdist(features, features[chosen]).amin(1)
    for _ in range(count - len(chosen)):
        farthest = int(distance.argmax())
        chosen.append(farthest)
        distance = torch.minimum(distance, (features - features[farthest]).norm(dim=1))
    return torch.tensor(sorted(chosen))


def voted(features: Tensor, wanted: Tensor, count: int) -> Tensor:
    """Indices of at most ``count`` rows that real faces ask for.

    Every wanted face names its nearest row, then every one its second nearest, and so on: a rare face has as many votes as a
    common one.

    Args:
        features: ``N x D``.
        wanted: ``Q x D``, the same features of real faces.
        count: how many.

    Returns:
        Up to ``count`` sorted indices, fewer where all rows that are near to anyone are named.
    """
    order = torch.cdist(wanted, features).argsort(1)
    named: set[int] = set()
    for row in (row for rank in order.T for row in rank.tolist()):
        if len(named) == count:
            break
        named.add(row)
    return torch.tensor(sorted(named), dtype=torch.long)


def without_duplicates(identity: Tensor, limit: float) -> Tensor:
    """Indices of rows, in order, whose identity is not too close to that of an earlier kept row.

    Args:
        identity: ``N x D`` unit vectors.
        limit: cosine from which two faces count as the same person.
    """
    kept: list[int] = []
    for row in range(identity.shape[0]):
        if not kept or float((identity[kept] @ identity[row]).max()) < limit:
            kept.append(row)
    return torch.tensor(kept, dtype=torch.long)
