"""``mesh478``: a face re-synthesised from the dots of its mesh (GANonymization, Hellmann et al. 2024), put back where it was."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import torch
from torch import Tensor

from fo_faceanon.anonymizers.base import Generated, replacement_alpha
from fo_faceanon.anonymizers.generator import DIALS, PAPER, finish, half_precision, load, place
from fo_faceanon.donors.describe import Description
from fo_faceanon.faces import CropBatch, apply_affine
from fo_faceanon.landmarks.canonical import canonical_frame
from fo_faceanon.landmarks.drawing import draw_mesh
from fo_faceanon.landmarks.mesh478 import PRESENCE, Mesh478
from fo_faceanon.networks.mesh_generator import MeshGenerator
from fo_faceanon.weights import sha256_of


class MeshMethod:
    """Re-synthesis from 478 points alone; unlike the original, in its scene and in its light.

    The same points always give the same face: there is no noise, and a retry would change nothing.

    Args:
        device: where everything runs.
        weights: a trained generator's file; None for the released one.
        photometry: dials of the correction, as for :class:`~fo_faceanon.anonymizers.inpainting.Landmark68`.

    Raises:
        InputError: a dial is out of range.
        WeightsError: the generator's weights or the face landmarker's are missing or damaged.
    """

    name = "mesh478"
    uses_landmarks = True
    describes = False
    DIALS = DIALS

    def __init__(self, device: str = "cpu", weights: str | None = None, **photometry: object) -> None:
        self.photometry = replace(PAPER, **photometry)  # type: ignore[arg-type]
        network, path = load(self.name, weights, MeshGenerator, device)
        self.network = cast(MeshGenerator, network)
        self.landmarker = Mesh478(device)
        self.model_sha256 = sha256_of(path)

    @torch.inference_mode()
    def __call__(self, batch: CropBatch, description: Description | None, exclude: list[set[int]]) -> Generated:
        points, presence, _ = self.landmarker.mark_windows(batch.pixels, batch.landmarks, batch.boxes)
        frame = canonical_frame(batch.landmarks, self.network.config.size)
        made = place(self.draw(apply_affine(frame, points[..., :2])), frame, batch.pixels.shape[-1])
        pixels = finish(made.clamp(0, 1), batch, self.photometry)
        problems = [None if value >= PRESENCE else "no face mesh found" for value in presence.tolist()]
        return Generated(pixels, replacement_alpha(batch), problems, [set() for _ in range(len(batch))])

    def draw(self, points: Tensor) -> Tensor:
        """``B x 3 x size x size`` in ``[0, 1]`` from ``B x 478 x 2`` points in crop pixels: all that the network is told."""
        with half_precision(points):
            made = self.network(draw_mesh(points, self.network.config.size))
        return (made.float() + 1) / 2
