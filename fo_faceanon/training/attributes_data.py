"""Teacher labels for the attribute network: blendshapes and pose of MediaPipe, glasses and hair of a face parser, given ages and sexes.

Run by hand where ``mediapipe`` is installed (it is no dependency of this package)::

    python -m fo_faceanon.training.attributes_data SHARED_DATA OUT --landmarker face_landmarker.task [--candidates FOLDER]

One ``OUT/<set>.npz`` a set: ``crops`` (``N x 112 x 112 x 3`` uint8, wider than the network's crop so that training can move it), ``align``
(picture to crop), ``blendshapes``, ``pose``, ``age``, ``male``, and ``names`` and ``points`` (of the picture) for the parser's pass.
"""

from __future__ import annotations

import argparse
import io
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from fo_faceanon.faces import estimate_similarity, warp_affine

#: Side of the stored crops; the 80 px template fills their middle, magnified.
STORED = 112
#: Stored pixels per template pixel, and where the template's origin lies.
MAGNIFY, MARGIN = 1.1, 12.0
#: Pictures per set at most: sets, not pictures, are balanced (the large ones lean towards one ethnicity).
LIMITS = {
    "omi": 1004, "ffhq_256": 1100, "utkface_tight": 2200, "all_age_faces": 2400, "generated": 700, "stylegan_256": 700, "basemax": 600,
    "us_officials": 400,
}  # fmt: skip


@dataclass
class Picture:
    """One picture with what is known of it; age in years and male in ``[0, 1]``, NaN where unknown."""

    name: str
    pixels: np.ndarray
    age: float = float("nan")
    male: float = float("nan")


def _decode(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def _omi_ratings(root: Path) -> dict[str, tuple[float, float]]:
    rows = (root / "train/omi_attributes.csv").read_text().splitlines()
    columns = rows[0].split(",")
    age, male = columns.index("age"), columns.index("gender")
    cells = (row.split(",") for row in rows[1:])
    return {c[0]: (float(c[age]), float(c[male]) / 100) for c in cells}


def _given_labels(set_name: str, name: str, label: str) -> tuple[float, float]:
    """Age and probability of male that a set's own label, or its order, states."""
    if set_name == "all_age_faces":
        number = int(name.split(".")[0])  # the set lists its women first; a margin is left where they end
        male = float(number > 3430) if abs(number - 3430) > 60 else float("nan")
        return float(label.removeprefix("age=")), male
    if set_name == "utkface_tight" and label.startswith("age_sex_race="):
        age, sex, _ = label.split("=")[1].split("_")
        return float(age), 1.0 - float(sex)  # the set's 0 is male
    if set_name == "generated":
        return float("nan"), float(label.startswith("male"))
    return float("nan"), float("nan")


def read_set(root: Path, set_name: str, limit: int) -> Iterator[Picture]:
    """Pictures of one training set, evenly spaced over its index, in a fixed order."""
    rows = [r.split(",") for r in (root / "index.csv").read_text().splitlines() if r.startswith(f"train,{set_name},")]
    chosen = {rows[i][2]: rows[i][-1].strip('"') for i in np.linspace(0, len(rows) - 1, min(limit, len(rows))).astype(int)}
    ratings = _omi_ratings(root) if set_name == "omi" else {}
    with tarfile.open(root / f"train/{set_name}.tar") as tar:
        for member in tar:
            name = Path(member.name).name
            if not member.isfile() or name not in chosen:
                continue
            handle = tar.extractfile(member)
            assert handle is not None
            pixels = _decode(handle.read())
            if set_name == "utkface_tight":  # no context around the face: the landmarker wants some
                pad = pixels.shape[0] // 3
                pixels = np.pad(pixels, ((pad, pad), (pad, pad), (0, 0)), mode="reflect")
            age, male = ratings.get(name, _given_labels(set_name, name, chosen[name]))
            yield Picture(name, np.ascontiguousarray(pixels), age, male)


def read_candidates(folder: Path, limit: int) -> Iterator[Picture]:
    """Our own rendered faces of nobody: ``NNNNNNN.npy`` stacks that a ``.done`` file marks as finished."""
    files = sorted(folder.glob("*.done"))
    per_file = -(-limit // max(len(files), 1))
    for done in files:
        stack = np.load(done.with_suffix(".npy"), mmap_mode="r")
        for i in range(min(per_file, len(stack))):
            yield Picture(f"{done.stem}:{i}", np.ascontiguousarray(stack[i]))


def pose_of_matrix(matrix: np.ndarray) -> tuple[float, float, float]:
    """Yaw (positive: nose to image right), pitch (positive: up), roll (positive: clockwise), in degrees.

    ``matrix`` is MediaPipe's facial transformation (y up, z to the camera), read as ``Rz Ry Rx``.
    """
    r = matrix[:3, :3]
    yaw = np.arcsin(np.clip(-r[2, 0], -1, 1))
    return float(np.degrees(yaw)), float(-np.degrees(np.arctan2(r[2, 1], r[2, 2]))), float(-np.degrees(np.arctan2(r[1, 0], r[0, 0])))


def crop_template(template: torch.Tensor) -> torch.Tensor:
    """The 80 px template in the stored crop."""
    return (template + 0.5) * MAGNIFY - 0.5 + MARGIN


class Teacher:
    """MediaPipe for labels, dlib's predictor for the landmarks that the network is aligned by."""

    def __init__(self, task: Path, predictor: Path, template: torch.Tensor, seed: int = 0) -> None:
        import dlib
        import mediapipe as mp
        from mediapipe.tasks.python import BaseOptions, vision

        options = vision.FaceLandmarkerOptions(
            base_options=BaseOptions(model_asset_path=str(task)),
            output_face_blendshapes=True,
            output_facial_transformation_matrixes=True,
            min_face_detection_confidence=0.3,
        )
        self.landmarker = vision.FaceLandmarker.create_from_options(options)
        self.wrap = lambda pixels: mp.Image(image_format=mp.ImageFormat.SRGB, data=pixels)
        self.rectangle = dlib.rectangle
        self.predictor = dlib.shape_predictor(str(predictor))
        self.template = crop_template(template)
        self.random = np.random.default_rng(seed)

    def landmarks(self, pixels: np.ndarray, mesh: np.ndarray) -> np.ndarray:
        """68 points from a box like dlib's own detector's (median fit to the mesh's), jittered as detectors are."""
        low, high = mesh.min(0), mesh.max(0)
        side = 0.9 * max(high[0] - low[0], 0.8 * (high[1] - low[1])) * self.random.uniform(0.93, 1.07)
        centre = (low + high) / 2 + self.random.normal(0, 0.03, 2) * side
        x, y = np.rint(centre - side / 2).astype(int)
        shape = self.predictor(pixels, self.rectangle(int(x), int(y), int(x + side), int(y + side)))
        return np.array([[p.x, p.y] for p in shape.parts()], np.float32)

    def __call__(self, picture: Picture) -> dict[str, Any] | None:
        """One training example, or None where the teacher finds no face."""
        found = self.landmarker.detect(self.wrap(picture.pixels))
        if not found.face_landmarks:
            return None
        height, width = picture.pixels.shape[:2]
        mesh = np.array([[p.x * width, p.y * height] for p in found.face_landmarks[0]])
        points = self.landmarks(picture.pixels, mesh)
        matrix = estimate_similarity(torch.from_numpy(points)[None], self.template)
        image = torch.from_numpy(np.array(picture.pixels)).permute(2, 0, 1)[None].float()
        crop = warp_affine(image, matrix, STORED)[0].permute(1, 2, 0).round().byte().numpy()
        yaw, pitch, roll = pose_of_matrix(found.facial_transformation_matrixes[0])
        return {
            "crops": crop,
            "align": matrix[0].numpy(),
            "points": points,
            "blendshapes": np.array([c.score for c in found.face_blendshapes[0]], np.float32),
            "pose": np.array([yaw, pitch, roll], np.float32),
            "age": np.float32(picture.age),
            "male": np.float32(picture.male),
            "names": picture.name,
        }


def write_set(path: Path, pictures: Iterator[Picture], teacher: Teacher) -> int:
    """Labels one set and writes it; returns how many faces it holds."""
    rows = [row for row in map(teacher, pictures) if row is not None]
    columns: dict[str, Any] = {key: np.stack([row[key] for row in rows]) for key in rows[0]}
    np.savez(path, **columns)
    return len(rows)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--landmarker", type=Path, required=True)
    parser.add_argument("--predictor", type=Path, required=True, help="shape_predictor_68_face_landmarks.dat")
    parser.add_argument("--template", type=Path, required=True, help="68 x 2 .npy: mean frontal landmarks in the 80 px crop")
    parser.add_argument("--candidates", type=Path)
    parser.add_argument("--limit", type=int, default=2500, help="candidates at most")
    args = parser.parse_args()
    torch.set_num_threads(1)
    teacher = Teacher(args.landmarker, args.predictor, torch.from_numpy(np.load(args.template)).float())
    sources = {name: read_set(args.data, name, limit) for name, limit in LIMITS.items()}
    if args.candidates:
        sources = {"candidates": read_candidates(args.candidates, args.limit), **sources}
    for name, pictures in sources.items():
        path = args.out / f"{name}.npz"
        if not path.exists():
            print(name, write_set(path, pictures, teacher), flush=True)
    teacher.landmarker.close()


if __name__ == "__main__":
    main()
