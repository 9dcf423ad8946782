"""All faces of many pairs of pictures, judged and embedded: what attacks are computed from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from fo_faceanon.devices import resolve_device
from fo_faceanon.engine.items import usable_cores
from fo_faceanon.errors import InputError
from fo_faceanon.images import decode_image
from fo_faceanon.judging.faces import JudgedFace
from fo_faceanon.judging.look import Looker, Seen, check_sizes
from fo_faceanon.judging.pairs import Pair
from fo_faceanon.judging.processes import map_processes
from fo_faceanon.recognition import available_recognisers
from fo_faceanon.recognition.recognisers import recogniser_spec

#: Why a pair gave no rows.
UNREADABLE, OTHER_SIZE, NO_FACE, FAULT = "cannot be read", "different sizes", "no face found on the original", "could not be judged"
#: Processes that share a GPU at most: each holds its own context and networks, about a gigabyte.
_ON_GPU = 6
#: What an attack's control puts in the place of an anonymized picture: ``change(original, its faces) -> H x W x 3 uint8``.
Change = Callable[[np.ndarray, Sequence[JudgedFace]], np.ndarray]


@dataclass(slots=True)
class JudgedFaces:
    """One row per original face, in the order of the pairs.

    Args:
        keys: of each face's pair.
        numbers: ``N``, which face of its picture (by falling score).
        people: who it is, None where unknown.
        boxes: ``N x 4`` on the original, in pixels.
        scores: ``N``, the detector's on the original.
        landmarks: ``N x 68 x 2`` on the original.
        landmarks_after: ``N x 68 x 2`` on the anonymized picture; NaN where no face was found in its place.
        detected: ``N`` bool: whether one was.
        unchanged: ``N`` bool: every pixel in the box is as it was.
        before: per recogniser ``N x D`` float32 unit vectors of the originals.
        after: the same of the anonymized pictures, by the original's alignment where no face was found; NaN where impossible.
        problems: why pairs gave no rows: reason to names.
    """

    keys: list[str]
    numbers: np.ndarray
    people: list[str | None]
    boxes: np.ndarray
    scores: np.ndarray
    landmarks: np.ndarray
    landmarks_after: np.ndarray
    detected: np.ndarray
    unchanged: np.ndarray
    before: dict[str, np.ndarray]
    after: dict[str, np.ndarray]
    problems: dict[str, list[str]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def pictures(self) -> np.ndarray:
        """``N`` numbers that faces of one picture share."""
        return np.unique(np.array(self.keys, object).astype(str), return_inverse=True)[1] if self.keys else np.zeros(0, int)


@dataclass(frozen=True, slots=True)
class Setup:
    """How every process judges; see :func:`judge_pairs`."""

    recognisers: tuple[str, ...]
    device: str = "cpu"
    main_face_only: bool = False
    cache: Path | None = None
    change: Change | None = None


class PairFault(InputError):
    """A pair cannot be judged; ``reason`` is one of a few, the message tells the rest."""

    def __init__(self, reason: str, message: str = "") -> None:
        super().__init__(message)
        self.reason = reason

    def __reduce__(self) -> tuple[type[PairFault], tuple[str, str]]:
        return PairFault, (self.reason, str(self))


@dataclass(frozen=True, slots=True)
class _Rows:
    """One pair's faces before and after, and which are unchanged."""

    before: Seen
    after: Seen
    unchanged: list[bool]


def judge_pairs(
    pairs: Sequence[Pair],
    recognisers: Sequence[str] | None = None,
    device: str = "auto",
    workers: int | None = None,
    cache: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
    *,
    main_face_only: bool = False,
    change: Change | None = None,
) -> JudgedFaces:
    """Judges pairs of pictures; one pair per process is in memory at a time, and the result does not depend on the number of processes.

    Args:
        pairs: see :func:`~fo_faceanon.judging.pairs.pair_folders`. One without an anonymized picture is judged as if it were unchanged.
        recognisers: names; by default all whose weights are here.
        device: ``auto``, ``cpu``, ``cuda``, ...
        workers: processes; by default one per core (on a GPU at most six).
        cache: a folder that keeps what was seen on originals, by their pixels: they are then judged once for many anonymized folders.
        progress: called with ``done, total``.
        main_face_only: only the largest, most central face of each original; by default all that the judge is sure of.
        change: a function of a module that is put in the place of the anonymized pictures: an attack's control.

    Raises:
        InputError: there is no such recogniser or device.
        WeightsError: weights are missing.
    """
    names = tuple(available_recognisers() if recognisers is None else recognisers)
    device = resolve_device(device)
    setup = Setup(names, device, main_face_only, cache, change)
    results: list[_Rows | Exception] = []
    for result in map_processes(make_judge, setup, pairs, default_workers(device, workers)):
        results.append(result)
        if progress is not None:
            progress(len(results), len(pairs))
    return _gather(pairs, results, {name: recogniser_spec(name).dim for name in names})


def default_workers(device: str, workers: int | None) -> int:
    """The number of processes where none was given."""
    return workers or (usable_cores() if device == "cpu" else min(usable_cores(), _ON_GPU))


def make_judge(setup: Setup) -> Callable[[Pair], _Rows]:
    """What every process runs."""
    looker = Looker(setup.recognisers, setup.device, setup.main_face_only, setup.cache)
    return lambda pair: _judge(looker, setup.change, pair)


def _judge(looker: Looker, change: Change | None, pair: Pair) -> _Rows:
    original = read_picture(pair.original)
    anonymized = original if change or pair.anonymized is None else read_partner(pair.anonymized, original)
    before = looker.original(original)
    if not before.faces:
        raise PairFault(NO_FACE)
    if change:
        anonymized = change(original, [face for face in before.faces if face is not None])
        check_sizes(original, anonymized)
    after = before if anonymized is original else looker.anonymized(anonymized, before)
    return _Rows(before, after, [_unchanged(original, anonymized, face) for face in before.faces if face is not None])


def read_picture(path: Path) -> np.ndarray:
    """Oriented ``H x W x 3`` uint8 pixels.

    Raises:
        PairFault: the file cannot be decoded.
    """
    try:
        return decode_image(path).pixels
    except InputError as error:
        raise PairFault(UNREADABLE, str(error)) from error


def read_partner(path: Path, original: np.ndarray) -> np.ndarray:
    """The anonymized picture of an original.

    Raises:
        PairFault: the file cannot be decoded, or has another size.
    """
    pixels = read_picture(path)
    try:
        check_sizes(original, pixels)
    except InputError as error:
        raise PairFault(OTHER_SIZE, str(error)) from error
    return pixels


def _unchanged(original: np.ndarray, anonymized: np.ndarray, face: JudgedFace) -> bool:
    x0, y0 = (max(int(value), 0) for value in face.box[:2])
    x1, y1 = (int(np.ceil(value)) + 1 for value in face.box[2:])
    return bool(np.array_equal(original[y0:y1, x0:x1], anonymized[y0:y1, x0:x1]))


def fault_of(result: Exception) -> tuple[str, str]:
    """The reason and the rest of the story of a failed pair."""
    if isinstance(result, PairFault):
        return result.reason, str(result)
    return FAULT, f"{type(result).__name__}: {result}"


def note_fault(problems: dict[str, list[str]], pair: Pair, result: Exception) -> None:
    """Adds a failed pair to the problems."""
    reason, story = fault_of(result)
    problems.setdefault(reason, []).append(f"{pair.key}: {story}" if story else pair.key)


def _gather(pairs: Sequence[Pair], results: Sequence[_Rows | Exception], dims: dict[str, int]) -> JudgedFaces:
    problems: dict[str, list[str]] = {}
    done: list[tuple[Pair, _Rows]] = []
    for pair, result in zip(pairs, results, strict=True):
        if isinstance(result, Exception):
            note_fault(problems, pair, result)
        else:
            done.append((pair, result))
    olds = [face for _, rows in done for face in rows.before.faces if face is not None]
    news = [face for _, rows in done for face in rows.after.faces]
    counts = [len(rows.before.faces) for _, rows in done]
    missing = np.full((68, 2), np.nan, np.float32)

    def stacked(arrays: list[np.ndarray], *shape: int) -> np.ndarray:
        return np.concatenate([np.zeros((0, *shape), np.float32), *arrays])

    return JudgedFaces(
        keys=[pair.key for (pair, _), count in zip(done, counts, strict=True) for _ in range(count)],
        numbers=np.concatenate([np.zeros(0, int), *(np.arange(count) for count in counts)]),
        people=[pair.person for (pair, _), count in zip(done, counts, strict=True) for _ in range(count)],
        boxes=np.array([face.box for face in olds]).reshape(-1, 4),
        scores=np.array([face.score for face in olds]),
        landmarks=stacked([face.landmarks[None] for face in olds], 68, 2),
        landmarks_after=stacked([(face.landmarks if face else missing)[None] for face in news], 68, 2),
        detected=np.array([face is not None for face in news], bool),
        unchanged=np.array([flag for _, rows in done for flag in rows.unchanged], bool),
        before={name: stacked([rows.before.vectors[name] for _, rows in done], dim) for name, dim in dims.items()},
        after={name: stacked([rows.after.vectors[name] for _, rows in done], dim) for name, dim in dims.items()},
        problems=problems,
    )
