"""Packed faces that are drawn, not photographed, for the tests of training."""

from pathlib import Path

import numpy as np
import torch
from photometry_faces import canonical_landmarks

from fo_faceanon.faces import apply_affine
from fo_faceanon.landmarks.canonical import canonical_frame
from fo_faceanon.training.packed import Faces, put_mesh, write_shard


def drawn_faces(count: int, size: int = 32, seed: int = 0) -> Faces:
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
    return faces


def pack(folder: Path, size: int = 32, mesh: bool = False) -> Path:
    """Two sets: 120 faces of nobody and 60 real ones, as far as discs go."""
    folder.mkdir(exist_ok=True)
    shards = (("omi-000", 80, "omi"), ("omi-001", 40, "omi"), ("ffhq_256-000", 60, "ffhq_256"))
    for seed, (name, count, set_name) in enumerate(shards):
        path = folder / f"{name}.npz"
        write_shard(path, drawn_faces(count, size, seed), set_name, set_name == "omi")
        if mesh:
            put_mesh(path, np.random.default_rng(seed).uniform(0.25 * size, 0.75 * size, (count, 478, 2)).astype(np.float32))
    return folder


def smooth_pictures(count: int, size: int) -> np.ndarray:
    """``N x size x size x 3`` uint8, as smooth as photographs are."""
    rng = torch.Generator().manual_seed(0)
    small = torch.rand(count, 3, size // 8, size // 8, generator=rng)
    large = torch.nn.functional.interpolate(small, (size, size), mode="bicubic").clamp(0, 1)
    return (large * 255).byte().permute(0, 2, 3, 1).numpy()
