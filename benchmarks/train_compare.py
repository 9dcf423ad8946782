"""Generators beside each other, on faces that none of them was trained on: realism, and whether training faces come back.

    python benchmarks/train_compare.py base.safetensors box.safetensors --data shards128 --out report.json

Each generator fills the held-out faces of the shards (every 50th). FID and KID compare the crops with the originals; beside them
stands a solid fill. FID depends on the number of faces: compare only rows of one table. Memorisation: the cosine of each filled face
to the most alike of the training faces, under a recogniser; held-out real faces, which cannot have been learnt, show what chance gives.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fo_faceanon.landmarks.drawing import sparse7
from fo_faceanon.metrics.realism import fid, kid
from fo_faceanon.networks.files import load_generator, read_card
from fo_faceanon.networks.inception import FidInception
from fo_faceanon.networks.inpainting import InpaintingGenerator
from fo_faceanon.recognition import create_recogniser
from fo_faceanon.training.batches import Batch, Sampler
from fo_faceanon.training.config import TrainConfig
from fo_faceanon.training.masks import hidden_region
from fo_faceanon.training.packed import FaceSet, read_faces


@dataclass
class HeldOut:
    """Faces to fill: crops in ``[-1, 1]``, what is hidden of them, and their landmarks."""

    batch: Batch
    hidden: Tensor

    @classmethod
    def of(cls, faces: FaceSet, limit: int) -> HeldOut:
        """The first ``limit`` held-out faces, evenly spaced."""
        sampler = Sampler(faces, {}, 0)
        rows = sampler.held_out[torch.linspace(0, len(sampler.held_out) - 1, min(limit, len(sampler.held_out))).long()]
        batch = sampler.take(rows)
        size = batch.pictures.shape[-1]
        return cls(batch, hidden_region(batch.landmarks, batch.hairline, size, TrainConfig(), torch.Generator().manual_seed(0)))


@torch.inference_mode()
def fill(path: Path, held_out: HeldOut, device: str) -> Tensor:
    """``N x 3 x S x S`` in ``[0, 1]``: the held-out faces, filled."""
    network = load_generator(path, device)
    assert isinstance(network, InpaintingGenerator), f"{path} fills nothing"
    pictures, landmarks = held_out.batch.pictures, held_out.batch.landmarks
    if network.config.size != pictures.shape[-1]:
        raise SystemExit(f"{path} is for crops of {network.config.size} px: give --size {network.config.size} and its like alone")
    points = sparse7(landmarks) if network.config.points == 7 else landmarks
    noise = torch.randn(len(pictures), network.config.noise, generator=torch.Generator().manual_seed(0))
    inputs = zip(*(x.split(16) for x in (pictures, held_out.hidden, points, noise)), strict=True)
    return torch.cat([(network(*(x.to(device) for x in part)).cpu() + 1) / 2 for part in inputs])


def resemblance(vectors: Tensor, training: Tensor) -> dict[str, float]:
    """How alike faces are to the most alike training face."""
    nearest = (vectors @ training.T).amax(1)
    return {"mean": round(float(nearest.mean()), 4), "p95": round(float(nearest.quantile(0.95)), 4), "max": round(float(nearest.max()), 4)}


def embed(recogniser: Any, pictures: Tensor, landmarks: Tensor) -> Tensor:
    """``N x D`` unit vectors."""
    parts = zip(pictures.split(32), landmarks.split(32), strict=True)
    return torch.cat([recogniser.embed(p, q).cpu() for p, q in parts])


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=Path, nargs="+")
    parser.add_argument("--data", type=Path, required=True, help="folder of packed shards")
    parser.add_argument("--size", type=int, default=128, help="side that the crops are reduced to")
    parser.add_argument("--limit", type=int, default=500, help="held-out faces")
    parser.add_argument("--training-faces", type=int, default=4000, help="compared for memorisation; 0 for none")
    parser.add_argument("--recogniser", default="arcface-w600k-mbf")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    faces = read_faces(args.data).reduced(args.size)
    held_out = HeldOut.of(faces, args.limit)
    originals = (held_out.batch.pictures + 1) / 2
    pictures = {path.stem: fill(path, held_out, args.device) for path in args.weights}
    grey = originals.mean((2, 3), keepdim=True)
    pictures["solid fill"] = torch.where(held_out.hidden > 0.5, grey, originals)
    inception = FidInception(args.device)
    real = inception(iter(originals))
    rows: dict[str, Any] = {}
    for name, made in pictures.items():
        features = inception(iter(made))
        distance = kid(features, real, paired=True)
        rows[name] = {"fid": round(fid(features, real).value, 2), "kid": round(distance.value * 1000, 2)}
        rows[name]["kid_error"] = round((distance.standard_error or 0.0) * 1000, 2)
    if args.training_faces:
        recogniser = create_recogniser(args.recogniser, args.device)
        known = torch.ones(len(faces), dtype=torch.bool)
        known[Sampler(faces, {}, 0).held_out] = False
        chosen = known.nonzero()[:, 0]
        chosen = chosen[torch.linspace(0, len(chosen) - 1, min(args.training_faces, len(chosen))).long()]
        training = embed(recogniser, faces.pictures[chosen].float() / 255, faces.landmarks[chosen])
        for name, made in {**pictures, "held-out originals": originals}.items():
            rows.setdefault(name, {})["resemblance"] = resemblance(embed(recogniser, made, held_out.batch.landmarks), training)
    report = {
        "faces": len(originals),
        "training_faces": args.training_faces,
        "recogniser": args.recogniser,
        "rows": rows,
        "cards": {path.stem: read_card(path) for path in args.weights},
    }
    args.out.write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
