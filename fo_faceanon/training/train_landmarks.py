"""Trains the landmark network on the labels that ``landmarks_data`` wrote::

    python -m fo_faceanon.training.train_landmarks LABELS OUT.safetensors --steps 3000

Every tenth face of each set, and one whole set, are held out; ``landmarks_report`` measures on them.
"""

from __future__ import annotations

import argparse
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional as F

from fo_faceanon.networks.landmark_net import CROP_SIDE, LandmarkCNN
from fo_faceanon.training.landmarks_augment import NOTHING, augment, crop_frame, no_face

#: Faces of more yaw than this, in degrees, are drawn this many times as often as others; those turned by us this many times.
_YAWED, _OFTEN, _OFTEN_TURNED = 20.0, 2.0, 1.5
#: Loss weights of the expected distances and of there being a face, beside the distances in pixels.
_SURE, _FACE = 0.3, 0.5


@dataclass
class Labels:
    """All faces in memory."""

    crops: np.ndarray  # N x 192 x 192 x 3 uint8
    points: np.ndarray  # N x 68 x 2
    chance: np.ndarray  # N, how often a face is drawn; 0 where held out


def load_labels(folder: Path) -> Labels:
    """Reads ``crops.npy`` and ``labels.npz``."""
    with np.load(folder / "labels.npz") as file:
        points, yaw, turned, held_out = (file[name] for name in ("points", "yaw", "turned", "held_out"))
    chance = np.where(turned, _OFTEN_TURNED, np.where(np.abs(yaw) > _YAWED, _OFTEN, 1.0)) * ~held_out
    return Labels(np.load(folder / "crops.npy"), points, chance / chance.sum())


def mean_shape(labels: Labels) -> Tensor:
    """``68 x 2`` mean landmarks in crop pixels, from the crop's middle."""
    rows = np.flatnonzero(labels.chance)[::20]
    frames = [crop_frame(labels.points[row]) for row in rows]
    placed = [labels.points[row] @ frame[:, :2].T + frame[:, 2] for row, frame in zip(rows, frames, strict=True)]
    return torch.from_numpy(np.mean(placed, 0) - (CROP_SIDE - 1) / 2).float()


def draw_batch(labels: Labels, size: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Crops ``B x 3 x 96 x 96`` in ``[0, 1]``, landmarks ``B x 68 x 2`` and whether there is a face, ``B``; the seed decides on all."""
    random = np.random.default_rng(seed)
    face = random.random(size) >= NOTHING
    crops = np.empty((size, CROP_SIDE, CROP_SIDE, 3), np.uint8)
    points = np.zeros((size, 68, 2), np.float32)
    for i, row in enumerate(random.choice(len(labels.chance), size, p=labels.chance)):
        crop, marks = labels.crops[row], labels.points[row]
        if face[i]:
            crops[i], points[i] = augment(crop, marks, random)
        else:
            crops[i] = no_face(crop, marks, random)
    return torch.from_numpy(crops).permute(0, 3, 1, 2).float() / 255, torch.from_numpy(points), torch.from_numpy(face)


def loss_of(raw: tuple[Tensor, Tensor, Tensor], points: Tensor, face: Tensor) -> tuple[Tensor, Tensor]:
    """The loss, and the mean distance in pixels.

    An expected distance ``e`` is learnt by ``d / e + log e``, least where ``e`` is the mean of the distances ``d``; distances are
    not weighted by it, or hard faces would count less.
    """
    found, sure, logit = raw
    distance = ((found - points).square().sum(-1) + 1e-4).sqrt()[face]
    expected = sure[face].clamp(-4, 5)
    doubt = (distance.detach() * torch.exp(-expected) + expected).mean()
    seen = F.binary_cross_entropy_with_logits(logit, face.float())
    return distance.mean() + _SURE * doubt + _FACE * seen, distance.mean().detach()


def train(labels: Labels, net: LandmarkCNN, steps: int, batch: int = 64, rate: float = 2e-3, seed: int = 0) -> LandmarkCNN:
    """One run of AdamW under a one-cycle rate (Smith and Topin 2018), in bfloat16; a thread prepares the next batch."""
    net.train().to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(net.parameters(), rate, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps, pct_start=0.1)
    start, running = time.time(), 0.0
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(draw_batch, labels, batch, seed)
        for step in range(1, steps + 1):
            crops, points, face = coming.result()
            coming = pool.submit(draw_batch, labels, batch, seed + step)
            with torch.autocast("cpu", dtype=torch.bfloat16):
                raw = net(crops.contiguous(memory_format=torch.channels_last))
            found, sure, logit = (value.float() for value in raw)
            loss, distance = loss_of((found, sure, logit), points, face)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(net.parameters(), 5.0)
            optimizer.step()
            schedule.step()
            running += distance.item()
            if step % 50 == 0:
                print(f"step {step}/{steps} distance {running / 50:.3f} px {time.time() - start:.0f} s", flush=True)
                running = 0.0
    return net.eval().to(memory_format=torch.contiguous_format)


def save(net: LandmarkCNN, path: Path) -> None:
    """Writes the weights in half precision, vectors and the template in full."""
    tensors = {name: value.half() if value.ndim > 1 and name != "template" else value for name, value in net.state_dict().items()}
    save_file({name: value.contiguous().clone() for name, value in tensors.items()}, str(path))


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("labels", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, default=3000, help="of 64 crops")
    parser.add_argument("--rate", type=float, default=2e-3, help="highest learning rate")
    parser.add_argument("--start", type=Path, help="weights to go on from, as this command writes them")
    parser.add_argument("--seed", type=int, default=0, help="another one where a run goes on")
    args = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    torch.manual_seed(args.seed)
    labels = load_labels(args.labels)
    net = LandmarkCNN()
    if args.start:
        net.load_state_dict({name: value.float() if value.is_floating_point() else value for name, value in load_file(args.start).items()})
    else:
        net.template.copy_(mean_shape(labels))
    save(train(labels, net, args.steps, rate=args.rate, seed=args.seed * 1_000_000), args.out)


if __name__ == "__main__":
    main()
