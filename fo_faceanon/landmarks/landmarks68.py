"""68 landmarks of any face: dlib's where they can be believed, for they are the most exact, else our own network's."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from fo_faceanon.faces import Face
from fo_faceanon.landmarks.dlib68 import Dlib68
from fo_faceanon.landmarks.net68 import PRESENCE, MarkedFace, Net68, face_size

#: dlib is believed up to this mean distance from the network's points, in face sizes. On 1,075 held-out training faces this kept 1 of
#: dlib's 224 wrong answers (beyond 0.15) and replaced 4 of its 554 good ones (within 0.08).
BELIEVED = 0.10
#: Expected error of the network's points, in face sizes, up to which dlib's agreement makes up for its doubt.
DOUBTFUL = 0.25


class Landmarks68:
    """68 landmarks (iBUG order) for the faces of an image, whichever detector drew their boxes.

    Args:
        device: where the network runs; dlib runs on the CPU.

    Raises:
        WeightsError: dlib's or the network's weights are missing or cannot be read.
    """

    name = "landmarks68"

    def __init__(self, device: str | torch.device = "cpu") -> None:
        self.dlib, self.net = Dlib68(), Net68(device)

    def __call__(self, image: np.ndarray, faces: Sequence[Face]) -> list[np.ndarray | None]:
        """Landmarks for each face.

        Args:
            image: ``H x W x 3`` uint8 RGB, oriented.
            faces: only their boxes and their detectors' names are read.

        Returns:
            For each face ``68 x 2`` float32 pixel positions, which may leave the image; None where the network sees no face.
        """
        pairs = zip(self.dlib(image, faces), self.net.mark(image, faces), strict=True)
        return [choose_landmarks(dlib, marked) for dlib, marked in pairs]


def choose_landmarks(dlib: np.ndarray | None, marked: MarkedFace | None) -> np.ndarray | None:
    """dlib's points (``68 x 2``, or None where it has none) if the network bears them out, else the network's if it trusts its own.

    A network in doubt, as on a blurred face, is borne out by dlib in turn.
    """
    if marked is None or marked.presence < PRESENCE or marked.error > DOUBTFUL:
        return None
    if dlib is not None and disagreement(dlib, marked.points) <= BELIEVED:
        return dlib
    return marked.points if marked.credible else None


def disagreement(a: np.ndarray, b: np.ndarray) -> float:
    """Mean distance of two ``68 x 2`` sets of points, in face sizes of the second."""
    return float(np.linalg.norm(a - b, axis=1).mean() / np.maximum(face_size(b), 1e-6))
