"""From pictures to packed training faces: detect, place landmarks, cut the canonical crop, drop what would teach wrong things."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fo_faceanon.detection import Detector
from fo_faceanon.errors import InputError
from fo_faceanon.faces import apply_affine, invert_affine, warp_affine
from fo_faceanon.landmarks.canonical import canonical_frame
from fo_faceanon.landmarks.dlib68 import Dlib68
from fo_faceanon.photometry.skin import face_masks
from fo_faceanon.training.packed import Faces, read_header, write_shard
from fo_faceanon.training.sources import Source, read_pictures

#: Faces that score lower are left out: half of them are none, or are covered.
MIN_SCORE = 0.75
#: Crop pixels per picture pixel at most: crops enlarged more would teach blur.
MAX_ENLARGEMENT = 1.35
#: Of the face itself, and of the whole crop, this much must lie inside the picture.
MIN_FACE_KNOWN, MIN_KNOWN = 0.97, 0.55
#: Faces in one shard, by the crops' side: about 10 MB each, so that they can be sent in portions and are read side by side.
SHARD_FACES = {64: 6000, 128: 2000, 256: 700}
#: ``set, pictures read, faces kept``
Progress = Callable[[str, int, int], None]


@dataclass
class SetReport:
    """What became of one set: pictures read, faces kept, and why others were left out."""

    pictures: int = 0
    kept: int = 0
    left_out: Counter[str] = field(default_factory=Counter)


class FaceCutter:
    """Cuts the most prominent face out of a picture as a canonical crop.

    Args:
        size: side of the crop in pixels.
        detector: finds faces.
    """

    def __init__(self, size: int, detector: Detector) -> None:
        self.size = size
        self._detector = detector
        self._landmarker = Dlib68()

    @torch.inference_mode()
    def __call__(self, picture: np.ndarray, faces: Faces) -> str | None:
        """Adds the picture's face to ``faces``; returns why it was left out, or None."""
        found = [face for face in self._detector([picture])[0] if face.score >= MIN_SCORE]
        if not found:
            return "no certain face"
        face = max(found, key=lambda f: f.size)
        landmarks = self._landmarker(picture, [face])[0]
        if landmarks is None:
            return "no plausible landmarks"
        points = torch.from_numpy(landmarks)[None]
        frame = canonical_frame(points, self.size)
        if frame[0, :, 0].norm() > MAX_ENLARGEMENT:
            return "too small"
        placed = apply_affine(frame, points)
        known = known_pixels(frame, picture.shape[0], picture.shape[1], self.size)
        hull = face_masks(placed, self.size, self.size).hull[0, 0] > 0.5
        if known[hull].float().mean() < MIN_FACE_KNOWN or known.float().mean() < MIN_KNOWN:
            return "reaches out of the picture"
        faces.pictures.append(_crop(picture, frame, self.size))
        faces.landmarks.append(placed[0].numpy())
        faces.known.append(known.numpy())
        return None


def _crop(picture: np.ndarray, frame: Tensor, size: int) -> np.ndarray:
    pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None].float()
    return warp_affine(pixels, frame, size)[0].round().clamp(0, 255).byte().permute(1, 2, 0).numpy()


def known_pixels(frame: Tensor, height: int, width: int, size: int) -> Tensor:
    """``size x size`` bool: which pixels of a crop lie inside the picture of ``height x width`` that it is cut from."""
    axis = torch.arange(size, dtype=torch.float32)
    grid = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), -1).reshape(1, -1, 2)
    x, y = apply_affine(invert_affine(frame), grid)[0].view(size, size, 2).unbind(-1)
    return (x >= -0.5) & (x <= width - 0.5) & (y >= -0.5) & (y <= height - 0.5)


def prepare_faces(
    sources: Sequence[Source],
    out: Path,
    detector: Detector,
    size: int = 128,
    limit: int | None = None,
    progress: Progress | None = None,
) -> dict[str, SetReport]:
    """Packs all sources into shards, set by set; a set whose shards are there already is left as it is.

    Args:
        sources: where pictures come from.
        out: folder of the shards; made where missing.
        detector: finds faces.
        size: side of the crops in pixels: 64, 128 or 256.
        limit: faces per set at most.
        progress: called now and then.

    Returns:
        A report for each set that was packed.

    Raises:
        InputError: the size is another, or the folder holds crops of another size.
        WeightsError: the landmarker's weights are missing.
    """
    if size not in SHARD_FACES:
        raise InputError(f"crops can be {', '.join(map(str, SHARD_FACES))} pixels wide, but got {size}")
    out.mkdir(parents=True, exist_ok=True)
    there = {read_header(path)["set"]: read_header(path) for path in out.glob("*.npz")}
    if any(header["size"] != size for header in there.values()):
        raise InputError(f"{out} holds crops of another size: give each size a folder of its own")
    cutter = FaceCutter(size, detector)
    reports: dict[str, SetReport] = {}
    for name, group in groupby(sorted(sources, key=lambda s: s.set_name), key=lambda s: s.set_name):
        if name not in there:
            reports[name] = _prepare_set(name, list(group), cutter, out, limit, progress)
    return reports


def _prepare_set(
    name: str, sources: list[Source], cutter: FaceCutter, out: Path, limit: int | None, progress: Progress | None
) -> SetReport:
    report = SetReport()
    written: list[tuple[Path, Path]] = []
    for faces in _batches(name, sources, cutter, limit, report, progress):
        final = out / f"{name}-{len(written):03d}.npz"
        part = final.with_suffix(".unfinished")  # a set counts as there only when all of it is
        write_shard(part, faces, name, sources[0].synthetic)
        written.append((part, final))
    for part, final in written:
        part.replace(final)
    return report


def _batches(
    name: str, sources: list[Source], cutter: FaceCutter, limit: int | None, report: SetReport, progress: Progress | None
) -> Iterator[Faces]:
    faces = Faces()
    for picture in (p for source in sources for p in read_pictures(source)):
        if limit is not None and report.kept >= limit:
            break
        report.pictures += 1
        reason = cutter(picture, faces)
        if reason:
            report.left_out[reason] += 1
        report.kept = report.pictures - report.left_out.total()
        if progress is not None and report.pictures % 50 == 0:
            progress(name, report.pictures, report.kept)
        if len(faces) == SHARD_FACES[cutter.size]:
            yield faces
            faces = Faces()
    if len(faces):
        yield faces


def as_dict(reports: dict[str, SetReport]) -> dict[str, Any]:
    """Reports as JSON holds them."""
    return {name: {"pictures": r.pictures, "kept": r.kept, "left_out": dict(r.left_out)} for name, r in reports.items()}
