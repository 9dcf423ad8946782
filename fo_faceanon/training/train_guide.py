"""Trains the guide on what ``guide_data`` wrote, and measures how far it sees what its teacher sees::

    python -m fo_faceanon.training.train_guide DATA OUT.safetensors --steps 3000

The report, beside the weights, is about faces and originals held out; the donors in composites were seen.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from fo_faceanon.donors.guides import load_guide
from fo_faceanon.networks.guide_net import GuideNet
from fo_faceanon.training.guide_data import COMPOSITE, DONOR, MADE, PHOTOGRAPH, SIDES

#: Loss weight of the pairs' cosines beside the faces' own: who is like whom is what the guide is asked.
_PAIRS = 20.0
#: Share of the feature maps' values that are left out in training.
_DROPPED = 0.1
#: How often faces of each kind are drawn, in relation to their number.
_OFTEN = {PHOTOGRAPH: 1.0, MADE: 0.6, DONOR: 0.6, COMPOSITE: 1.0}
#: Faces that go through the network at once when it is measured.
_BATCH = 128


@dataclass
class Examples:
    """The training set: feature maps on disk, all else in memory."""

    maps: list[np.ndarray]  # each N x S x S x C
    teacher: Tensor
    dlib: Tensor
    kind: np.ndarray
    original: np.ndarray
    donor: np.ndarray
    held_out: np.ndarray

    def inputs(self, rows: np.ndarray) -> list[Tensor]:
        """What the network reads of ``B`` rows."""
        return [torch.from_numpy(values[rows].astype(np.float32)).permute(0, 3, 1, 2) for values in self.maps]


def load_examples(folder: Path) -> Examples:
    """Reads what ``guide_data`` wrote."""
    file = np.load(folder / "faces.npz")
    count = len(file["kind"])
    maps = [np.memmap(folder / f"maps{side}.raw", np.float16, "r").reshape(count, side, side, -1) for side in SIDES]
    teacher, dlib = (torch.from_numpy(file[name]).float() for name in ("teacher", "dlib"))
    kind, original, donor, held_out = (file[name] for name in ("kind", "original", "donor", "held_out"))
    return Examples(maps, teacher, dlib, kind, original, donor, held_out)


def loss_of(found: Tensor, wanted: Tensor) -> Tensor:
    """One less the mean cosine, and the mean squared difference of all pairs' cosines (relational distillation, Park et al. 2019)."""
    own = (1 - (found * wanted).sum(1)).mean()
    return own + _PAIRS * (found @ found.T - wanted @ wanted.T).square().mean()


def train(examples: Examples, net: GuideNet, steps: int, batch: int = 96, rate: float = 3e-3, seed: int = 0) -> GuideNet:
    """One run of AdamW under a one-cycle rate (Smith and Topin 2018), in bfloat16."""
    random = np.random.default_rng(seed)
    chance = np.vectorize(_OFTEN.get)(examples.kind) * ~examples.held_out
    chance = chance / chance.sum()
    net.train().to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(net.parameters(), rate, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps, pct_start=0.15)
    start, running = time.time(), 0.0
    for step in range(1, steps + 1):
        rows = np.sort(random.choice(len(chance), batch, p=chance))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            raw = net([F.dropout(maps, _DROPPED).contiguous(memory_format=torch.channels_last) for maps in examples.inputs(rows)])
        loss = loss_of(F.normalize(raw.float()), examples.teacher[rows])
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 5.0)
        optimizer.step()
        schedule.step()
        running += loss.item()
        if step % 100 == 0:
            print(f"step {step}/{steps} loss {running / 100:.4f} {time.time() - start:.0f} s", flush=True)
            running = 0.0
    return net.eval()


@torch.inference_mode()
def embed(net: GuideNet, examples: Examples, rows: np.ndarray) -> Tensor:
    """``B x 128`` unit vectors of rows."""
    parts = [rows[start : start + _BATCH] for start in range(0, len(rows), _BATCH)]
    return torch.cat([F.normalize(net(examples.inputs(part))) for part in parts])


def correlation(a: Tensor, b: Tensor) -> float:
    """Pearson's."""
    return round(float(torch.corrcoef(torch.stack([a, b]))[0, 1]), 3)


def within(values: Tensor, group: Tensor) -> Tensor:
    """Values less the mean of their group: what tells one donor from another for the same face."""
    sums = torch.zeros(int(group.max()) + 1).index_add(0, group, values)
    return values - (sums / torch.bincount(group).clamp_min(1))[group]


def report(net: GuideNet, examples: Examples) -> dict[str, dict[str, float]]:
    """Agreement with the teacher, and dlib's with it, on strangers and on originals with results; of held-out faces."""
    faces = np.flatnonzero((examples.kind == PHOTOGRAPH) & examples.held_out)
    found, wanted, dlib = embed(net, examples, faces), examples.teacher[faces], examples.dlib[faces]
    above = torch.ones(len(faces), len(faces), dtype=torch.bool).triu(1)
    ours, theirs, others = ((v @ v.T)[above] for v in (found, wanted, dlib))
    strangers = {"faces": len(faces), "cosine": round(float((found * wanted).sum(1).mean()), 3)}
    strangers |= {"pairs": correlation(ours, theirs), "pairs of dlib": correlation(others, theirs)}

    rows = np.flatnonzero((examples.kind == COMPOSITE) & examples.held_out)
    originals, group = np.unique(examples.original[rows], return_inverse=True)
    of_group, donors = torch.from_numpy(group), np.flatnonzero(examples.kind == DONOR)[examples.donor[rows]]
    known = embed(net, examples, originals)[of_group]
    theirs = (examples.teacher[rows] * examples.teacher[examples.original[rows]]).sum(1)
    looks = {
        "guide on result": (embed(net, examples, rows) * known).sum(1),
        "guide on donor": (embed(net, examples, donors) * known).sum(1),
        "dlib on result": (examples.dlib[rows] * examples.dlib[examples.original[rows]]).sum(1),
        "dlib on donor": (examples.dlib[donors] * examples.dlib[examples.original[rows]]).sum(1),
    }
    results: dict[str, float] = {"originals": len(originals), "results": len(rows)}
    for name, ours in looks.items():
        results[name] = correlation(ours, theirs)
        results[f"{name}, among donors for one face"] = correlation(within(ours, of_group), within(theirs, of_group))
    return {"strangers": strangers, "originals and results": results}


def save(net: GuideNet, path: Path) -> None:
    """Writes the weights in half precision, vectors in full."""
    tensors = {name: value.half() if value.ndim > 1 else value for name, value in net.state_dict().items()}
    save_file({name: value.contiguous().clone() for name, value in tensors.items()}, str(path))
    path.chmod(0o644)  # safetensors makes files that only their owner can read


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, default=3000, help="of 96 faces")
    parser.add_argument("--rate", type=float, default=3e-3, help="highest learning rate")
    parser.add_argument("--start", type=Path, help="weights to go on from, as this command writes them")
    parser.add_argument("--seed", type=int, default=0, help="another one where a run goes on")
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(args.seed)
    examples = load_examples(args.data)
    net = load_guide(args.start).requires_grad_(True) if args.start else GuideNet()
    net = train(examples, net, args.steps, rate=args.rate, seed=args.seed)
    save(net, args.out)
    args.out.with_suffix(".json").write_text(json.dumps(report(net, examples), indent=1) + "\n")


if __name__ == "__main__":
    main()
