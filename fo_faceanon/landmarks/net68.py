"""68 landmarks (iBUG order) from our own network: for profiles, covered, dark and tiny faces, which dlib cannot mark."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from fo_faceanon.detection.base import check_image
from fo_faceanon.errors import InputError, WeightsError
from fo_faceanon.faces import Face, apply_affine, invert_affine, warp_affine
from fo_faceanon.landmarks.dlib68 import SMALLEST, detector_square
from fo_faceanon.networks.landmark_net import CROP_SIDE, FACE_SIDE, LandmarkCNN

#: The bundled weights; see ``data/landmarks68.md``.
WEIGHTS = Path(__file__).parents[1] / "data" / "landmarks68.safetensors"
#: Least probability of a face, and greatest expected error in face sizes, of points that count.
PRESENCE, WORST = 0.8, 0.12
#: Side of the window around a face that crops are taken from, in squares of dlib's detector, and in pixels.
_WINDOW, _WINDOW_SIDE = 2.4, 208
# The landmarks' box in that square, as dlib68 has it from its measurements.
_BOX_OF_SQUARE, _BOX_DOWN = 1 / 1.097, 0.08 / 1.097
#: Faces that go through the network at once on a GPU; on a CPU one at a time, so that its neighbours never change a face's points.
_BATCH = 256


@dataclass(frozen=True, slots=True)
class MarkedFace:
    """What the network says of one face.

    Args:
        points: ``68 x 2`` float32 pixel positions, which may leave the image.
        error: how far off they are expected to be on average, in face sizes (:func:`face_size`).
        presence: probability that there is a face, in ``[0, 1]``.
    """

    points: np.ndarray
    error: float
    presence: float

    @property
    def credible(self) -> bool:
        """Whether the network itself takes this for a face that it can mark."""
        return self.presence >= PRESENCE and self.error <= WORST and bool(np.isfinite(self.points).all())


def face_size(points: np.ndarray) -> np.ndarray:
    """0.45 of the longer side of the box of ``... x K x 2`` points: on a frontal face about the distance of the eyes.

    A profile's eyes lie close together; its box stays as tall.
    """
    return 0.45 * np.ptp(points, axis=-2).max(-1)


class Net68:
    """The bundled landmark network on one device.

    Two passes: the second sees a crop that the first one's points centre, size and turn upright.

    Args:
        device: where it runs.
        weights: a safetensors file other than the bundled one.

    Raises:
        WeightsError: the file is missing or is not this network's.
    """

    name = "net68"

    def __init__(self, device: str | torch.device = "cpu", weights: Path = WEIGHTS) -> None:
        self.device = torch.device(device)
        self.net = LandmarkCNN()
        try:
            self.net.load_state_dict(_load(weights))
        except RuntimeError as error:
            raise WeightsError(f"{weights} does not hold the landmark network: {error}; reinstall fo-faceanon") from error
        self.net.eval().to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def __call__(self, image: np.ndarray, faces: Sequence[Face]) -> list[np.ndarray | None]:
        """Landmarks for each face.

        Args:
            image: ``H x W x 3`` uint8 RGB, oriented.
            faces: only their boxes and their detectors' names are read.

        Returns:
            For each face ``68 x 2`` float32 pixel positions, which may leave the image; None where there is no face to be seen.
        """
        marked = self.mark(image, faces)
        return [face.points if face is not None and face.credible else None for face in marked]

    def mark(self, image: np.ndarray, faces: Sequence[Face]) -> list[MarkedFace | None]:
        """The same with what the network thinks of its points; None only where the box shows none of the image, or next to none."""
        image = check_image(image, self.name)
        found: list[MarkedFace | None] = [None] * len(faces)
        squares = {i: square for i, face in enumerate(faces) if _shows(image, square := detector_square(face))}
        if not squares:
            return found
        cut = [cut_window(image, square) for square in squares.values()]
        windows = torch.from_numpy(np.stack([pixels for pixels, _ in cut])).permute(0, 3, 1, 2)
        frames = torch.from_numpy(np.stack([frame for _, frame in cut]))
        points, error, presence = (value.cpu() for value in self.mark_windows(windows))
        placed = apply_affine(invert_affine(frames), points.double()).float().numpy()
        for i, marks, off, seen in zip(squares, placed, error.tolist(), presence.tolist(), strict=True):
            found[i] = MarkedFace(marks, off, seen)
        return found

    @torch.inference_mode()
    def mark_windows(self, windows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Marks the faces in the middle of windows that are 2.4 times as wide as the squares of dlib's detector.

        Args:
            windows: ``B x 3 x S x S``, uint8 or in ``[0, 1]``.

        Returns:
            ``B x 68 x 2`` window pixels, ``B`` expected errors in face sizes and ``B`` probabilities of a face.

        Raises:
            InputError: another shape.
        """
        if windows.ndim != 4 or windows.shape[1] != 3 or windows.shape[2] != windows.shape[3]:
            raise InputError(f"the landmark network needs square windows B x 3 x S x S, but got {tuple(windows.shape)}")
        step = 1 if self.device.type == "cpu" else _BATCH
        parts = [self._mark(part.to(self.device)) for part in windows.split(step)] if len(windows) else []
        if not parts:
            return torch.zeros(0, 68, 2), torch.zeros(0), torch.zeros(0)
        points, error, presence = (torch.cat(values) for values in zip(*parts, strict=True))
        return points, error, presence

    def _mark(self, windows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        windows = windows.float() / 255 if windows.dtype == torch.uint8 else windows.float()
        first, _, _ = self._read(windows, _first_frame(windows))
        points, error, presence = self._read(windows, _next_frame(first))
        return points, error, presence

    def _read(self, windows: Tensor, frame: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        crops = warp_affine(windows, frame, CROP_SIDE).contiguous(memory_format=torch.channels_last)
        points, sure, face = self.net(crops)
        size = 0.45 * (points.amax(1) - points.amin(1)).amax(1).clamp_min(1.0)
        return apply_affine(invert_affine(frame), points), sure.exp().mean(1) / size, face.sigmoid()


def cut_window(image: np.ndarray, square: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The window around a square ``(x, y, side)``, ``208 x 208 x 3`` with edges replicated, and the ``2 x 3`` map from image to window."""
    height, width = image.shape[:2]
    side = _WINDOW * float(square[2])
    low = square[:2] + square[2] / 2 + np.array([0.0, _BOX_DOWN * square[2]]) - side / 2
    a = np.clip(np.floor(low).astype(int) - 2, 0, [width - 1, height - 1])
    b = np.clip(np.ceil(low + side).astype(int) + 2, a + 1, [width, height])
    part = image[a[1] : b[1], a[0] : b[0]]
    scale = np.full(2, _WINDOW_SIDE / side)
    origin = a - low
    left = scale.copy()  # what the warp still has to scale
    if scale[0] < 1:  # reduce first: a warp would skip pixels
        size = np.maximum(np.rint((b - a) * scale), 1).astype(int)
        part = cv2.resize(part, tuple(int(v) for v in size), interpolation=cv2.INTER_AREA)
        left = scale * (b - a) / size
    matrix = np.array([[left[0], 0, 0], [0, left[1], 0]])
    matrix[:, 2] = origin * scale + 0.5 * left - 0.5
    window = cv2.warpAffine(part, matrix, (_WINDOW_SIDE, _WINDOW_SIDE), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    frame = np.array([[scale[0], 0, 0], [0, scale[1], 0]])
    frame[:, 2] = -low * scale + 0.5 * scale - 0.5
    return window, frame


def _shows(image: np.ndarray, square: np.ndarray) -> bool:
    height, width = image.shape[:2]
    x, y, side = square
    return SMALLEST <= side <= 4 * max(height, width) and x < width and y < height and x + side > 0 and y + side > 0


def _first_frame(windows: Tensor) -> Tensor:
    """``B x 2 x 3``: upright, the face where the detector's box says."""
    size = windows.shape[-1]
    scale = FACE_SIDE / (_BOX_OF_SQUARE * size / _WINDOW)
    shift = (CROP_SIDE - 1) / 2 - scale * (size - 1) / 2
    frame = windows.new_tensor([[scale, 0.0, shift], [0.0, scale, shift]])
    return frame.expand(len(windows), 2, 3)


def _next_frame(points: Tensor) -> Tensor:
    """``B x 2 x 3`` from the first pass's points: the face turned upright, its box in the middle and as large as in training."""
    down = points[:, [48, 54]].mean(1) - points[:, 36:48].mean(1)
    down = down / down.norm(dim=1, keepdim=True).clamp_min(1e-6)
    turn = torch.stack([torch.stack([down[:, 1], -down[:, 0]], -1), down], 1)
    turned = torch.einsum("bij,bnj->bni", turn, points)
    low, high = turned.amin(1), turned.amax(1)
    scale = FACE_SIDE / (high - low).amax(1).clamp_min(2.0)
    shift = (CROP_SIDE - 1) / 2 - scale[:, None] * (low + high) / 2
    return torch.cat([turn * scale[:, None, None], shift[..., None]], -1)


def _load(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors = load_file(str(path))
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"cannot read the landmark network's weights {path}: {error}; reinstall fo-faceanon") from error
    return {name: value.float() if value.is_floating_point() else value for name, value in tensors.items()}
