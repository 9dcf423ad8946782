"""Faces for the emotion network: aligned crops, wide enough for every teacher and for moving them about in training.

Run by hand::

    python -m fo_faceanon.training.emotion_data SHARED_DATA OUT [--rendered FOLDER ...]

One ``OUT/<set>.npz`` a set: ``crops`` (``N x 128 x 128 x 3`` uint8), ``points`` (``N x 68 x 2`` landmarks in the crop) and ``names``.
A set that is there already is left as it is.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from fo_faceanon.detection import Detector, create_detector
from fo_faceanon.faces import apply_affine, estimate_similarity, warp_affine
from fo_faceanon.landmarks.dlib68 import Dlib68
from fo_faceanon.networks.emotion import STEADY
from fo_faceanon.training.attributes_data import Picture, read_candidates, read_set

#: Side of the stored crops; the network's crop fills their middle, magnified.
STORED = 128
#: Stored pixels per pixel of the network's crop, and where that crop begins.
MAGNIFY, MARGIN = 1.875, 4.0
#: Faces that a detector is less sure of are left out.
MIN_SCORE = 0.7
#: The sets, and how many pictures of each are read at most.
LIMITS = {
    "all_age_faces": 6192, "utkface_tight": 8026, "ffhq_256": 1100, "omi": 1004, "us_officials": 585, "stylegan_256": 1099,
    "basemax": 901, "ffhq_128": 3900, "generated": 1500, "sd3_portraits": 200,
}  # fmt: skip


def network_template(template: Tensor) -> Tensor:
    """The attribute network's 80 px template (mean frontal landmarks, ``68 x 2``) in the emotion network's crop.

    There is more room below: an open mouth takes the chin down, and the alignment does not follow it.
    """
    return (template + 0.5) * 0.72 - 0.5 + template.new_tensor([3.2, 1.0])


def stored_template(template: Tensor) -> Tensor:
    """The network's template in the stored crop."""
    return (template + 0.5) * MAGNIFY - 0.5 + MARGIN


class Cutter:
    """Cuts the largest face out of pictures.

    Args:
        detector: finds faces.
        template: ``68 x 2`` landmarks in the network's crop.
    """

    def __init__(self, detector: Detector, template: Tensor) -> None:
        self._detector, self._landmarker = detector, Dlib68()
        self._template = stored_template(template)[list(STEADY)]

    @torch.inference_mode()
    def __call__(self, picture: Picture) -> tuple[np.ndarray, np.ndarray, str] | None:
        """Crop, landmarks in it and the picture's name; None without a certain face."""
        found = [face for face in self._detector([picture.pixels])[0] if face.score >= MIN_SCORE]
        landmarks = self._landmarker(picture.pixels, [max(found, key=lambda f: f.size)])[0] if found else None
        if landmarks is None:
            return None
        points = torch.from_numpy(landmarks)[None]
        matrix = estimate_similarity(points[:, list(STEADY)], self._template)
        image = torch.from_numpy(np.array(picture.pixels)).permute(2, 0, 1)[None].float()
        crop = warp_affine(image, matrix, STORED)[0].round().clamp(0, 255).byte().permute(1, 2, 0).numpy()
        return crop, apply_affine(matrix, points)[0].numpy(), picture.name


def write_set(path: Path, pictures: Iterator[Picture], cutter: Cutter) -> int:
    """Cuts one set and writes it; returns how many faces it holds."""
    crops, points, names = zip(*(row for row in map(cutter, pictures) if row is not None), strict=True)
    np.savez(path, crops=np.stack(crops), points=np.stack(points), names=np.array(names))
    return len(names)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--template", type=Path, required=True, help="68 x 2 .npy: mean frontal landmarks in the attributes' 80 px crop")
    parser.add_argument("--rendered", type=Path, nargs="*", default=[], help="folders of N x H x W x 3 stacks of faces of nobody")
    parser.add_argument("--limit", type=int, default=1500, help="rendered faces per folder at most")
    parser.add_argument("--detector", default="yunet")
    args = parser.parse_args()
    torch.set_num_threads(1)
    args.out.mkdir(parents=True, exist_ok=True)
    template = network_template(torch.from_numpy(np.load(args.template)).float())
    np.save(args.out / "template.npy", template.numpy())
    cutter = Cutter(create_detector(args.detector), template)
    sources = {name: read_set(args.data, name, limit) for name, limit in LIMITS.items()}
    sources |= {folder.name: read_candidates(folder, args.limit) for folder in args.rendered}
    for name, pictures in sources.items():
        path = args.out / f"{name}.npz"
        if not path.exists():
            print(name, write_set(path, pictures, cutter), flush=True)


if __name__ == "__main__":
    main()
