"""Batches of training faces, drawn on the device that holds them all."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fo_faceanon.errors import InputError
from fo_faceanon.landmarks.drawing import mirror_points
from fo_faceanon.photometry.skin import forehead_points
from fo_faceanon.training.packed import FaceSet

#: Every so-manieth face of each shard is kept out of training, for sheets and comparisons.
HELD_OUT = 50


@dataclass
class Batch:
    """Faces.

    Args:
        pictures: ``B x 3 x S x S`` in ``[-1, 1]``.
        landmarks: ``B x 68 x 2`` in crop pixels.
        hairline: ``B x 10 x 2``, one eye-to-mouth distance above the brows.
        mesh: ``B x 478 x 2``; None where the shards have none.
    """

    pictures: Tensor
    landmarks: Tensor
    hairline: Tensor
    mesh: Tensor | None


class Sampler:
    """Draws faces: a set first, then a face of it, mirrored half the time.

    Args:
        faces: all of them.
        weights: set -> how often it is drawn; empty for the root of each set's size, so that no large set drowns the others.
        seed: of the draws.
        with_mesh: leaves out faces without mesh points.

    Raises:
        InputError: a set is missing, or nothing is left to draw from.
    """

    def __init__(self, faces: FaceSet, weights: dict[str, float], seed: int, with_mesh: bool = False) -> None:
        counts = faces.counts()
        unknown = sorted(set(weights) - set(counts))
        if unknown:
            raise InputError(f"there are no packed faces of {', '.join(unknown)}; there are of {', '.join(counts)}")
        wanted = weights or {name: count**0.5 for name, count in counts.items()}
        per_face = torch.tensor([wanted.get(name, 0.0) / max(counts[name], 1) for name in faces.sets], device=faces.pictures.device)
        chances = per_face[faces.set_of]
        if with_mesh:
            if faces.mesh is None:
                raise InputError("these faces have no mesh points: add them with `fo-faceanon train mesh SHARDS`")
            chances = chances * faces.mesh.isfinite().all(-1).all(-1)
        self.held_out = ((faces.number % HELD_OUT == 0) & (chances > 0)).nonzero()[:, 0]
        self._limits = (chances * (faces.number % HELD_OUT != 0)).double().cumsum(0)
        if not bool(self._limits[-1] > 0):
            raise InputError("no packed face can be drawn: the chosen sets are empty")
        self._limits /= self._limits[-1].clone()
        self._faces = faces
        self._hairline = forehead_points(faces.landmarks, 1.0)
        self.random = torch.Generator(device=chances.device).manual_seed(seed)

    def draw(self, count: int) -> Batch:
        """``count`` faces at random."""
        place = torch.rand(count, device=self._limits.device, generator=self.random, dtype=torch.float64)
        rows = torch.searchsorted(self._limits, place, right=True).clamp(max=len(self._limits) - 1)
        flipped = torch.rand(count, device=rows.device, generator=self.random) < 0.5
        return self.take(rows, flipped)

    def take(self, rows: Tensor, flipped: Tensor | None = None) -> Batch:
        """Those faces, the ones where ``flipped`` mirrored, landmarks and all."""
        size = self._faces.pictures.shape[-1]
        pictures = self._faces.pictures[rows].float() / 127.5 - 1
        landmarks, hairline = self._faces.landmarks[rows], self._hairline[rows]
        mesh = None if self._faces.mesh is None else self._faces.mesh[rows]
        if flipped is not None:
            pictures = torch.where(flipped[:, None, None, None], pictures.flip(-1), pictures)
            landmarks = torch.where(flipped[:, None, None], mirror_points(landmarks, size), landmarks)
            reflected = torch.stack([size - 1 - hairline[..., 0], hairline[..., 1]], -1)
            hairline = torch.where(flipped[:, None, None], reflected.flip(1), hairline)
            mesh = None if mesh is None else torch.where(flipped[:, None, None], mirror_points(mesh, size), mesh)
        return Batch(pictures, landmarks, hairline, mesh)
