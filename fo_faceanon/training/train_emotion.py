"""Trains the emotion network on the faces of ``emotion_data`` with the teachers of ``emotion_teachers``::

    python -m fo_faceanon.training.train_emotion FACES OUT.safetensors

From scratch, on soft labels (:mod:`emotion_labels`), each emotion drawn about as often as another. MediaPipe's blendshapes, where they
are known, and the teachers' own logarithms are further tasks that are dropped at the end: they tell what moves in a face. Every
tenth face of each set, and one whole set, are held out. A run goes on from its own ``OUT.state.pt`` where there is one.
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
from torch import Tensor, nn
from torch.nn import functional as F

from fo_faceanon.networks.emotion import EMOTIONS, EmotionCNN
from fo_faceanon.training.emotion_augment import augment, plain
from fo_faceanon.training.emotion_labels import by_eye, evidence, soft_labels
from fo_faceanon.training.train_attributes import mirror_blendshapes

#: The set that no face is trained on.
UNSEEN = "us_officials"
#: How often faces of an emotion are drawn; the seen-every-day ones a little more often.
DRAWN = torch.tensor([0.17, 0.15, 0.15, 0.16, 0.1, 0.1, 0.17])
#: How much more often a face that was labelled by eye is drawn.
SEEN = 6.0
#: No face is drawn more often than this many times the mean.
MOST = 16.0
#: Weight of each further task, and how fast the averaged weights follow.
SECOND, FOLLOW = 0.5, 0.995


@dataclass
class Faces:
    """All sets in memory."""

    crops: Tensor  # N x 1 x 128 x 128 uint8 luma
    labels: Tensor  # N x 7 probabilities
    shapes: Tensor  # N x 52 blendshapes, NaN where unknown
    said: Tensor  # N x 14 what the teachers said, as evidence() has it
    eyes: Tensor  # N labels by eye, -1 for none
    held_out: Tensor
    sets: list[str]
    set_of: Tensor


def _luma(crops: np.ndarray) -> Tensor:
    """``N x 1 x H x W`` uint8 of ``N x H x W x 3``, a part at a time."""
    weights = np.array([0.299, 0.587, 0.114], np.float32)
    parts = [np.rint(crops[i : i + 500] @ weights).astype(np.uint8) for i in range(0, len(crops), 500)]
    return torch.from_numpy(np.concatenate(parts))[:, None]


def load_faces(folder: Path) -> Faces:
    """Every ``<set>.npz`` of a folder that has its ``<set>.teachers.npz``."""
    paths = sorted(p for p in folder.glob("*.npz") if not p.name.endswith(".teachers.npz") and p.with_suffix(".teachers.npz").exists())
    sets = [path.stem for path in paths]
    columns = {path.stem: dict(np.load(path.with_suffix(".teachers.npz"))) for path in paths}
    crops, eyes = [], {}
    for path in paths:
        with np.load(path) as file:
            crops.append(_luma(file["crops"]))
            eyes[path.stem] = by_eye(path.stem, file["names"])
    held_out = {name: (torch.arange(len(eyes[name])) % 10 == 9) | torch.tensor(name == UNSEEN) for name in sets}
    labels = soft_labels(columns, eyes, held_out)
    unknown = {name: np.full((len(eyes[name]), 52), np.nan, np.float32) for name in sets}
    shapes = [torch.from_numpy(columns[name].get("blendshapes", unknown[name])).float() for name in sets]
    set_of = torch.cat([torch.full((len(eyes[name]),), i) for i, name in enumerate(sets)])
    join = lambda parts: torch.cat([parts[name] for name in sets])  # noqa: E731
    said = torch.cat([evidence(columns[name], blendshapes=False) for name in sets])
    return Faces(torch.cat(crops), join(labels), torch.cat(shapes), said, join(eyes), join(held_out), sets, set_of)


def draw_weights(labels: Tensor, eyes: Tensor) -> Tensor:
    """How often each face is drawn: so that emotions come about as :data:`DRAWN` says; labels by eye count :data:`SEEN` times."""
    weights = (labels / labels.sum(0).clamp_min(1e-6) * DRAWN).sum(1)
    weights = torch.where(eyes >= 0, SEEN * weights, weights)
    return weights.clamp(max=float(weights.mean()) * MOST)


class Pupil(nn.Module):
    """The network with its further tasks."""

    def __init__(self) -> None:
        super().__init__()
        self.net = EmotionCNN()
        self.shapes = nn.Linear(128, 52)
        self.said = nn.Linear(128, 14)

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logits ``B x 7``, blendshapes ``B x 52`` and teachers' evidence ``B x 14`` of ``B x 1 x 64 x 64`` crops."""
        features = self.net.features(crops.expand(-1, 3, -1, -1))
        return self.net.classify(features), self.shapes(features), self.said(features)


def squared_error(found: Tensor, wanted: Tensor, spread: Tensor) -> Tensor:
    """Mean squared error in deviations, over the rows that are known; 0 where none is."""
    known = wanted.isfinite().all(1)
    return ((found[known] - wanted[known]) / spread).square().mean() if known.any() else found.new_zeros(())


class Run:
    """One training run: network, averaged network, optimizer and how far it is.

    Args:
        faces: what to learn from.
        template: ``68 x 2`` landmarks in the network's crop.
        steps: batches in all.
        batch: faces in a batch.
        rate: highest learning rate of the one-cycle schedule (Smith and Topin 2018).
        seed: of everything random.
    """

    def __init__(self, faces: Faces, template: Tensor, steps: int, batch: int = 96, rate: float = 3e-3, seed: int = 0) -> None:
        torch.manual_seed(seed)
        self.faces, self.steps, self.batch = faces, steps, batch
        self.pupil = Pupil().to(memory_format=torch.channels_last)
        self.pupil.net.template.copy_(template)
        self.mean = torch.optim.swa_utils.AveragedModel(
            self.pupil, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(FOLLOW), use_buffers=True
        )
        self.optimizer = torch.optim.AdamW(self.pupil.parameters(), rate, weight_decay=0.05)
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(self.optimizer, rate, total_steps=steps, pct_start=0.15)
        self.rng = torch.Generator().manual_seed(seed)
        self.done = 0
        self.chosen = (~faces.held_out).nonzero()[:, 0]
        self.weights = draw_weights(faces.labels[self.chosen], faces.eyes[self.chosen])
        known = faces.shapes[self.chosen]
        known = known[known.isfinite().all(1)]
        self.spread = known.std(0).clamp_min(0.03) if len(known) else torch.ones(52)
        self.said_spread = faces.said[self.chosen].std(0).clamp_min(0.1)
        self.pupil.shapes.weight.data.mul_(0.1)  # far from the mean, the further tasks' loss is huge at first
        if len(known):
            self.pupil.shapes.bias.data.copy_(known.mean(0))
        self.pupil.said.bias.data.copy_(faces.said[self.chosen].mean(0))

    def step(self) -> float:
        """One batch; returns its loss."""
        rows = self.chosen[torch.multinomial(self.weights, self.batch, True, generator=self.rng)]
        crops, mirror = augment(self.faces.crops[rows], self.rng)
        wanted = self.faces.shapes[rows]
        wanted = torch.where(mirror[:, None], wanted[:, mirror_blendshapes()], wanted)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits, shapes, said = (out.float() for out in self.pupil(crops))
        loss = F.cross_entropy(logits, self.faces.labels[rows])
        loss = loss + SECOND * squared_error(shapes, wanted, self.spread)
        loss = loss + SECOND * squared_error(said, self.faces.said[rows], self.said_spread)
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.pupil.parameters(), 5.0)
        self.optimizer.step()
        self.schedule.step()
        self.mean.update_parameters(self.pupil)
        self.done += 1
        return loss.item()

    @torch.no_grad()
    def spread_of_answers(self) -> Tensor:
        """Deviation of the logits over a few faces: 0 where the network has died and says the same of all."""
        crops = plain(self.faces.crops[self.chosen[:: max(len(self.chosen) // 64, 1)]])
        self.pupil.eval()
        logits = self.pupil(crops)[0]
        self.pupil.train()
        return logits.std(0).mean()

    def state(self) -> dict[str, object]:
        """All that going on needs."""
        parts = {"pupil": self.pupil, "mean": self.mean, "optimizer": self.optimizer, "schedule": self.schedule}
        return {name: part.state_dict() for name, part in parts.items()} | {"rng": self.rng.get_state(), "done": self.done}  # type: ignore[attr-defined]

    def resume(self, path: Path) -> None:
        """Goes on from a state that an earlier run of the same arguments wrote."""
        state = torch.load(path, weights_only=True)
        for name in ("pupil", "mean", "optimizer", "schedule"):
            getattr(self, name).load_state_dict(state[name])
        self.rng.set_state(state["rng"])
        self.done = state["done"]

    def start_from(self, path: Path) -> None:
        """Starts with the network that another run ended with."""
        self.pupil.load_state_dict(torch.load(path, weights_only=True)["pupil"])

    def network(self) -> EmotionCNN:
        """The averaged network, ready to judge."""
        pupil = self.mean.module
        assert isinstance(pupil, Pupil)
        return pupil.net.eval().to(memory_format=torch.contiguous_format)


@torch.inference_mode()
def predict(net: EmotionCNN, crops: Tensor) -> Tensor:
    """``N x 7`` probabilities of stored crops, the mean over mirror images."""
    out = []
    for part in crops.split(256):
        faces = plain(part).expand(-1, 3, -1, -1)
        out.append((net(faces).softmax(1) + net(faces.flip(-1)).softmax(1)) / 2)
    return torch.cat(out)


def agreement(probabilities: Tensor, truth: Tensor) -> dict[str, object]:
    """Accuracy, mean accuracy over the classes that occur, and accuracy and number of faces by class."""
    right = probabilities.argmax(1) == truth
    by_class = {name: right[truth == i] for i, name in enumerate(EMOTIONS) if (truth == i).any()}
    return {
        "faces": len(truth),
        "accuracy": round(float(right.float().mean()), 4),
        "balanced": round(float(np.mean([float(r.float().mean()) for r in by_class.values()])), 4),
        "by_class": {name: [round(float(r.float().mean()), 3), len(r)] for name, r in by_class.items()},
    }


def report(net: EmotionCNN, faces: Faces) -> dict[str, object]:
    """Held-out figures: against labels by eye, and against the soft labels' strongest class."""
    rows = faces.held_out.nonzero()[:, 0]
    found = predict(net, faces.crops[rows])
    seen = faces.eyes[rows] >= 0
    return {
        "by eye": agreement(found[seen], faces.eyes[rows][seen]) if seen.any() else None,
        "regression by eye": agreement(faces.labels[rows][seen], faces.eyes[rows][seen]) if seen.any() else None,
        "soft labels": agreement(found, faces.labels[rows].argmax(1)),
        "said": [round(float(v), 3) for v in found.mean(0)],
    }


def save(net: EmotionCNN, path: Path) -> None:
    """Writes the weights in half precision, vectors and template in full."""
    tensors = {k: v.half() if v.ndim > 1 and k != "template" else v for k, v in net.state_dict().items()}
    save_file({k: v.contiguous().clone() for k, v in tensors.items()}, str(path))


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("faces", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--rate", type=float, default=3e-3, help="highest learning rate")
    parser.add_argument("--start", type=Path, help="OUT.state.pt of an earlier run to begin with")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    faces = load_faces(args.faces)
    print({name: int((faces.set_of == i).sum()) for i, name in enumerate(faces.sets)}, flush=True)
    run = Run(faces, torch.from_numpy(np.load(args.faces / "template.npy")), args.steps, rate=args.rate, seed=args.seed)
    kept = args.out.with_suffix(".state.pt")
    if kept.exists():
        run.resume(kept)
    elif args.start:
        run.start_from(args.start)
    start, running = time.time(), []
    while run.done < run.steps:
        running.append(run.step())
        if run.done % 100 == 0:
            told = float(run.spread_of_answers())
            print(f"step {run.done}/{run.steps} loss {np.mean(running):.4f} spread {told:.3f} {time.time() - start:.0f} s", flush=True)
            running.clear()
        if run.done % 250 == 0 or run.done == run.steps:
            torch.save(run.state(), kept)
    net = run.network()
    save(net, args.out)
    figures = report(net, faces)
    args.out.with_suffix(".json").write_text(json.dumps(figures, indent=1))
    print(json.dumps(figures), flush=True)


if __name__ == "__main__":
    main()
