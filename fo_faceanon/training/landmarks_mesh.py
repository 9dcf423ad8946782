"""Face crops with MediaPipe's 478 mesh points, the raw material of the landmark network's labels.

Run by hand where ``mediapipe`` is installed (it is no dependency of this package; nothing else of this package is needed there)::

    python -m fo_faceanon.training.landmarks_mesh SHARED_DATA OUT --landmarker face_landmarker.task [--candidates FOLDER ...]

One ``OUT/<set>.mesh.npz`` a set: ``crops`` (``N x 192 x 192 x 3`` uint8, the face in the middle), ``mesh`` (``N x 478 x 3`` crop pixels),
``pose`` (``N x 3`` degrees: yaw, pitch, roll) and ``names``.
"""

from __future__ import annotations

import argparse
import io
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

#: Side of the stored crops in pixels, and of the square of the picture that they show, in extents of the mesh.
STORED, REACH = 192, 2.2
#: Pictures that MediaPipe sees are reduced to this side: it needs no more.
_SEEN = 256
#: Of our own renderings, which are many and mostly frontal, only every third is kept below this yaw, in degrees.
_FRONTAL, _EVERY = 12.0, 3
#: Pictures per set at most.
LIMITS = {
    "ffhq_256": 1100, "ffhq_128": 3900, "all_age_faces": 3500, "utkface_tight": 1600, "omi": 1004, "stylegan_256": 1099, "basemax": 901,
    "generated": 700, "sd3_portraits": 200, "us_officials": 585,
}  # fmt: skip


def read_set(root: Path, name: str, limit: int) -> Iterator[tuple[str, np.ndarray]]:
    """Names and pixels of evenly spaced pictures of one training set; tight ones get a reflected border."""
    with tarfile.open(root / f"train/{name}.tar") as tar:
        members = [member for member in tar if member.isfile()]
        for i in np.linspace(0, len(members) - 1, min(limit, len(members))).astype(int):
            handle = tar.extractfile(members[i])
            assert handle is not None
            pixels = np.asarray(Image.open(io.BytesIO(handle.read())).convert("RGB"))
            if name == "utkface_tight":
                pad = pixels.shape[0] // 3
                pixels = np.pad(pixels, ((pad, pad), (pad, pad), (0, 0)), mode="reflect")
            yield Path(members[i].name).name, pixels


def read_candidates(folder: Path) -> Iterator[tuple[str, np.ndarray]]:
    """Our own rendered faces of nobody: ``NNNNNNN.npy`` stacks that a ``.done`` file marks as finished."""
    for done in sorted(folder.glob("*.done")):
        stack = np.load(done.with_suffix(".npy"), mmap_mode="r")
        for i in range(len(stack)):
            yield f"{done.stem}:{i}", np.ascontiguousarray(stack[i])


def pose_of_matrix(matrix: np.ndarray) -> np.ndarray:
    """Yaw (positive: nose to image right), pitch (positive: up), roll (positive: clockwise), in degrees, of MediaPipe's ``Rz Ry Rx``."""
    r = matrix[:3, :3]
    yaw = -np.arcsin(np.clip(r[2, 0], -1, 1))
    return np.degrees([yaw, -np.arctan2(r[2, 1], r[2, 2]), -np.arctan2(r[1, 0], r[0, 0])])


def cut_crop(pixels: np.ndarray, mesh: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The stored crop, edges replicated, and the mesh (``478 x 3``) in its pixels."""
    low, high = mesh[:, :2].min(0), mesh[:, :2].max(0)
    side = REACH * float((high - low).max())
    scale = STORED / side
    corner = (low + high) / 2 - side / 2
    if scale < 1:  # reduce the picture first, or the warp would skip pixels
        size = (max(round(pixels.shape[1] * scale), 1), max(round(pixels.shape[0] * scale), 1))
        ratio = np.array([size[0] / pixels.shape[1], size[1] / pixels.shape[0]])
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
        corner, shift = corner * ratio, 1.0
    else:
        shift = scale
    offset = -corner * shift + 0.5 * shift - 0.5
    matrix = np.array([[shift, 0, offset[0]], [0, shift, offset[1]]])
    crop = cv2.warpAffine(pixels, matrix, (STORED, STORED), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    placed = np.concatenate([(mesh[:, :2] - (low + high) / 2 + side / 2) * scale - 0.5, mesh[:, 2:] * scale], 1)
    return crop, placed.astype(np.float32)


class MeshTeacher:
    """MediaPipe's face landmarker on single pictures."""

    def __init__(self, task: Path) -> None:
        import mediapipe as mp
        from mediapipe.tasks.python import BaseOptions, vision

        options = vision.FaceLandmarkerOptions(
            base_options=BaseOptions(model_asset_path=str(task)),
            output_facial_transformation_matrixes=True,
            min_face_detection_confidence=0.3,
        )
        self.landmarker = vision.FaceLandmarker.create_from_options(options)
        self.wrap = lambda pixels: mp.Image(image_format=mp.ImageFormat.SRGB, data=pixels)

    def __call__(self, name: str, pixels: np.ndarray) -> dict[str, Any] | None:
        """One row, or None where the teacher finds no face."""
        height, width = pixels.shape[:2]
        factor = min(1.0, _SEEN / max(height, width))
        size = (round(width * factor), round(height * factor))
        found = self.landmarker.detect(self.wrap(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)))
        if not found.face_landmarks:
            return None
        mesh = np.array([[p.x * width, p.y * height, p.z * width] for p in found.face_landmarks[0]])
        crop, placed = cut_crop(pixels, mesh)
        return {"crops": crop, "mesh": placed, "pose": pose_of_matrix(found.facial_transformation_matrixes[0]), "names": name}


def write_set(path: Path, pictures: Iterator[tuple[str, np.ndarray]], teacher: MeshTeacher, thin: bool = False) -> str:
    """Marks one set and writes it; returns a line about it. ``thin`` leaves most frontal faces out."""
    rows, seen = [], 0
    for name, pixels in pictures:
        seen += 1
        row = teacher(name, pixels)
        if row is not None and not (thin and abs(row["pose"][0]) < _FRONTAL and seen % _EVERY):
            rows.append(row)
    columns: dict[str, Any] = {key: np.stack([row[key] for row in rows]) for key in rows[0]}
    np.savez(path, **columns)
    yaw = np.abs([row["pose"][0] for row in rows])
    return f"{path.stem}: {len(rows)} of {seen}; yaw over 20, 30, 45 degrees: {[int((yaw > limit).sum()) for limit in (20, 30, 45)]}"


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--landmarker", type=Path, required=True)
    parser.add_argument("--candidates", type=Path, nargs="*", default=[])
    parser.add_argument("--only", nargs="*", help="sets to read; all by default")
    args = parser.parse_args()
    teacher = MeshTeacher(args.landmarker)
    args.out.mkdir(parents=True, exist_ok=True)
    for name in LIMITS if args.only is None else args.only:
        print(write_set(args.out / f"{name}.mesh.npz", read_set(args.data, name, LIMITS[name]), teacher), flush=True)
    for folder in args.candidates:
        print(write_set(args.out / f"{folder.name}.mesh.npz", read_candidates(folder), teacher, thin=True), flush=True)


if __name__ == "__main__":
    main()
