"""The default: every detector that is installed, so that no face that one of them sees stays original."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from fo_faceanon.detection.base import Detector, sort_faces
from fo_faceanon.detection.dlib_hog import SMALLEST, DlibHog
from fo_faceanon.detection.merge import merge_faces
from fo_faceanon.detection.mtcnn import MTCNN
from fo_faceanon.detection.yunet import YuNet
from fo_faceanon.errors import InputError
from fo_faceanon.faces import Face
from fo_faceanon.weights import find_weight

#: The score from which one detector is believed alone; a lower one needs a second detector that sees the same face. Recall counts
#: more than precision: at .95 MTCNN's lone finds on 60 photographs were three patches of background less, and one hidden face.
LONE = {"mtcnn": 0.65, "yunet": 0.5, "dlib": 0.5}


class Union:
    """MTCNN and YuNet where its weights are fetched, else MTCNN and dlib.

    dlib's detector is the slowest and, with YuNet there, found no further face in our measurements. It then looks only at
    images in which the others found nothing: an image is called free of faces only when all three agree. With MTCNN alone, it
    looks at every image, but enlarges, for small faces, only those in which MTCNN found nothing or is in doubt: of 462 faces in
    298 photographs that lost none.

    Args:
        device: where MTCNN runs; the others run on the CPU.
        min_face: side of the smallest face looked for, in pixels.
        threshold: the score from which any detector is believed alone; None for the measured values.

    Raises:
        InputError: an argument is out of range.
        WeightsError: a weight file is missing or altered.
    """

    name = "union"

    def __init__(self, device: str | torch.device = "cpu", min_face: int = 16, threshold: float | None = None) -> None:
        if threshold is not None and not 0 < threshold < 1:
            raise InputError(f"the detection threshold must be between 0 and 1, but got {threshold}")
        yunet = find_weight("yunet", "face_detection_yunet_2023mar.onnx") is not None
        # Half of MTCNN's time goes into its smallest faces, which YuNet finds better.
        smallest = max(min_face, 20) if yunet else min_face
        self._detectors: list[Detector] = [MTCNN(device, smallest, threshold=0.5, refinement_threshold=0.6)]
        if yunet:
            self._detectors.append(YuNet(min_face, threshold=0.3))
            self._last = DlibHog(min_face, megapixels=1.0)
        else:
            self._last = DlibHog(min_face, megapixels=0.5)
            self._detectors.append(DlibHog(max(min_face, SMALLEST), megapixels=0.5))
        self._doubts = not yunet
        self._lone = LONE if threshold is None else dict.fromkeys(LONE, threshold)

    def __call__(self, images: Sequence[np.ndarray]) -> list[list[Face]]:
        """See :class:`~fo_faceanon.detection.base.Detector`. The box is that of the first of mtcnn, yunet, dlib that saw the face."""
        opinions = [detector(images) for detector in self._detectors]
        results = []
        for image, groups in zip(images, zip(*opinions, strict=True), strict=True):
            merged = merge_faces(groups)
            faces = self._believed(merged)
            if self._asks_again(image, len(merged), len(faces)):
                faces = self._believed(merge_faces([*groups, *self._last([image])]))
            results.append(sort_faces(faces))
        return results

    def _asks_again(self, image: np.ndarray, found: int, believed: int) -> bool:
        if not self._doubts:
            return not believed
        enlarges = image.shape[0] * image.shape[1] < 1e6 * self._last.megapixels  # else it would look at the same pixels again
        return enlarges and (not believed or believed < found)

    def _believed(self, faces: Sequence[Face]) -> list[Face]:
        return [face for face in faces if "+" in face.detector or face.score >= self._lone[face.detector]]
