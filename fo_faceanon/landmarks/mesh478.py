"""MediaPipe's 478 face mesh points, 52 blendshapes and head pose, computed with torch: batched, on any device, without MediaPipe.

A face's crop is the square of 1.5 times the points' extent, turned upright by the eyes' outer corners, as MediaPipe tracks faces
in a video. The first crop comes from 68 landmarks or a detector's box, each further one from the points that the last one gave.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from fo_faceanon.detection.base import check_image
from fo_faceanon.faces import Face, apply_affine, invert_affine, warp_affine
from fo_faceanon.landmarks.head_pose import head_pose, read_canonical_head
from fo_faceanon.networks.face_mesh import CROP_SIDE, load_face_landmarker
from fo_faceanon.photometry.skin import forehead_points
from fo_faceanon.weights import require_weight

#: Side of the crop in extents of the points.
_MARGIN = 1.5
#: Side of the window around a face that crops are taken from, in extents, and in pixels.
_WINDOW, _WINDOW_SIDE = 2.5, 512
#: Outer corners of the right and of the left eye.
_EYES = (33, 263)
#: Crops taken one after the other. A box that is off by 7 % moves the points by .0107, .0035, .0018 or .0008 eye distances after one
#: to four (medians of 16 faces).
_PASSES = 3
#: Least probability that a crop shows a face.
PRESENCE = 0.5
#: Faces that go through the networks at once on a GPU; on a CPU one at a time, so that its neighbours never change a face's points.
_BATCH = 64


@dataclass(frozen=True, slots=True)
class MeshFace:
    """What the face landmarker says of one face.

    Args:
        points: ``478 x 3`` float32: x and y in image pixels (pixel centres at integers), z in the same unit, smaller is nearer.
        presence: probability that there is a face, in ``[0, 1]``.
        blendshapes: ``52`` float32 in ``[0, 1]``, named by `attributes.BLENDSHAPES`.
        pose: ``4 x 4`` float64 from the canonical head to the camera, in centimetres (`landmarks.head_pose`).
    """

    points: np.ndarray
    presence: float
    blendshapes: np.ndarray
    pose: np.ndarray


class Mesh478:
    """The face landmarker on one device.

    Raises:
        WeightsError: its weights are missing (``fo-faceanon weights get face-landmarker``), altered or cannot be read.
    """

    name = "mesh478"

    def __init__(self, device: str | torch.device = "cpu") -> None:
        self.device = torch.device(device)
        mesh, blendshapes, head = load_face_landmarker(require_weight("face-landmarker"))
        self._mesh, self._blendshapes = mesh.to(self.device), blendshapes.to(self.device)
        self._head = read_canonical_head(head)

    def __call__(self, image: np.ndarray, faces: Sequence[Face]) -> list[MeshFace | None]:
        """Marks the faces of an image.

        Args:
            image: ``H x W x 3`` uint8 RGB, oriented.
            faces: their landmarks, where they have any, else their boxes say where to look.

        Returns:
            One answer for each face; None where no face is to be seen.
        """
        image = check_image(image, self.name)
        if not faces:
            return []
        corners, sides, pixels = zip(*(_window(image, face) for face in faces), strict=True)
        scale = torch.tensor(sides)[:, None] / _WINDOW_SIDE
        origin = torch.tensor(np.stack(corners), dtype=torch.float32) + (0.5 * scale - 0.5)
        landmarks = [np.full((68, 2), np.nan) if face.landmarks is None else face.landmarks for face in faces]
        marks = (torch.from_numpy(np.stack(landmarks)).float() - origin[:, None]) / scale[:, None]
        boxes = (torch.tensor([face.box for face in faces]).view(-1, 2, 2) - origin[:, None]) / scale[:, None]
        windows = torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2)
        points, presence, shapes = (x.cpu() for x in self.mark_windows(windows, marks, boxes.view(-1, 4)))
        points = torch.cat([points[..., :2] * scale[:, None] + origin[:, None], points[..., 2:] * scale[:, None]], -1)
        poses = head_pose(points, image.shape[0], image.shape[1], self._head)
        values = zip(points.numpy(), presence.tolist(), shapes.numpy(), poses.numpy(), strict=True)
        return [MeshFace(p, s, b, m) if s >= PRESENCE and np.isfinite(p).all() else None for p, s, b, m in values]

    @torch.inference_mode()
    def mark_windows(self, windows: Tensor, landmarks: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Marks faces in windows that surround them.

        Args:
            windows: ``B x 3 x S x S``, uint8 or in ``[0, 1]``.
            landmarks: ``B x 68 x 2`` window pixels; NaN where unknown.
            boxes: ``B x 4`` window pixels; read where landmarks are unknown.

        Returns:
            ``B x 478 x 3`` window pixels (z in the same unit), ``B`` probabilities that there is a face, ``B x 52`` blendshapes
            (of the points as they lie in the window, as MediaPipe does it: a strong tilt weakens them).
        """
        step = 1 if self.device.type == "cpu" else _BATCH
        parts = [self._mark(*(x[i : i + step].to(self.device) for x in (windows, landmarks, boxes))) for i in range(0, len(windows), step)]
        points, presence, shapes = (torch.cat(values) for values in zip(*parts, strict=True))
        return points, presence, shapes

    def _mark(self, windows: Tensor, landmarks: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        windows = windows.float() / 255 if windows.dtype == torch.uint8 else windows
        points, presence = self._read(windows, _first_frame(landmarks, boxes))
        for _ in range(_PASSES - 1):
            points, presence = self._read(windows, _next_frame(points))
        return points, presence, self._blendshapes(points)

    def _read(self, windows: Tensor, frame: Tensor) -> tuple[Tensor, Tensor]:
        points, presence = self._mesh(warp_affine(windows, frame, CROP_SIDE))
        scale = frame[:, :, 0].norm(dim=1)[:, None, None]
        return torch.cat([apply_affine(invert_affine(frame), points[..., :2] - 0.5), points[..., 2:] / scale], -1), presence


def _first_frame(landmarks: Tensor, boxes: Tensor) -> Tensor:
    """From 68 landmarks, else from a detector's upright box."""
    known = landmarks.isfinite().all(-1).all(-1)[:, None]
    marks = torch.nan_to_num(landmarks)
    outline = torch.cat([marks, forehead_points(marks)], 1)
    low = torch.where(known, outline.amin(1), boxes[:, :2])
    high = torch.where(known, outline.amax(1), boxes[:, 2:])
    along = marks[:, 42:48].mean(1) - marks[:, 36:42].mean(1)
    return _frame(low, high, torch.where(known, along, torch.tensor([1.0, 0.0], device=along.device)))


def _next_frame(points: Tensor) -> Tensor:
    xy = points[..., :2]
    return _frame(xy.amin(1), xy.amax(1), xy[:, _EYES[1]] - xy[:, _EYES[0]])


def _frame(low: Tensor, high: Tensor, along: Tensor) -> Tensor:
    """``B x 2 x 3`` from window pixels to the crop around a box, turned so that ``along`` is level."""
    scale = CROP_SIDE / (_MARGIN * (high - low).amax(1).clamp_min(4.0))
    unit = along / along.norm(dim=1, keepdim=True).clamp_min(1e-6)
    turn = torch.stack([unit, torch.stack([-unit[:, 1], unit[:, 0]], -1)], 1)
    linear = turn * scale[:, None, None]
    shift = (CROP_SIDE - 1) / 2 - torch.einsum("bij,bj->bi", linear, (low + high) / 2)
    return torch.cat([linear, shift[..., None]], -1)


def _window(image: np.ndarray, face: Face) -> tuple[np.ndarray, int, np.ndarray]:
    """Corner (x, y) and side in image pixels of the square around a face, and its pixels at the working side; edges replicated."""
    box = np.reshape(face.box, (2, 2)) if face.landmarks is None else np.stack([face.landmarks.min(0), face.landmarks.max(0)])
    height, width = image.shape[:2]
    box = np.clip(box, [-width, -height], [2 * width, 2 * height])
    side = max(int(np.ceil(_WINDOW * (box[1] - box[0]).max())), 8)
    corner = np.rint(box.mean(0) - (side - 1) / 2).astype(int)
    step = max(side // (4 * _WINDOW_SIDE), 1)  # beyond four pixels for one, every second, third, ... will do
    steps = np.arange(step // 2, side, step)
    rows, columns = (np.clip(corner[axis] + steps, 0, limit - 1) for axis, limit in ((1, height), (0, width)))
    way = cv2.INTER_AREA if len(steps) > _WINDOW_SIDE else cv2.INTER_LINEAR
    return corner, side, cv2.resize(image[rows[:, None], columns[None]], (_WINDOW_SIDE, _WINDOW_SIDE), interpolation=way)
