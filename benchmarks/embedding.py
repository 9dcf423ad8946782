"""Identity vectors of pictures by every recogniser, kept in a folder so that a picture is judged and embedded once."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from judge import Judged, judge_face

from fo_faceanon.recognition import Recogniser, available_recognisers, create_recogniser, embed_images


@dataclass(slots=True)
class JudgedSet:
    """Pictures with what the judge found on them. ``alignment``: own landmarks, else the original's, else None."""

    images: list[np.ndarray]
    faces: list[Judged | None]
    alignment: list[np.ndarray | None]
    vectors: dict[str, np.ndarray]

    @property
    def detected(self) -> float:
        """Fraction of pictures on which the judge found the face."""
        return float(np.mean([face is not None for face in self.faces]))


def recognisers() -> list[Recogniser]:
    """Every recogniser whose weights are here."""
    return [create_recogniser(name) for name in available_recognisers()]


def judge_set(
    images: Sequence[np.ndarray], networks: Sequence[Recogniser], cache: Path | None = None, original: JudgedSet | None = None
) -> JudgedSet:
    """Finds, aligns and embeds the main face of every picture.

    Args:
        images: ``H x W x 3`` uint8 pictures.
        networks: the recognisers to embed with.
        cache: a folder that keeps what was found by a hash of the pixels.
        original: the judged originals in the same order: only a face where theirs is counts as detected, and an undetected one
            is attacked with the original's alignment.
    """
    near = [face.box if face else None for face in original.faces] if original else [None] * len(images)
    keys = [_digest(image, box) for image, box in zip(images, near, strict=True)]
    faces = _remember(cache, "faces", keys, lambda rows: [judge_face(images[i], near[i]) for i in rows])
    fallback = original.alignment if original else [None] * len(images)
    alignment = [face.landmarks if face else other for face, other in zip(faces, fallback, strict=True)]
    keys = [_digest(image, points) for image, points in zip(images, alignment, strict=True)]
    vectors = {}
    for network in networks:

        def embed(rows: list[int], network: Recogniser = network) -> list[np.ndarray]:
            return list(embed_images(network, [images[i] for i in rows], [alignment[i] for i in rows]).numpy())

        vectors[network.name] = np.stack(_remember(cache, network.name, keys, embed))
    return JudgedSet(list(images), faces, alignment, vectors)


def _digest(*arrays: np.ndarray | None) -> bytes:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(b"none" if array is None else str(array.shape).encode() + np.ascontiguousarray(array).tobytes())
    return digest.digest()[:16]


def _remember(folder: Path | None, name: str, keys: Sequence[bytes], make: Callable[[list[int]], list[Any]]) -> list[Any]:
    """``make(rows)`` for the rows whose key is not yet in the folder's file ``name``; the values of all keys."""
    path = folder / f"{name}.pickle" if folder else None
    known = pickle.loads(path.read_bytes()) if path and path.is_file() else {}
    rows = [i for i, key in enumerate(keys) if key not in known]
    if rows:
        known.update(zip((keys[i] for i in rows), make(rows), strict=True))
        if path:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(pickle.dumps(known))
    return [known[key] for key in keys]
