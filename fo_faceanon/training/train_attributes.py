"""Trains the attribute network on the labels that ``attributes_data`` wrote::

    python -m fo_faceanon.training.train_attributes LABELS OUT.safetensors --template template.npy

Every tenth face of each set, and one whole set, are held out; the figures on them are printed and written beside the weights.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from fo_faceanon.attributes import BLENDSHAPES, AttributeNet
from fo_faceanon.faces import apply_affine, grid_sample_pixels
from fo_faceanon.networks.attributes import AGE_ORIGIN, AGE_UNIT, CROP_SIDE, POSE_UNIT, AttributeCNN, split_heads
from fo_faceanon.training.attributes_data import MAGNIFY, MARGIN
from fo_faceanon.training.parse_faces import soft_labels

#: Index permutation of the 68 landmarks that mirroring a picture makes.
MIRROR_POINTS = (
    *range(16, -1, -1), *range(26, 16, -1), 27, 28, 29, 30, *range(35, 30, -1), 45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40,
    *range(54, 47, -1), *range(59, 54, -1), *range(64, 59, -1), 67, 66, 65,
)  # fmt: skip
#: The set that no face is trained on.
UNSEEN = "us_officials"
#: Names of pictures of men, by set, labelled by eye: with and without beard; stubble is left out.
BEARDS = Path(__file__).parents[1] / "data" / "beards.json"
BINARY = ("male", "glasses", "sunglasses", "occluded", "beard")
#: Loss weights; blendshapes are the purpose, the rest must not drown them.
WEIGHTS = {"blendshapes": 1.0, "pose": 1.0, "age": 0.4, "male": 0.2, "glasses": 0.4, "sunglasses": 0.2, "occluded": 0.2, "beard": 0.2}
#: A blendshape counts as told, and goes into the expression vector, from this held-out correlation and spread.
TOLD_CORRELATION, TOLD_SPREAD = 0.5, 0.02


def mirror_blendshapes() -> Tensor:
    """The permutation of the 52 blendshapes that mirroring a picture makes."""
    swap = {"Left": "Right", "Right": "Left"}
    names = [next((n[: -len(end)] + other for end, other in swap.items() if n.endswith(end)), n) for n in BLENDSHAPES]
    return torch.tensor([BLENDSHAPES.index(n) for n in names])


@dataclass
class Labels:
    """All faces of all sets in memory; NaN where a label is unknown. ``pose`` has its roll in the crop."""

    crops: Tensor  # N x 3 x 112 x 112 uint8
    points: Tensor  # N x 68 x 2 landmarks in network pixels
    targets: dict[str, Tensor]
    sets: list[str]
    set_of: Tensor
    held_out: Tensor

    def __len__(self) -> int:
        return len(self.set_of)


def _beards(set_name: str, values: dict[str, np.ndarray]) -> np.ndarray:
    """1 with a beard or moustache, 0 without, NaN unknown: a few hundred men labelled by eye, and women and children taken to have none."""
    by_eye = json.loads(BEARDS.read_text()).get(set_name, {"beard": [], "none": []})
    out = np.where((values["male"] < 0.2) | (values["age"] < 12), 0.0, np.nan)
    out[np.isin(values["names"], by_eye["none"])] = 0.0
    out[np.isin(values["names"], by_eye["beard"])] = 1.0
    return out


def _load_set(path: Path) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    with np.load(path) as file:
        values = {key: file[key] for key in file.files}
    count = len(values["age"])
    align = values["align"]
    pose = values["pose"].copy()
    pose[:, 2] += np.degrees(np.arctan2(align[:, 1, 0], align[:, 0, 0]))
    pose[:, 2] = (pose[:, 2] + 180) % 360 - 180
    parsed = path.with_suffix(".parsed.npz")
    extra: dict[str, np.ndarray] = {}
    if parsed.exists():
        with np.load(parsed) as file:
            extra = soft_labels(file["band"], file["ratio"], file["cover"])
    columns = {"age": values["age"], "male": values["male"], "beard": _beards(path.stem, values)}
    columns |= {name: extra.get(name, np.full(count, np.nan)) for name in ("glasses", "sunglasses", "occluded")}
    targets = {name: torch.from_numpy(column).float()[:, None] for name, column in columns.items()}
    targets |= {"blendshapes": torch.from_numpy(values["blendshapes"]), "pose": torch.from_numpy(pose).float()}
    points = apply_affine(torch.from_numpy(align), torch.from_numpy(values["points"]))
    points = (points - MARGIN + 0.5) / MAGNIFY - 0.5
    return torch.from_numpy(values["crops"]).permute(0, 3, 1, 2).contiguous(), points, targets


def load_labels(folder: Path) -> Labels:
    """Reads every ``<set>.npz`` of ``folder`` (and the parser's ``<set>.parsed.npz`` beside it)."""
    paths = sorted(p for p in folder.glob("*.npz") if not p.name.endswith(".parsed.npz"))
    loaded = [_load_set(path) for path in paths]
    sets = [path.stem for path in paths]
    crops, points = torch.cat([c for c, _, _ in loaded]), torch.cat([p for _, p, _ in loaded])
    targets = {name: torch.cat([t[name] for _, _, t in loaded]) for name in loaded[0][2]}
    set_of = torch.cat([torch.full((len(c),), i) for i, (c, _, _) in enumerate(loaded)])
    within = torch.cat([torch.arange(len(c)) for c, _, _ in loaded])
    held_out = within % 10 == 9
    if UNSEEN in sets:
        held_out |= set_of == sets.index(UNSEEN)
    return Labels(crops, points, targets, sets, set_of, held_out)


def cut(stored: Tensor, scale: Tensor, angle: Tensor, shift: Tensor, mirror: Tensor) -> Tensor:
    """Network inputs out of stored crops.

    Args:
        stored: ``B x 3 x 112 x 112`` uint8.
        scale: ``B`` magnification of the face about the crop's centre.
        angle: ``B`` clockwise turn of the face, radians.
        shift: ``B x 2`` move of the face, network pixels.
        mirror: ``B`` bool, applied last.
    """
    axis = torch.arange(CROP_SIDE, dtype=torch.float32) - (CROP_SIDE - 1) / 2
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    x = torch.where(mirror[:, None, None], -x, x) - shift[:, 0, None, None]
    y = y.expand_as(x) - shift[:, 1, None, None]
    cos, sin = (torch.cos(angle) / scale)[:, None, None], (torch.sin(angle) / scale)[:, None, None]
    centre = CROP_SIDE / 2 * MAGNIFY - 0.5 + MARGIN
    positions = torch.stack([cos * x + sin * y, cos * y - sin * x], -1) * MAGNIFY + centre
    return grid_sample_pixels(stored.float() / 255, positions)


def plain(stored: Tensor) -> Tensor:
    """Network inputs without augmentation."""
    n = len(stored)
    return cut(stored, torch.ones(n), torch.zeros(n), torch.zeros(n, 2), torch.zeros(n, dtype=torch.bool))


def degrade(crops: Tensor, side: int) -> Tensor:
    """What a face ``side`` pixels wide per crop looks like, enlarged again."""
    small = F.interpolate(crops, size=(side, side), mode="bilinear", antialias=True, align_corners=False)
    return F.interpolate(small, size=crops.shape[-2:], mode="bilinear", align_corners=False)


def recolour(crops: Tensor, rng: torch.Generator) -> Tensor:
    """Random exposure, contrast, tint, grey and noise."""

    def uniform(low: float, high: float, channels: int = 1) -> Tensor:
        return torch.rand(len(crops), channels, 1, 1, generator=rng) * (high - low) + low

    crops = crops.clamp_min(1e-4) ** uniform(0.7, 1.4)
    mean = crops.mean((1, 2, 3), keepdim=True)
    crops = (crops - mean) * uniform(0.75, 1.25) + mean * uniform(0.8, 1.2)
    crops = crops * uniform(0.9, 1.1, 3)
    crops = torch.where(uniform(0, 1) < 0.1, crops.mean(1, keepdim=True), crops)
    return crops + torch.randn(crops.shape, generator=rng) * uniform(0, 1).square() * 0.06


def disturb(points: Tensor, mirror: Tensor, rng: torch.Generator) -> Tensor:
    """Landmarks mirrored with their crops, and moved at random by 0 to 1 px (one face's accuracy differs from another's)."""
    mirrored = points[:, list(MIRROR_POINTS)] * points.new_tensor([-1.0, 1.0]) + points.new_tensor([CROP_SIDE - 1.0, 0.0])
    points = torch.where(mirror[:, None, None], mirrored, points)
    return points + torch.randn(points.shape, generator=rng) * torch.rand(len(points), 1, 1, generator=rng)


def augment(stored: Tensor, points: Tensor, targets: dict[str, Tensor], rng: torch.Generator) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """Random moves, mirror images, colours and resolutions, with the labels that follow them.

    The landmarks do not follow the moves: those stand for errors of the landmarks that crops are aligned by.
    """
    n = len(stored)
    mirror = torch.rand(n, generator=rng) < 0.5
    angle = (torch.rand(n, generator=rng) - 0.5) * math.radians(8)
    crops = cut(stored, 1 + (torch.rand(n, generator=rng) - 0.5) * 0.1, angle, (torch.rand(n, 2, generator=rng) - 0.5) * 4, mirror)
    crops = recolour(crops, rng)
    group = n // 8  # half the batch stays sharp; the rest is reduced in four groups, the last to faces of about 20 px
    for k, (low, high) in enumerate(((48, 72), (32, 56), (24, 40), (18, 30))):
        side = int(torch.randint(low, high, (), generator=rng))
        crops[k * group : (k + 1) * group] = degrade(crops[k * group : (k + 1) * group], side)
    targets = dict(targets)
    pose = targets["pose"].clone()
    pose[:, 2] += torch.rad2deg(angle)
    pose[mirror] *= torch.tensor([-1.0, 1.0, -1.0])
    targets["pose"] = pose
    targets["blendshapes"] = torch.where(mirror[:, None], targets["blendshapes"][:, mirror_blendshapes()], targets["blendshapes"])
    return crops, disturb(points, mirror, rng), targets


def loss_of(raw: Tensor, targets: dict[str, Tensor], spread: Tensor) -> Tensor:
    """Weighted sum over the outputs; unknown labels count nothing."""
    heads = split_heads(raw)
    total = WEIGHTS["blendshapes"] * ((heads["blendshapes"].sigmoid() - targets["blendshapes"]) / spread).square().mean()
    total = total + WEIGHTS["pose"] * F.smooth_l1_loss(heads["pose"], targets["pose"] / POSE_UNIT, beta=0.2)
    wanted = {"age": (targets["age"] - AGE_ORIGIN) / AGE_UNIT} | {name: targets[name] for name in BINARY}
    for name, target in wanted.items():
        known = target.isfinite()
        if not known.any():
            continue
        value, aim = heads[name][known], target[known]
        loss = F.smooth_l1_loss(value, aim, beta=0.3) if name == "age" else F.binary_cross_entropy_with_logits(value, aim)
        total = total + WEIGHTS[name] * loss
    return total


@torch.no_grad()
def start_at_means(net: AttributeCNN, means: Tensor) -> None:
    """Biases such that the untrained network answers the mean blendshapes: most are near 0, and far from it the loss is huge."""
    last = net.head[-1]
    assert isinstance(last, torch.nn.Linear)
    last.weight.mul_(0.1)
    last.bias.zero_()
    last.bias[: len(means)] = means.clamp(0.002, 0.998).logit()


def doubt_missing_glasses(labels: Labels, net: AttributeCNN) -> None:
    """Corrects the parser, which overlooks thin and rimless glasses: of its "no glasses" that an earlier network gave 0.3 or more, nearly
    all that were looked at had glasses. From 0.5 they count as glasses, from 0.2 as unknown. Held-out labels stay as they are.
    """
    target = labels.targets["glasses"]
    rows = ((target[:, 0] < 0.35) & ~labels.held_out).nonzero()[:, 0]
    seen = predict(net.eval(), labels, rows)["glasses"]
    target[rows] = torch.where(seen >= 0.5, 1.0, torch.where(seen >= 0.2, torch.nan, target[rows]))


def train(labels: Labels, net: AttributeCNN, epochs: int, batch: int = 128, rate: float = 3e-3, seed: int = 0) -> AttributeCNN:
    """One run of AdamW under a one-cycle rate (Smith and Topin 2018), in bfloat16."""
    rng = torch.Generator().manual_seed(seed)
    net.train().to(memory_format=torch.channels_last)
    chosen = (~labels.held_out).nonzero()[:, 0]
    spread = labels.targets["blendshapes"][chosen].std(0).clamp_min(0.03)
    optimizer = torch.optim.AdamW(net.parameters(), rate, weight_decay=0.02)
    steps = len(chosen) // batch
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=epochs * steps, pct_start=0.15)
    for epoch in range(epochs):
        start, running = time.time(), 0.0
        order = chosen[torch.randperm(len(chosen), generator=rng)]
        for step in range(steps):
            rows = order[step * batch : (step + 1) * batch]
            crops, points, targets = augment(labels.crops[rows], labels.points[rows], {k: v[rows] for k, v in labels.targets.items()}, rng)
            with torch.autocast("cpu", dtype=torch.bfloat16):
                raw = net(crops.contiguous(memory_format=torch.channels_last), points)
            loss = loss_of(raw.float(), targets, spread)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(net.parameters(), 5.0)
            optimizer.step()
            schedule.step()
            running += loss.item()
        print(f"epoch {epoch + 1}/{epochs} loss {running / steps:.4f} {time.time() - start:.0f} s", flush=True)
    return net.eval()


@torch.inference_mode()
def predict(net: AttributeCNN, labels: Labels, rows: Tensor, side: int | None = None) -> dict[str, Tensor]:
    """Outputs in the units of the targets; ``side`` reduces the crops first."""
    parts = []
    for part in rows.split(256):
        crops = plain(labels.crops[part])
        parts.append(net(crops if side is None else degrade(crops, side), labels.points[part]))
    heads = split_heads(torch.cat(parts))
    out = {name: heads[name].sigmoid() for name in ("blendshapes", *BINARY)}
    return out | {"pose": heads["pose"] * POSE_UNIT, "age": (heads["age"] * AGE_UNIT + AGE_ORIGIN).clamp(0, 100)}


def correlation(a: Tensor, b: Tensor) -> Tensor:
    """Pearson correlation of the columns of two ``N x K``; 0 where a column is constant."""
    a, b = a - a.mean(0), b - b.mean(0)
    return (a * b).sum(0) / (a.norm(dim=0) * b.norm(dim=0)).clamp_min(1e-9)


def roc_area(score: Tensor, positive: Tensor) -> float:
    """Area under the ROC curve (Mann-Whitney)."""
    hits, others = score[positive], score[~positive]
    if not len(hits) or not len(others):
        return float("nan")
    return float((hits[:, None] > others).float().mean() + 0.5 * (hits[:, None] == others).float().mean())


def measure(predicted: dict[str, Tensor], targets: dict[str, Tensor]) -> dict[str, object]:
    """Held-out figures of one group of faces."""
    corr = correlation(predicted["blendshapes"], targets["blendshapes"])
    error = (predicted["blendshapes"] - targets["blendshapes"]).abs().mean(0)
    out: dict[str, object] = {
        "faces": len(targets["pose"]),
        "correlation": {n: round(float(c), 3) for n, c in zip(BLENDSHAPES, corr, strict=True)},
        "blendshape_mae": {n: round(float(c), 4) for n, c in zip(BLENDSHAPES, error, strict=True)},
        "pose_mae": [round(float(v), 2) for v in (predicted["pose"] - targets["pose"]).abs().mean(0)],
    }
    known = targets["age"][:, 0].isfinite()
    if known.any():
        out["age"] = {"faces": int(known.sum()), "mae": round(float((predicted["age"] - targets["age"])[known].abs().mean()), 2)}
    for name in BINARY:
        target, score = targets[name][:, 0], predicted[name][:, 0]
        known = target.isfinite() & ((target - 0.5).abs() > 0.15)  # ratings in the middle have no right answer
        if known.any():
            positive = target[known] > 0.5
            right = (score[known] > 0.5) == positive
            out[name] = {
                "faces": int(known.sum()),
                "positive": int(positive.sum()),
                "accuracy": round(float(right.float().mean()), 4),
                "roc_area": round(roc_area(score[known], positive), 4),
            }
    return out


def report(net: AttributeCNN, labels: Labels) -> dict[str, dict[str, object]]:
    """Held-out figures over all faces, per set, and for small faces."""
    rows = labels.held_out.nonzero()[:, 0]
    figures = {}
    for name, side in (("all", None), ("all at 40 px", 40), ("all at 20 px", 20)):
        figures[name] = measure(predict(net, labels, rows, side), {k: v[rows] for k, v in labels.targets.items()})
    for i, name in enumerate(labels.sets):
        part = rows[labels.set_of[rows] == i]
        figures[name] = measure(predict(net, labels, part), {k: v[part] for k, v in labels.targets.items()})
    return figures


def save(net: AttributeCNN, labels: Labels, path: Path) -> None:
    """Writes the weights in half precision (vectors and template in full), with the expression vector's definition."""
    rows = labels.held_out.nonzero()[:, 0]
    aim = labels.targets["blendshapes"]
    told = correlation(predict(net, labels, rows)["blendshapes"], aim[rows]) >= TOLD_CORRELATION
    told &= aim.std(0) >= TOLD_SPREAD
    told[BLENDSHAPES.index("_neutral")] = False
    index = told.nonzero()[:, 0]
    tensors = {k: v.half() if v.ndim > 1 and k != "template" else v for k, v in net.state_dict().items()}
    tensors |= {"expression.index": index, "expression.mean": aim.mean(0)[index], "expression.std": aim.std(0)[index]}
    save_file({k: v.contiguous().clone() for k, v in tensors.items()}, str(path))


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("labels", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--template", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=25)
    parser.add_argument("--rate", type=float, default=3e-3, help="highest learning rate")
    parser.add_argument("--start", type=Path, help="weights to go on from, as this command writes them")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    labels = load_labels(args.labels)
    print({name: int((labels.set_of == i).sum()) for i, name in enumerate(labels.sets)}, flush=True)
    torch.manual_seed(0)
    net = AttributeCNN()
    if args.start:
        net = AttributeNet(weights=args.start).net
        doubt_missing_glasses(labels, net)
    else:
        net.template.copy_(torch.from_numpy(np.load(args.template)))
        start_at_means(net, labels.targets["blendshapes"][~labels.held_out].mean(0))
    net = train(labels, net, args.epochs, rate=args.rate).to(memory_format=torch.contiguous_format)
    save(net, labels, args.out)
    args.out.with_suffix(".json").write_text(json.dumps(report(net, labels), indent=1))


if __name__ == "__main__":
    main()
