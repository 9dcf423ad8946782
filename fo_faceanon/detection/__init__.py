"""Face detectors by name: all of them take oriented RGB images and return :class:`~fo_faceanon.faces.Face` lists."""

from __future__ import annotations

from dataclasses import dataclass

from fo_faceanon.detection.base import Detector
from fo_faceanon.detection.merge import confirming_face, faces_from_boxes, merge_faces, same_face
from fo_faceanon.errors import InputError
from fo_faceanon.weights import find_weight

__all__ = [
    "Detector",
    "DetectorInfo",
    "confirming_face",
    "create_detector",
    "faces_from_boxes",
    "list_detectors",
    "merge_faces",
    "same_face",
]


@dataclass(frozen=True, slots=True)
class DetectorInfo:
    """A detector: its name, one line about it, and whether everything that it needs is there."""

    name: str
    summary: str
    available: bool


def list_detectors() -> list[DetectorInfo]:
    """The detectors, the default first."""
    mtcnn = find_weight("mtcnn", "pnet.pt") is not None
    yunet = find_weight("yunet", "face_detection_yunet_2023mar.onnx") is not None
    return [
        DetectorInfo("union", "mtcnn with yunet, or with dlib where yunet is not fetched: what one misses, another finds (default)", mtcnn),
        DetectorInfo("mtcnn", "a cascade of three networks over an image pyramid, on any device", mtcnn),
        DetectorInfo("yunet", "a small one-shot network, also for profiles and masked faces, on the CPU", yunet),
        DetectorInfo("dlib", "histograms of gradients: upright faces from the front, on the CPU", True),
    ]


def create_detector(name: str = "union", device: str = "cpu", min_face: int = 16, threshold: float | None = None) -> Detector:
    """A detector.

    Args:
        name: ``union``, ``mtcnn``, ``yunet`` or ``dlib``.
        device: where networks run; yunet and dlib always run on the CPU.
        min_face: side of the smallest face looked for, in pixels, at least 8.
        threshold: smallest score in ``(0, 1)``; None for the detector's own.

    Raises:
        InputError: an unknown name, or an argument out of range.
        WeightsError: a weight file is missing or altered; the message has the command that gets it.
    """
    own = {} if threshold is None else {"threshold": threshold}
    if name == "union":
        from fo_faceanon.detection.union import Union

        return Union(device, min_face, threshold)
    if name == "mtcnn":
        from fo_faceanon.detection.mtcnn import MTCNN

        return MTCNN(device, min_face, **own)
    if name == "yunet":
        from fo_faceanon.detection.yunet import YuNet

        return YuNet(min_face, **own)
    if name == "dlib":
        from fo_faceanon.detection.dlib_hog import DlibHog

        return DlibHog(min_face, **own)
    raise InputError(f"there is no detector {name!r}; choose one of union, mtcnn, yunet, dlib")
