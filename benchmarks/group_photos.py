"""Whole photographs: is any face that a detector finds at 20 px or more left as it was?

    python benchmarks/group_photos.py --out results/group_photos.json [--method donor] [--sheet sheet.png] [--photos 60]

The reference detectors run on the originals with settings of their own: facenet-pytorch's MTCNN with its defaults, YuNet from .6,
dlib's HOG detector at 0 with one upsampling. A face counts as left when less than half of its box's middle may have changed.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from detection_recall import dlib_upsampled, facenet_mtcnn, opencv_yunet
from sources import read_tar

from fo_faceanon import Anonymizer
from fo_faceanon.sheets import contact_sheet

SMALLEST = 20.0
REFERENCES = {"facenet-pytorch": facenet_mtcnn, "YuNet": opencv_yunet, "dlib": dlib_upsampled}


def covered(mask: np.ndarray, box: Sequence[float]) -> float:
    """Fraction of the middle half of a box that may have changed."""
    x0, y0, x1, y1 = box
    dx, dy = (x1 - x0) / 4, (y1 - y0) / 4
    height, width = mask.shape
    left, right = (int(np.clip(v, 0, width)) for v in (x0 + dx, x1 - dx + 1))
    top, bottom = (int(np.clip(v, 0, height)) for v in (y0 + dy, y1 - dy + 1))
    middle = mask[top:bottom, left:right]
    return float(middle.mean()) if middle.size else 1.0


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--method", default="donor")
    parser.add_argument("--photos", type=int, default=60)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--sheet", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    pictures = read_tar("group_photos", args.photos)
    anonymizer = Anonymizer(args.method, device="cpu")
    reference = {name: detect(list(pictures.values())) for name, detect in REFERENCES.items()}
    found = dict.fromkeys(REFERENCES, 0)
    left: dict[str, list[dict[str, object]]] = {name: [] for name in REFERENCES}
    actions: dict[str, int] = {}
    pairs = []
    for number, (name, image) in enumerate(pictures.items()):
        result = anonymizer([image])[0]
        pairs.append((image, result.pixels))
        for face in result.faces:
            actions[face.action] = actions.get(face.action, 0) + 1
        for detector, faces in reference.items():
            boxes = [face.box for face in faces[number] if face.size >= SMALLEST]
            found[detector] += len(boxes)
            missed = [[round(float(v)) for v in box] for box in boxes if covered(result.mask, box) < 0.5]
            left[detector] += [{"photo": name, "box": box} for box in missed]
    summary = {"photos": len(pictures), "actions": actions, "faces_of_reference": found, "left": left}
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(summary, indent=1) + "\n")
    print(json.dumps({**summary, "left": {k: len(v) for k, v in left.items()}}, indent=1))
    if args.sheet:
        contact_sheet(pairs, args.sheet, columns=3, height=300)


if __name__ == "__main__":
    main()
