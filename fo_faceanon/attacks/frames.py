"""Aligned pictures of faces, original and anonymized, and what recognisers make of such pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from fo_faceanon.faces import apply_affine, estimate_similarity, warp_affine
from fo_faceanon.judging.judged import JudgedFaces, read_partner, read_picture
from fo_faceanon.judging.pairs import Pair
from fo_faceanon.judging.processes import map_processes
from fo_faceanon.recognition import crops_of
from fo_faceanon.recognition.align import five_points

#: Side of a frame in pixels: ArcFace's alignment at its own scale with 16 px more on each side, which holds every recogniser's chip.
FRAME = 144
_POINTS = ((54.2946, 67.6963), (89.5318, 67.5014), (72.0252, 87.7366), (57.5493, 108.3655), (86.7299, 108.2041))
_BATCH = 16


@dataclass(slots=True)
class Frames:
    """Aligned faces, each array ``N x 3 x FRAME x FRAME`` uint8, landmarks ``N x 68 x 2`` in frame pixels.

    Args:
        rows: of the judged faces.
        anonymized: aligned by the landmarks found on it, else by the original's.
        original: the same window of the original: what a restoration has to give.
        landmarks: of both.
        clear: the original, aligned by its own landmarks.
        clear_landmarks: of it.
    """

    rows: np.ndarray
    anonymized: np.ndarray
    original: np.ndarray
    landmarks: np.ndarray
    clear: np.ndarray
    clear_landmarks: np.ndarray


#: A pair, and the landmarks of its faces: by which the anonymized picture is aligned, and by which the original.
Task = tuple[Pair, np.ndarray, np.ndarray]


def cut_frames(
    pairs: Sequence[Pair], judged: JudgedFaces, rows: np.ndarray, workers: int, progress: Callable[[int, int], None] | None = None
) -> Frames:
    """The frames of some of the judged faces; a picture that cannot be read any more is left out.

    Args:
        pairs: that were judged.
        judged: their faces.
        rows: which of them.
        workers: processes.
        progress: called with ``done, total`` pictures.
    """
    of = {pair.key: pair for pair in pairs}
    align = np.where(np.isfinite(judged.landmarks_after), judged.landmarks_after, judged.landmarks)
    members: dict[str, list[int]] = {}
    for i in rows.tolist():
        members.setdefault(judged.keys[i], []).append(i)
    tasks: list[Task] = [(of[key], align[some], judged.landmarks[some]) for key, some in members.items()]
    found, kept = [], []
    for done, (some, result) in enumerate(zip(members.values(), map_processes(_make_cutter, None, tasks, workers), strict=True), 1):
        if not isinstance(result, Exception):
            found.append(result)
            kept += some
        if progress is not None:
            progress(done, len(members))
    if not found:
        nothing, points = np.zeros((0, 3, FRAME, FRAME), np.uint8), np.zeros((0, 68, 2), np.float32)
        return Frames(np.zeros(0, int), nothing, nothing, points, nothing, points)
    arrays = [np.concatenate(parts) for parts in zip(*found, strict=True)]
    return Frames(np.array(kept), arrays[0], arrays[1], arrays[2], arrays[3], arrays[4])


def _make_cutter(setup: None) -> Callable[[Task], tuple[np.ndarray, ...]]:
    return _cut_pair


def _cut_pair(task: Task) -> tuple[np.ndarray, ...]:
    pair, align, own = task
    original = read_picture(pair.original)
    other = read_partner(pair.anonymized, original) if pair.anonymized else original
    anonymized, points = _cut(other, align)
    target, _ = _cut(original, align)
    clear, clear_points = _cut(original, own)
    return anonymized, target, points, clear, clear_points


def _cut(image: np.ndarray, landmarks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``F x 3 x FRAME x FRAME`` uint8 of the faces of one picture, and their landmarks in it."""
    frames = np.zeros((len(landmarks), 3, FRAME, FRAME), np.uint8)
    placed = np.zeros((len(landmarks), 68, 2), np.float32)
    for rows, crops, points in crops_of([image] * len(landmarks), list(landmarks), batch=1):
        matrix = estimate_similarity(five_points(points), points.new_tensor(_POINTS))
        frames[rows] = (warp_affine(crops, matrix, FRAME).clamp(0, 1) * 255).round().to(torch.uint8).numpy()
        placed[rows] = apply_affine(matrix, points).numpy()
    return frames, placed


def embed_frames(
    frames: np.ndarray,
    landmarks: np.ndarray,
    recognisers: Sequence[str],
    workers: int,
    device: str = "cpu",
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, np.ndarray]:
    """``N x D`` unit vectors of aligned pictures per recogniser.

    Args:
        frames: ``N x 3 x S x S`` uint8.
        landmarks: ``N x 68 x 2`` in them.
        recognisers: names.
        workers: processes.
        device: where the recognisers run.
        progress: called with ``done, total`` pictures.

    Raises:
        WeightsError: weights are missing.
    """
    starts = range(0, len(frames), _BATCH)
    batches = [(frames[s : s + _BATCH], landmarks[s : s + _BATCH]) for s in starts]
    parts = []
    for result in map_processes(_make_embedder, (tuple(recognisers), device), batches, workers):
        if isinstance(result, Exception):
            raise result
        parts.append(result)
        if progress is not None:
            progress(min(len(parts) * _BATCH, len(frames)), len(frames))
    return {name: np.concatenate([part[name] for part in parts]) for name in recognisers} if parts else {}


def _make_embedder(setup: tuple[tuple[str, ...], str]) -> Callable[[tuple[np.ndarray, np.ndarray]], dict[str, np.ndarray]]:
    from fo_faceanon.recognition import create_recogniser

    networks = [create_recogniser(name, setup[1]) for name in setup[0]]

    def embed(batch: tuple[np.ndarray, np.ndarray]) -> dict[str, np.ndarray]:
        crops, points = torch.from_numpy(batch[0]).float() / 255, torch.from_numpy(batch[1])
        return {network.name: network.embed(crops, points).cpu().numpy() for network in networks}

    return embed
