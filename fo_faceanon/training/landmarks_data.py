"""Labels of the landmark network: dlib's points where they can be believed, MediaPipe's mesh where not, and faces turned further.

Runs after ``landmarks_mesh``::

    python -m fo_faceanon.training.landmarks_data MESHES OUT

``OUT`` gets ``crops.npy`` (``N x 192 x 192 x 3`` uint8) and ``labels.npz``: ``points`` (``N x 68 x 2`` crop pixels), ``yaw``,
``dlib`` (its points, or NaN), ``agreement`` (of dlib and mesh, in face sizes), ``turned``, ``held_out``, ``set_of``, ``sets``.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fo_faceanon.faces import Face
from fo_faceanon.landmarks.dlib68 import Dlib68
from fo_faceanon.landmarks.net68 import face_size
from fo_faceanon.training.landmarks_mapping import fit_mapping, map_mesh
from fo_faceanon.training.landmarks_profiles import turn_face

#: The set that no face is trained on; of the others every tenth face is held out.
UNSEEN = "us_officials"
#: dlib and mesh agree within this, in face sizes.
AGREE = 0.06
#: Degrees of yaw up to which dlib's points count alone where they agree, and from which the mesh's do.
_DLIB_ALONE, _MESH_ALONE = 20.0, 40.0
#: Faces that are turned further: their yaw in degrees, and how much is added at least and at most.
_TURN_FROM, _TURN_TO, _ADD = 8.0, 50.0, (15.0, 50.0)
#: No face is turned beyond this.
_MOST = 88.0


@dataclass
class Meshes:
    """What ``landmarks_mesh`` wrote, all sets together."""

    crops: np.ndarray
    mesh: np.ndarray
    yaw: np.ndarray
    set_of: np.ndarray
    sets: list[str]
    held_out: np.ndarray


def load_meshes(folder: Path) -> Meshes:
    """Reads every ``<set>.mesh.npz``."""
    paths = sorted(folder.glob("*.mesh.npz"))
    sets = [path.name.removesuffix(".mesh.npz") for path in paths]
    crops, mesh, yaw = [], [], []
    for path in paths:
        with np.load(path) as file:
            crops.append(file["crops"])
            mesh.append(file["mesh"])
            yaw.append(file["pose"][:, 0])
    set_of = np.concatenate([np.full(len(part), i) for i, part in enumerate(yaw)])
    within = np.concatenate([np.arange(len(part)) for part in yaw])
    held_out = (within % 10 == 9) | (set_of == (sets.index(UNSEEN) if UNSEEN in sets else -1))
    return Meshes(np.concatenate(crops), np.concatenate(mesh), np.concatenate(yaw), set_of, sets, held_out)


def mark_with_dlib(crops: np.ndarray, mesh: np.ndarray) -> np.ndarray:
    """``N x 68 x 2``; NaN where dlib gives no plausible points."""
    landmarker = Dlib68()
    out = np.full((len(crops), 68, 2), np.nan, np.float32)
    for i, (crop, points) in enumerate(zip(crops, mesh, strict=True)):
        x0, y0, x1, y1 = (float(edge) for edge in (*points[:, :2].min(0), *points[:, :2].max(0)))
        found = landmarker(crop, [Face((x0, y0, x1, y1))])[0]
        if found is not None:
            out[i] = found
    return out


def distance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """``N`` mean distances of ``N x 68 x 2`` points, in face sizes of ``b``."""
    return np.linalg.norm(a - b, axis=-1).mean(-1) / face_size(b)


def choose_mapping(meshes: Meshes, dlib: np.ndarray) -> np.ndarray:
    """Fitted twice on the training faces of little yaw, the second time on those where the first one agrees with dlib."""
    rows = np.isfinite(dlib).all((1, 2)) & (np.abs(meshes.yaw) < 35) & ~meshes.held_out
    weights = fit_mapping(meshes.mesh[rows], dlib[rows])
    rows &= distance(dlib, map_mesh(meshes.mesh, meshes.yaw, weights)) < AGREE
    return fit_mapping(meshes.mesh[rows], dlib[rows])


def combine(dlib: np.ndarray, mapped: np.ndarray, yaw: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Labels, and the distances between the two (NaN where dlib has none)."""
    known = np.isfinite(dlib).all((1, 2))
    agreement = distance(dlib, mapped)
    share = np.clip((_MESH_ALONE - np.abs(yaw)) / (_MESH_ALONE - _DLIB_ALONE), 0, 1) * (known & (agreement < AGREE))
    share = share[:, None, None]
    return np.where(share > 0, share * np.nan_to_num(dlib) + (1 - share) * mapped, mapped).astype(np.float32), agreement


def turn_faces(meshes: Meshes, count: int, weights: np.ndarray, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Crops, points and yaw of ``count`` faces turned further, and the rows they come from."""
    random = np.random.default_rng(seed)
    yaw = np.abs(meshes.yaw)
    able = np.flatnonzero((yaw > _TURN_FROM) & (yaw < _TURN_TO))
    rows = random.choice(able, min(count, len(able)), replace=False)
    crops, turned, angles = [], [], []
    for row in rows:
        add = min(random.uniform(*_ADD), _MOST - yaw[row]) * np.sign(meshes.yaw[row])
        crop, mesh = turn_face(meshes.crops[row], meshes.mesh[row], add)
        crops.append(crop)
        turned.append(mesh)
        angles.append(meshes.yaw[row] + add)
    points = map_mesh(np.stack(turned), np.array(angles), weights)
    return np.stack(crops), points, np.array(angles), rows


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("meshes", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--turned", type=int, default=4000, help="faces turned further")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    meshes = load_meshes(args.meshes)
    dlib = mark_with_dlib(meshes.crops, meshes.mesh)
    weights = choose_mapping(meshes, dlib)
    points, agreement = combine(dlib, map_mesh(meshes.mesh, meshes.yaw, weights), meshes.yaw)
    near = (np.abs(meshes.yaw) < 20) & ~meshes.held_out
    print(f"{len(points)} faces; dlib marks {np.isfinite(agreement).mean():.3f}, agrees on {(agreement < AGREE).mean():.3f}", flush=True)
    print(f"median distance on near-frontal training faces {np.nanmedian(agreement[near]):.4f}", flush=True)
    crops, more, angles, rows = turn_faces(meshes, args.turned, weights)
    none = np.zeros(len(points), bool)
    np.save(args.out / "crops.npy", np.concatenate([meshes.crops, crops]))
    np.savez(
        args.out / "labels.npz",
        points=np.concatenate([points, more]),
        yaw=np.concatenate([meshes.yaw, angles]),
        agreement=np.concatenate([agreement, np.full(len(more), np.nan)]),
        turned=np.concatenate([none, np.ones(len(more), bool)]),
        held_out=np.concatenate([meshes.held_out, meshes.held_out[rows]]),
        set_of=np.concatenate([meshes.set_of, meshes.set_of[rows]]),
        sets=meshes.sets,
        dlib=np.concatenate([dlib, np.full((len(more), 68, 2), np.nan, np.float32)]),
        weights=weights,
    )


if __name__ == "__main__":
    main()
