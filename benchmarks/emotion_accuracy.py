"""How often the bundled emotion network is right, beside face-api's and the other teachers on the same faces::

    python benchmarks/emotion_accuracy.py --out results/emotion.json [--teachers FOLDER] [--cache FOLDER]

LFW with its noisy labels (accuracy, and mean accuracy over classes), the London set (smiling or neutral), and how often a network says
the same of a picture and of its copy as JPEG 95. Intervals: 95 %, bootstrap over persons.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from embedding import _digest as digest
from embedding import _remember as remember
from embedding import judge_set
from PIL import Image
from sources import decode, read_files, shared_folder
from torch import Tensor

from fo_faceanon.emotion import EMOTIONS, EmotionClassifier
from fo_faceanon.recognition.windows import crops_of
from fo_faceanon.training.emotion_teachers import load_teachers

#: The labels of LFW in our words; contempt (one picture) and pictures without a label are left out.
LABELS = {
    "neutral": "neutral", "happiness": "happy", "sadness": "sad", "anger": "angry", "fear": "fearful", "disgust": "disgusted",
    "surprise": "surprised",
}  # fmt: skip
#: Classes with more than one picture.
COMMON = ("neutral", "happy", "sad", "angry", "surprised")
DRAWS = 2000
#: Every fifth face of LFW is compressed and judged again.
THINNED = 5
Network = Callable[[Tensor, Tensor], Tensor]


def lfw_labels() -> dict[str, str]:
    """Class by file name."""
    with (shared_folder() / "data" / "index.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["set"] == "lfw" and row["label"].startswith("emotion=")]
    labels = {row["file"]: row["label"].removeprefix("emotion=") for row in rows}
    return {file: LABELS[label] for file, label in labels.items() if label in LABELS}


@torch.inference_mode()
def judged(network: Network, images: list[np.ndarray], landmarks: list[np.ndarray], cache: Path | None = None) -> np.ndarray:
    """``N x 7`` probabilities of one face per image; a ``cache`` file keeps them by picture and landmarks."""

    def make(chosen: list[int]) -> list[np.ndarray]:
        out = torch.full((len(chosen), len(EMOTIONS)), torch.nan)
        for rows, crops, points in crops_of([images[i] for i in chosen], [landmarks[i] for i in chosen]):
            out[rows] = network(crops, points).float()
        return list(out.numpy())

    if cache is None:
        return np.stack(make(list(range(len(images)))))
    keys = [digest(image, points) for image, points in zip(images, landmarks, strict=True)]
    return np.stack(remember(cache.parent, cache.name, keys, make))


def scores(said: np.ndarray, truth: np.ndarray, weights: np.ndarray) -> dict[str, float]:
    """Accuracy, and mean accuracy over classes (those that occur; the common five), of weighted faces."""
    right = (said == truth) * weights
    totals = {name: weights[truth == i].sum() for i, name in enumerate(EMOTIONS)}
    by_class = {name: right[truth == EMOTIONS.index(name)].sum() / total for name, total in totals.items() if total > 0}
    return {
        "accuracy": float(right.sum() / weights.sum()),
        "balanced": float(np.mean(list(by_class.values()))),
        "balanced_five": float(np.mean([by_class[name] for name in COMMON if name in by_class])),
    }


def draws(persons: list[str], seed: int = 0) -> np.ndarray:
    """``DRAWS x N``: how often each face is in a draw of persons with replacement."""
    _, person = np.unique(persons, return_inverse=True)
    rng = np.random.default_rng(seed)
    count = person.max() + 1
    return np.stack([np.bincount(rng.integers(0, count, count), minlength=count)[person] for _ in range(DRAWS)]).astype(float)


def interval(values: list[float]) -> list[float]:
    """2.5th and 97.5th percentile."""
    return [round(float(v), 4) for v in np.percentile(values, [2.5, 97.5])]


def lfw_figures(said: dict[str, np.ndarray], truth: np.ndarray, persons: list[str]) -> dict[str, Any]:
    """Figures per network, with intervals of the figures and of their differences from face-api's."""
    drawn = draws(persons)
    spread = {name: [scores(labels, truth, w) for w in drawn] for name, labels in said.items()}
    out: dict[str, Any] = {}
    for name, labels in said.items():
        point = scores(labels, truth, np.ones(len(truth)))
        out[name] = {key: [round(value, 4), *interval([s[key] for s in spread[name]])] for key, value in point.items()}
        out[name]["less_face_api"] = {
            key: interval([mine[key] - theirs[key] for mine, theirs in zip(spread[name], spread["face_api"], strict=True)]) for key in point
        }
        counts = np.zeros((len(EMOTIONS), len(EMOTIONS)), int)
        np.add.at(counts, (truth, labels), 1)
        out[name]["confusion"] = counts.tolist()
    return out


def jpeg(image: np.ndarray) -> np.ndarray:
    """The picture as JPEG 95."""
    data = io.BytesIO()
    Image.fromarray(image).save(data, "JPEG", quality=95)
    return np.asarray(Image.open(data).convert("RGB"))


def kept_answers(cache: Path | None, key: str) -> Path | None:
    """Where a teacher's answers are kept: teachers do not change, our network does."""
    return cache / f"emotion-{key}" if cache and key != "ours" else None


def london_figures(networks: dict[str, Network], cache: Path | None) -> dict[str, Any]:
    """Happy on smiling pictures, neutral on neutral ones: said of all seven, and of these two alone."""
    files = {name: decode(data) for name, data in read_files("london").items()}
    faces = judge_set(list(files.values()), [], cache).faces
    rows = [(name, image, face) for (name, image), face in zip(files.items(), faces, strict=True) if face is not None]
    truth = np.array([EMOTIONS.index("happy" if Path(name).name.startswith("smiling") else "neutral") for name, _, _ in rows])
    out: dict[str, Any] = {"faces": len(rows), "pictures": len(files)}
    drawn = draws([Path(name).stem.split("_")[-1] for name, _, _ in rows])
    for key, network in networks.items():
        found = judged(network, [image for _, image, _ in rows], [face.landmarks for _, _, face in rows], kept_answers(cache, key))
        right = {"of_seven": found.argmax(1) == truth, "of_two": found[:, :2].argmax(1) == truth}
        out[key] = {name: [round(float(r.mean()), 4), *interval(list(drawn @ r / drawn.sum(1)))] for name, r in right.items()}
    return out


def noise_figures(networks: dict[str, Network], images: list[np.ndarray], cache: Path | None) -> dict[str, Any]:
    """How often the strongest class stays, and how far the probabilities move (half the sum of differences), in copies as JPEG 95."""
    pairs = zip(judge_set(images, [], cache).faces, judge_set([jpeg(image) for image in images], [], cache).faces, strict=True)
    rows = [(i, one.landmarks, two.landmarks) for i, (one, two) in enumerate(pairs) if one is not None and two is not None]
    out: dict[str, Any] = {"faces": len(rows)}
    for key, network in networks.items():
        before = judged(network, [images[i] for i, _, _ in rows], [one for _, one, _ in rows])
        after = judged(network, [jpeg(images[i]) for i, _, _ in rows], [two for _, _, two in rows])
        same = before.argmax(1) == after.argmax(1)
        out[key] = {"same": round(float(same.mean()), 4), "moved": round(float(np.abs(before - after).sum(1).mean() / 2), 4)}
    return out


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--teachers", type=Path, default=Path("none"), help="folder of emotion_teachers' files")
    parser.add_argument("--weights", type=Path, help="another network than the bundled one")
    parser.add_argument("--cache", type=Path, help="keeps what the judge found")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    networks: dict[str, Network] = {"ours": EmotionClassifier(weights=args.weights).probabilities} | load_teachers(args.teachers)
    labels = lfw_labels()
    images = {name: decode(data) for name, data in read_files("lfw").items()}
    faces = dict(zip(images, judge_set(list(images.values()), [], args.cache).faces, strict=True))
    names = [name for name in images if name in labels and faces[name] is not None]
    pictures, landmarks = [images[name] for name in names], [faces[name].landmarks for name in names]  # type: ignore[union-attr]
    truth = np.array([EMOTIONS.index(labels[name]) for name in names])
    found = {key: judged(network, pictures, landmarks, kept_answers(args.cache, key)) for key, network in networks.items()}
    said = {key: values.argmax(1) for key, values in found.items()}
    said |= {"majority": np.zeros_like(truth), "chance": np.random.default_rng(0).integers(0, len(EMOTIONS), len(truth))}
    figures = {
        "lfw": {"pictures_labelled": len(labels), "faces": len(names), "by_class": np.bincount(truth, minlength=len(EMOTIONS)).tolist()}
        | {"networks": lfw_figures(said, truth, [Path(name).parent.name for name in names])},
        "london": london_figures({key: networks[key] for key in ("ours", "face_api")}, args.cache),
        "jpeg95": noise_figures({key: networks[key] for key in ("ours", "face_api")}, pictures[::THINNED], args.cache),
    }
    args.out.write_text(json.dumps(figures, indent=1) + "\n")
    for key, row in figures["lfw"]["networks"].items():
        print(key, {name: row[name] for name in ("accuracy", "balanced", "balanced_five")})
    print(json.dumps({key: figures[key] for key in ("london", "jpeg95")}, indent=1))


if __name__ == "__main__":
    main()
