"""Packed faces that are drawn, not photographed, for the tests of training."""

from pathlib import Path

import numpy as np
import torch
from photometry_faces import canonical_landmarks

from fo_faceanon.faces import apply_affine
from fo_faceanon.landmarks.canonical import canonical_frame
from fo_faceanon.training.packed import Faces, write_shard


def drawn_faces(count: int, size: int = 32, seed: int = 0, mesh: bool = False) -> Faces:
    """Discs of one skin tone each on a background of another, with landmarks where a face's would be."""
    rng = np.random.default_rng(seed)
    points = canonical_landmarks(size)
    faces = Faces()
    for _ in range(count):
        landmarks = apply_affine(canonical_frame(points, size), points)[0].numpy() + rng.normal(0, 0.3, (68, 2)).astype(np.float32)
        y, x = np.mgrid[:size, :size]
        middle = landmarks.mean(0)
        disc = ((x - middle[0]) ** 2 + (y - middle[1]) ** 2 < (0.3 * size) ** 2)[..., None]
        picture = np.where(disc, rng.uniform(120, 220, 3), rng.uniform(30, 90, 3))
        picture[tuple(np.rint(landmarks[36:48].mean(0)).astype(int)[::-1])] = 0
        faces.pictures.append(picture.astype(np.uint8))
        faces.landmarks.append(landmarks)
        known = np.ones((size, size), bool)
        known[size - 2 :] = False
        faces.known.append(known)
        faces.mesh.append(rng.uniform(0.25 * size, 0.75 * size, (478, 2)).astype(np.float32) if mesh else None)
    return faces


def pack(folder: Path, size: int = 32, mesh: bool = False) -> Path:
    """Two sets: 120 faces of nobody and 60 real ones, as far as discs go."""
    folder.mkdir(exist_ok=True)
    write_shard(folder / "omi-000.npz", drawn_faces(80, size, 1, mesh), "omi", True)
    write_shard(folder / "omi-001.npz", drawn_faces(40, size, 2, mesh), "omi", True)
    write_shard(folder / "ffhq_256-000.npz", drawn_faces(60, size, 3, mesh), "ffhq_256", False)
    return folder


def smooth_pictures(count: int, size: int) -> np.ndarray:
    """``N x size x size x 3`` uint8, as smooth as photographs are."""
    rng = torch.Generator().manual_seed(0)
    small = torch.rand(count, 3, size // 8, size // 8, generator=rng)
    large = torch.nn.functional.interpolate(small, (size, size), mode="bicubic").clamp(0, 1)
    return (large * 255).byte().permute(0, 2, 3, 1).numpy()
