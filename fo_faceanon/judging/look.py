"""What the judge sees on one picture: its faces, and what every recogniser makes of them; remembered by the picture's pixels."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fo_faceanon.errors import InputError
from fo_faceanon.images import pixel_sha256, write_atomic
from fo_faceanon.judging.faces import Judge, JudgedFace, faces_to_judge, match_all
from fo_faceanon.recognition import Recogniser, create_recogniser, crops_of

#: Changes whenever what is remembered would come out differently.
_VERSION = "1"


@dataclass(frozen=True, slots=True)
class Seen:
    """A picture's faces, and ``F x D`` float32 unit vectors of them per recogniser.

    On an anonymized picture there is an entry per original face, None where no face was found in its place; the vectors are
    then from the original's alignment.
    """

    faces: Sequence[JudgedFace | None]
    vectors: dict[str, np.ndarray]


class Looker:
    """The judge together with recognisers, in one process.

    Args:
        recognisers: their names.
        device: where networks run.
        main_face_only: judge only the main face of an original.
        cache: a folder that keeps what was seen on originals.

    Raises:
        InputError: there is no such recogniser.
        WeightsError: weights are missing; the message holds the command that helps.
    """

    def __init__(self, recognisers: Sequence[str], device: str = "cpu", main_face_only: bool = False, cache: Path | None = None) -> None:
        self.judge = Judge(device)
        self.recognisers: list[Recogniser] = [create_recogniser(name, device) for name in recognisers]
        self._main, self._cache = main_face_only, cache
        self._about = f"{_VERSION}-{device.split(':')[0]}-{'main' if main_face_only else 'all'}"

    def original(self, image: np.ndarray) -> Seen:
        """The faces of an ``H x W x 3`` uint8 original that are judged."""
        path = self._cache / f"{pixel_sha256(image)[:32]}-{self._about}.npz" if self._cache else None
        known = _load(path) if path else None
        found = known.faces if known else faces_to_judge(self.judge.faces([image])[0], image.shape[0], image.shape[1], self._main)
        faces = [face for face in found if face is not None]
        vectors = dict(known.vectors) if known else {}
        missing = [network for network in self.recognisers if network.name not in vectors]
        vectors |= embed(missing, image, [face.landmarks for face in faces])
        if path and (missing or not known):
            _save(path, faces, vectors)
        return Seen(faces, {network.name: vectors[network.name] for network in self.recognisers})

    def anonymized(self, image: np.ndarray, original: Seen) -> Seen:
        """The faces of an anonymized picture, in the order of its original's."""
        olds = [face for face in original.faces if face is not None]
        faces = match_all(self.judge.faces([image])[0], olds) if olds else []
        landmarks = [(new or old).landmarks for new, old in zip(faces, olds, strict=True)]
        return Seen(faces, embed(self.recognisers, image, landmarks))


def embed(recognisers: Sequence[Recogniser], image: np.ndarray, landmarks: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    """``F x D`` unit vectors of the faces of one picture per recogniser; each face by itself, so that no neighbour changes it."""
    vectors = {network.name: np.full((len(landmarks), network.dim), np.nan, np.float32) for network in recognisers}
    if recognisers and landmarks:
        for rows, crops, points in crops_of([image] * len(landmarks), list(landmarks), batch=1):
            for network in recognisers:
                vectors[network.name][rows] = network.embed(crops, points).cpu().numpy()
    return vectors


def _save(path: Path, faces: Sequence[JudgedFace], vectors: dict[str, np.ndarray]) -> None:
    data = io.BytesIO()
    arrays: dict[str, Any] = {f"v_{name}": rows for name, rows in vectors.items()}
    arrays["boxes"] = np.array([face.box for face in faces])
    arrays["scores"] = np.array([face.score for face in faces])
    arrays["landmarks"] = np.array([face.landmarks for face in faces])
    np.savez(data, **arrays)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, data.getvalue())


def _load(path: Path) -> Seen | None:
    """What an earlier run saw; None where it saw nothing or left something that cannot be read."""
    try:
        with np.load(path) as data:
            rows = zip(data["boxes"].reshape(-1, 4).tolist(), data["scores"].tolist(), data["landmarks"].reshape(-1, 68, 2), strict=True)
            faces = [JudgedFace((box[0], box[1], box[2], box[3]), score, points.astype(np.float32)) for box, score, points in rows]
            vectors = {name[2:]: data[name] for name in data.files if name.startswith("v_")}
    except FileNotFoundError:
        return None
    except Exception:  # damaged in any way: it is made again
        return None
    return Seen(faces, vectors) if all(len(rows) == len(faces) for rows in vectors.values()) else None


def check_sizes(original: np.ndarray, anonymized: np.ndarray) -> None:
    """Raises InputError unless both pictures have one size."""
    if original.shape != anonymized.shape:
        sizes = " and ".join(f"{image.shape[1]} x {image.shape[0]}" for image in (original, anonymized))
        raise InputError(f"original and anonymized picture have different sizes: {sizes}")
