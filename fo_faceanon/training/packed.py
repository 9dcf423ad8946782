"""Packed training faces: shards that hold canonical crops, their landmarks and where they come from. Needs only numpy and torch.

A shard ``SET-NNN.npz`` holds faces of one set: ``pictures`` (:mod:`fo_faceanon.training.codec`), ``landmarks`` in 64ths of a crop
pixel (int16), ``mesh`` likewise (compressed), ``known`` (which pixels lie inside the original picture, packed bits, compressed)
and ``header`` (JSON).
"""

from __future__ import annotations

import io
import json
import lzma
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from fo_faceanon.errors import InputError
from fo_faceanon.training.codec import decode_pictures, encode_pictures

#: Points are stored in these parts of a pixel; this value stands for an unknown one.
_UNIT, _UNKNOWN = 64.0, -(2**15)
_FORMAT = 1
#: Pictures reduced at a time.
_AT_ONCE = 512


@dataclass
class Faces:
    """Canonical crops of one set, before packing.

    Args:
        pictures: each ``S x S x 3`` uint8.
        landmarks: each ``68 x 2`` in crop pixels.
        known: each ``S x S`` bool, false where the crop reaches beyond its picture (there the edge is repeated).
    """

    pictures: list[np.ndarray] = field(default_factory=list)
    landmarks: list[np.ndarray] = field(default_factory=list)
    known: list[np.ndarray] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.pictures)


def write_shard(path: Path, faces: Faces, set_name: str, synthetic: bool, quality: int = 90) -> None:
    """Writes one shard.

    Args:
        path: of the ``.npz`` file.
        faces: what it holds.
        set_name: which set they come from.
        synthetic: whether they are nobody's faces.
        quality: JPEG's scale.

    Raises:
        InputError: there are no faces.
    """
    if not len(faces):
        raise InputError(f"there are no faces to write to {path}")
    size = faces.pictures[0].shape[0]
    header = {"format": _FORMAT, "set": set_name, "synthetic": synthetic, "count": len(faces), "size": size, "quality": quality}
    arrays = {
        "header": np.frombuffer(json.dumps(header).encode(), np.uint8),
        "pictures": np.frombuffer(encode_pictures(np.stack(faces.pictures), quality), np.uint8),
        "landmarks": _fixed(np.stack(faces.landmarks)),
        "known": np.frombuffer(lzma.compress(np.packbits(np.stack(faces.known)).tobytes()), np.uint8),
    }
    _write(path, arrays)


def put_mesh(path: Path, mesh: np.ndarray) -> None:
    """Adds mesh points to a shard, or replaces them.

    Args:
        path: of the shard.
        mesh: ``N x 478 x 2`` in crop pixels, NaN where unknown.

    Raises:
        InputError: it is no shard, or holds another number of faces.
    """
    header = read_header(path)
    if mesh.shape != (header["count"], 478, 2):
        raise InputError(f"{path} holds {header['count']} faces, but the mesh points have shape {mesh.shape}")
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    _write(path, {**arrays, "mesh": _squeeze(_fixed(mesh))})


def _write(path: Path, arrays: dict[str, np.ndarray]) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(buffer.getvalue())
    part.replace(path)


@dataclass
class FaceSet:
    """Packed faces, decoded onto one device.

    Args:
        pictures: ``N x 3 x S x S`` uint8.
        landmarks: ``N x 68 x 2`` float32 in crop pixels.
        mesh: ``N x 478 x 2`` float32, NaN where unknown; None where no shard has them.
        sets: names of the sets.
        set_of: ``N``, index into ``sets``.
        number: ``N``, place in its shard: the same whichever sets are read, and however many faces are left out.
        synthetic: which sets hold nobody's faces.
    """

    pictures: Tensor
    landmarks: Tensor
    mesh: Tensor | None
    sets: list[str]
    set_of: Tensor
    number: Tensor
    synthetic: set[str]

    def __len__(self) -> int:
        return len(self.pictures)

    def reduced(self, size: int) -> FaceSet:
        """The same faces as crops of ``size`` pixels, block means.

        Raises:
            InputError: their side is not a multiple of it.
        """
        side = self.pictures.shape[-1]
        factor = side // size if size else 0
        if factor * size != side or not factor:
            raise InputError(f"packed crops of {side} pixels cannot be reduced to {size}: prepare them at that size")
        if factor == 1:
            return self
        parts = [F.avg_pool2d(part.float(), factor).round().byte() for part in self.pictures.split(_AT_ONCE)]
        mesh = None if self.mesh is None else (self.mesh + 0.5) / factor - 0.5
        return replace(self, pictures=torch.cat(parts), landmarks=(self.landmarks + 0.5) / factor - 0.5, mesh=mesh)

    def counts(self) -> dict[str, int]:
        """Faces in each set."""
        return {name: int((self.set_of == i).sum()) for i, name in enumerate(self.sets)}


def read_header(path: Path) -> dict[str, Any]:
    """What a shard says about itself.

    Raises:
        InputError: it is no shard of this package.
    """
    try:
        with np.load(path) as file:
            header: dict[str, Any] = json.loads(file["header"].tobytes())
    except (OSError, ValueError, KeyError, BadZipFile) as error:
        raise InputError(f"{path} is no shard of packed faces: {error}; prepare it again with `fo-faceanon train prepare`") from error
    if header.get("format") != _FORMAT:
        raise InputError(f"{path} is a shard of format {header.get('format')}, and this version reads format {_FORMAT}: prepare it again")
    return header


def read_faces(folder: Path, sets: Sequence[str] = (), device: torch.device | str = "cpu", min_known: float = 0.0) -> FaceSet:
    """All shards of a folder, decoded.

    Args:
        folder: where ``*.npz`` shards lie; or a single shard.
        sets: only these sets; all where empty.
        device: where the faces go.
        min_known: leaves out faces of whose crop a smaller fraction lies inside their picture.

    Raises:
        InputError: there are no shards, a wanted set is missing, or sizes differ.
    """
    paths = sorted(folder.glob("*.npz")) if folder.is_dir() else [folder]
    headers = {path: read_header(path) for path in paths}
    there = sorted({h["set"] for h in headers.values()})
    absent = sorted(set(sets) - set(there))
    if absent or not there:
        raise InputError(f"{folder} holds no shards of {', '.join(absent) or 'packed faces'}; it has {', '.join(there) or 'none'}")
    chosen = {path: h for path, h in headers.items() if not sets or h["set"] in sets}
    sizes = {h["size"] for h in chosen.values()}
    if len(sizes) > 1:
        raise InputError(f"the shards in {folder} have crops of {sorted(sizes)} pixels: keep each size in a folder of its own")
    names = sorted({h["set"] for h in chosen.values()})
    with ThreadPoolExecutor(8) as pool:  # decompression runs beside decompression
        parts = list(pool.map(lambda path: _read_shard(path, chosen[path], device, min_known), chosen))
    lengths = [(names.index(h["set"]), len(part[0])) for h, part in zip(chosen.values(), parts, strict=True)]
    meshes = [part[2] for part in parts]
    unknown = [m if m is not None else torch.full((n, 478, 2), torch.nan, device=device) for m, (_, n) in zip(meshes, lengths, strict=True)]
    return FaceSet(
        pictures=torch.cat([part[0] for part in parts]),
        landmarks=torch.cat([part[1] for part in parts]),
        mesh=torch.cat(unknown) if any(m is not None for m in meshes) else None,
        sets=names,
        set_of=torch.cat([torch.full((n,), i, device=device) for i, n in lengths]),
        number=torch.cat([part[3] for part in parts]),
        synthetic={h["set"] for h in chosen.values() if h["synthetic"]},
    )


def _read_shard(
    path: Path, header: dict[str, Any], device: torch.device | str, min_known: float
) -> tuple[Tensor, Tensor, Tensor | None, Tensor]:
    """Pictures, landmarks, mesh and numbers of the faces that are known well enough."""
    count, size = header["count"], header["size"]
    with np.load(path) as file:
        known = np.frombuffer(lzma.decompress(file["known"].tobytes()), np.uint8).reshape(count, -1)
        keep = torch.from_numpy(np.unpackbits(known, axis=1)[:, : size * size].mean(1) >= min_known).to(device)
        pictures = decode_pictures(file["pictures"].tobytes(), count, size, header["quality"], device)
        landmarks = _floating(file["landmarks"]).to(device)
        mesh = _floating(_expand(file["mesh"], count)).to(device) if "mesh" in file.files else None
    return pictures[keep], landmarks[keep], None if mesh is None else mesh[keep], keep.nonzero()[:, 0]


def _squeeze(mesh: np.ndarray) -> np.ndarray:
    """``N x 478 x 2`` int16 as compressed bytes: each coordinate's values together, low bytes before high ones."""
    planes = np.ascontiguousarray(mesh.reshape(len(mesh), -1).T)[..., None].view(np.uint8).transpose(2, 0, 1)
    return np.frombuffer(lzma.compress(planes.tobytes()), np.uint8)


def _expand(squeezed: np.ndarray, count: int) -> np.ndarray:
    planes = np.frombuffer(lzma.decompress(squeezed.tobytes()), np.uint8).reshape(2, -1, count)
    return np.ascontiguousarray(planes.transpose(2, 1, 0)).view(np.int16).reshape(count, -1, 2)


def _fixed(points: np.ndarray) -> np.ndarray:
    scaled = np.clip(np.rint(np.nan_to_num(points, nan=0.0) * _UNIT), -(2**15) + 1, 2**15 - 1)
    return np.where(np.isnan(points), _UNKNOWN, scaled).astype(np.int16)


def _floating(stored: np.ndarray) -> Tensor:
    values = torch.from_numpy(stored).float()
    return torch.where(values == _UNKNOWN, torch.nan, values / _UNIT)
