"""Measures the landmark network, and what it is used for, on the held-out faces of ``landmarks_data``::

    python -m fo_faceanon.training.landmarks_report LABELS OUT.json [--weights FILE]

Distances are means over points, in distances between the eyes on near-frontal faces and in face sizes elsewhere. Boxes are those of
the truth, moved and resized at random by as much as detectors differ; the pictures are those of the labels, at 192 px.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from fo_faceanon.faces import Face
from fo_faceanon.landmarks.dlib68 import Dlib68
from fo_faceanon.landmarks.landmarks68 import choose_landmarks, disagreement
from fo_faceanon.landmarks.net68 import WEIGHTS, MarkedFace, Net68
from fo_faceanon.training.landmarks_augment import no_face
from fo_faceanon.training.landmarks_data import AGREE

#: A mean distance from the truth beyond this, in face sizes, is a wrong answer.
WRONG = 0.15


@dataclass
class Answer:
    """What dlib and the network say of one held-out face."""

    row: int
    truth: np.ndarray
    yaw: float
    dlib: np.ndarray | None
    net: MarkedFace | None


def loose_box(points: np.ndarray, random: np.random.Generator) -> tuple[float, float, float, float]:
    """A detector's box around a face: brows to chin with some forehead, 8 % (one standard deviation) off in size and place."""
    low, high = points.min(0), points.max(0)
    side = np.sqrt((high - low).prod()) * 1.097 / 0.955 * float(np.exp(random.normal(0, 0.08)))
    x, y = (low + high) / 2 + np.array([0.0, -0.16]) * side + random.normal(0, 0.05, 2) * side
    width, height = 0.88 * side, 1.13 * side  # the shape of MTCNN's boxes
    return float(x - width / 2), float(y - height / 2), float(x + width / 2), float(y + height / 2)


def reduce_face(crop: np.ndarray, points: np.ndarray, side: float) -> tuple[np.ndarray, np.ndarray]:
    """The picture at a size at which the face's box is ``side`` pixels."""
    factor = side / float(np.ptp(points, axis=0).max())
    small = cv2.resize(crop, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    ratio = np.array(small.shape[1::-1]) / np.array(crop.shape[1::-1])
    return small, (points + 0.5) * ratio - 0.5


def answer(
    rows: np.ndarray, crops: np.ndarray, labels: dict[str, np.ndarray], net: Net68, dlib: Dlib68, side: float | None
) -> list[Answer]:
    """Both landmarkers on held-out faces; ``side`` reduces the pictures first."""
    out = []
    for row in rows:
        random = np.random.default_rng(int(row))
        crop, truth = np.ascontiguousarray(crops[row]), labels["points"][row]
        if side is not None:
            crop, truth = reduce_face(crop, truth, side)
        faces = [Face(loose_box(truth, random), detector="mtcnn")]
        out.append(Answer(int(row), truth, float(labels["yaw"][row]), dlib(crop, faces)[0], net.mark(crop, faces)[0]))
    return out


def summarise(answers: list[Answer]) -> dict[str, Any]:
    """Errors and shares of wrong or missing answers of dlib, the network, and the choice between them."""
    found = {
        "dlib": [a.dlib for a in answers],
        "network": [a.net.points if a.net is not None and a.net.credible else None for a in answers],
        "together": [choose_landmarks(a.dlib, a.net) for a in answers],
    }
    out: dict[str, Any] = {"faces": len(answers)}
    for name, points in found.items():
        errors = np.array([np.nan if p is None else disagreement(p, a.truth) for p, a in zip(points, answers, strict=True)])
        known = errors[np.isfinite(errors)]
        out[name] = {
            "none": int(np.isnan(errors).sum()),
            "wrong": int((known > WRONG).sum()),
            "mean": _round(known.mean()) if len(known) else None,
            "median": _round(np.median(known)) if len(known) else None,
        }
    return out


def between_eyes(answers: list[Answer], labels: dict[str, np.ndarray]) -> dict[str, Any]:
    """The network against dlib's own points, in distances between the eyes, on near-frontal faces where dlib and mesh agree."""
    errors = []
    for a in answers:
        truth = labels["dlib"][a.row]
        if a.net is not None and abs(a.yaw) < 20 and labels["agreement"][a.row] < AGREE:
            eyes = np.linalg.norm(truth[36:42].mean(0) - truth[42:48].mean(0))
            errors.append(np.linalg.norm(a.net.points - truth, axis=1).mean() / eyes)
    return {
        "faces": len(errors),
        "mean": _round(np.mean(errors)),
        "median": _round(np.median(errors)),
        "p95": _round(np.percentile(errors, 95)),
    }


def calibration(answers: list[Answer]) -> list[dict[str, float]]:
    """Expected against true errors in face sizes, by fifths of the expected ones."""
    marked = [(a.net.error, disagreement(a.net.points, a.truth)) for a in answers if a.net is not None]
    pairs = np.array(sorted(marked))
    return [{"expected": _round(part[:, 0].mean()), "true": _round(part[:, 1].mean())} for part in np.array_split(pairs, 5)]


def false_faces(rows: np.ndarray, crops: np.ndarray, labels: dict[str, np.ndarray], net: Net68) -> dict[str, int]:
    """How many pictures without a face, made of held-out ones as in training, are taken for faces."""
    taken = 0
    for row in rows:
        picture = no_face(np.ascontiguousarray(crops[row]), labels["points"][row], np.random.default_rng(int(row)))
        marked = net.mark(picture, [Face((10.0, 10.0, 102.0, 102.0))])[0]
        taken += marked is not None and marked.credible
    return {"pictures": len(rows), "taken for faces": taken}


def _round(value: Any) -> float:
    return round(float(value), 4)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("labels", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--weights", type=Path, default=WEIGHTS)
    parser.add_argument("--faces", type=int, default=300, help="of each group at most")
    args = parser.parse_args()
    torch.set_num_threads(1)
    with np.load(args.labels / "labels.npz") as file:
        labels = {name: file[name] for name in file.files}
    crops = np.load(args.labels / "crops.npy", mmap_mode="r")
    net, dlib = Net68(weights=args.weights), Dlib68()
    held, yaw, turned = labels["held_out"], np.abs(labels["yaw"]), labels["turned"]
    unmarked = ~turned & ~(labels["agreement"] < WRONG)
    groups = {
        "frontal": (held & ~turned & (yaw < 20) & ~unmarked, None),
        "frontal, face of 40 px": (held & ~turned & (yaw < 20) & ~unmarked, 40.0),
        "frontal, face of 16 px": (held & ~turned & (yaw < 20) & ~unmarked, 16.0),
        "yaw 20 to 35": (held & ~turned & (yaw >= 20) & (yaw < 35), None),
        "yaw over 35": (held & ~turned & (yaw >= 35), None),
        "turned, yaw 30 to 60": (held & turned & (yaw >= 30) & (yaw < 60), None),
        "turned, yaw over 60": (held & turned & (yaw >= 60), None),
        "not marked by dlib": (held & unmarked, None),
    }
    figures: dict[str, Any] = {}
    seen: list[Answer] = []
    for name, (chosen, side) in groups.items():
        rows = np.flatnonzero(chosen)
        answers = answer(rows[:: max(len(rows) // args.faces, 1)][: args.faces], crops, labels, net, dlib, side)
        figures[name] = summarise(answers)
        if name == "frontal":
            figures["between eyes"] = between_eyes(answers, labels)
        seen += answers
        print(name, figures[name], flush=True)
    figures["calibration"] = calibration(seen)
    figures["false faces"] = false_faces(np.flatnonzero(held & ~turned)[::4], crops, labels, net)
    args.out.write_text(json.dumps(figures, indent=1))
    print(json.dumps({name: figures[name] for name in ("between eyes", "calibration", "false faces")}))


if __name__ == "__main__":
    main()
