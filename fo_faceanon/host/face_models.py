"""Detector, landmarks, identity and emotion as models for FiftyOne's ``apply_model`` and ``compute_embeddings``."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import fiftyone as fo
import fiftyone.core.models as fom
import fiftyone.utils.torch as fout
import numpy as np
import torch
from PIL import Image

from fo_faceanon.detection import confirming_face, create_detector, faces_from_boxes
from fo_faceanon.devices import resolve_device
from fo_faceanon.errors import FaceAnonError, HostError, InputError, WeightsError
from fo_faceanon.faces import Face
from fo_faceanon.host.fields import face_skeleton
from fo_faceanon.images import decode_image

logger = logging.getLogger(__name__)
#: Side of the patches that identities are read from, in pixels: more than any recogniser needs.
_PATCH = 256


@dataclass(slots=True)
class Parameters:
    """What a model can be told when it is loaded; each model knows some of these.

    Args:
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``mps``.
        detector: ``union``, ``mtcnn``, ``yunet`` or ``dlib``.
        threshold: smallest score of the detector, in ``(0, 1)``; None for its own.
        min_face: smallest face that is looked for, in pixels.
        faces_field: a Detections field whose boxes are the faces; None to detect them.
        recogniser: whose embeddings; a name from :func:`fo_faceanon.recognition.available_recognisers`.
        per_face: every face of a picture, in place of the largest.
    """

    device: str = "auto"
    detector: str = "union"
    threshold: float | None = None
    min_face: int = 16
    faces_field: str | None = None
    recogniser: str = "dlib"
    per_face: bool = False


@dataclass(slots=True)
class _Input:
    """What a loader worker hands over: oriented pixels and the user's boxes; or why there are none."""

    pixels: np.ndarray | None
    boxes: list[list[float]] | None = None
    error: str | None = None


class OrientedGetItem(fout.GetItem):
    """Loads pictures in the frame in which the App shows them: turned by EXIF, as FiftyOne's own loader for torch does not.

    A file that cannot be read costs its own sample only: FiftyOne would drop the whole batch.
    """

    def __init__(self, faces_field: str | None = None, field_mapping: dict[str, str] | None = None) -> None:
        self._faces_field = faces_field
        super().__init__(field_mapping=field_mapping)

    @property
    def required_keys(self) -> list[str]:
        return ["filepath", *([self._faces_field] if self._faces_field else [])]

    def __call__(self, d: Mapping[str, Any]) -> _Input:
        try:
            pixels = decode_image(d["filepath"] or "").pixels
        except InputError as error:
            return _Input(None, error=str(error))
        labels = d.get(self._faces_field) if self._faces_field else None
        return _Input(pixels, None if labels is None else [label.bounding_box for label in labels.detections])


class FaceModel(fom.SupportsGetItem, fom.TorchModelMixin, fom.Model):
    """What the four models share: loading, batches of pictures of any sizes, and finding the faces.

    Args:
        parameters: of the model.

    Raises:
        InputError: a parameter is unknown or out of range.
        WeightsError: weights are missing; the message holds the command that gets them.
    """

    def __init__(self, parameters: Parameters) -> None:
        self.config = parameters
        self.device = resolve_device(parameters.device)
        self._detect = create_detector(parameters.detector, self.device, parameters.min_face, parameters.threshold)
        self._preprocess = False

    @property
    def media_type(self) -> str:
        return "image"

    @property
    def ragged_batches(self) -> bool:
        return False

    @property
    def transforms(self) -> Any:
        return None

    @property
    def preprocess(self) -> bool:
        return self._preprocess

    @preprocess.setter
    def preprocess(self, value: bool) -> None:
        self._preprocess = value

    @property
    def has_collate_fn(self) -> bool:
        return True

    @property
    def _using_gpu(self) -> bool:
        return self.device != "cpu"

    def build_get_item(self, field_mapping: dict[str, str] | None = None) -> OrientedGetItem:
        """``field_mapping={"filepath": "anonymized_filepath"}`` reads the anonymized pictures."""
        return OrientedGetItem(self.config.faces_field, field_mapping)

    def predict(self, arg: Any) -> Any:
        """The labels of one picture: ``H x W x 3`` uint8 RGB."""
        return self.predict_all([arg])[0]

    def predict_all(self, args: Iterable[Any]) -> list[Any]:
        """The labels of several pictures; None for one that could not be read."""
        inputs = _inputs(args)
        labels = iter(self._label([pixels for pixels, _ in inputs if pixels is not None], [b for p, b in inputs if p is not None]))
        return [None if pixels is None else next(labels) for pixels, _ in inputs]

    def _label(self, images: list[Any], boxes: list[list[list[float]] | None]) -> list[Any]:
        """The labels of readable pictures; ``boxes``: a user's own faces of each, or None."""
        raise HostError(f"{type(self).__name__} gives no labels")

    def _faces(self, images: list[np.ndarray], boxes: list[list[list[float]] | None]) -> list[list[Face]]:
        """The faces of each picture: the user's own where boxes are given."""
        wanted = [i for i, given in enumerate(boxes) if given is None]
        found = dict(zip(wanted, self._detect([images[i] for i in wanted]), strict=True)) if wanted else {}
        return [found[i] if i in found else own_faces(image, boxes[i] or []) for i, image in enumerate(images)]

    def _marked(self, landmarker: Any, image: np.ndarray, faces: Sequence[Face]) -> list[np.ndarray | None]:
        """``68 x 2`` landmarks of each face, or None. A user's box may be loose or off: see :func:`confirming_face`."""
        found = self._detect([image])[0] if any(face.detector == "user" for face in faces) else []
        placed = [confirming_face(face, found) for face in faces]
        marks = iter(landmarker(image, [face for face in placed if face is not None]))
        return [None if face is None else next(marks) for face in placed]


class FaceDetector(FaceModel):
    """Faces as Detections: box, confidence, and which detectors saw it."""

    def _label(self, images: list[np.ndarray], boxes: list[Any]) -> list[fo.Detections]:
        return [
            fo.Detections(detections=[face_label(face, image) for face in faces])
            for image, faces in zip(images, self._faces(images, boxes), strict=True)
        ]


class FaceLandmarks(FaceModel):
    """68 points of every face as Keypoints; a face whose points cannot be placed is left out."""

    def __init__(self, parameters: Parameters) -> None:
        from fo_faceanon.landmarks.landmarks68 import Landmarks68

        super().__init__(parameters)
        self._landmarker = Landmarks68(self.device)

    @property
    def skeleton(self) -> fo.KeypointSkeleton:
        """For ``dataset.skeletons[FIELD]``, so that the App joins the points."""
        return face_skeleton()

    def _label(self, images: list[np.ndarray], boxes: list[Any]) -> list[fo.Keypoints]:
        return [self._keypoints(image, faces) for image, faces in zip(images, self._faces(images, boxes), strict=True)]

    def _keypoints(self, image: np.ndarray, faces: Sequence[Face]) -> fo.Keypoints:
        scale = np.array([image.shape[1], image.shape[0]], float)
        marks = [points for points in self._marked(self._landmarker, image, faces) if points is not None]
        return fo.Keypoints(keypoints=[fo.Keypoint(label="face", points=(points / scale).tolist()) for points in marks])


class FaceEmbedding(fom.EmbeddingsMixin, FaceModel):
    """Identity of the largest face as a unit vector; all NaN where there is no face.

    For ``compute_patch_embeddings`` a patch is one face, so a patch in which no face is found is taken for one as a whole.
    """

    def __init__(self, parameters: Parameters) -> None:
        from fo_faceanon.landmarks.landmarks68 import Landmarks68
        from fo_faceanon.recognition import create_recogniser

        super().__init__(parameters)
        self._landmarker = Landmarks68(self.device)
        self._recogniser = create_recogniser(parameters.recogniser, self.device)

    @property
    def has_embeddings(self) -> bool:
        return True

    @property
    def transforms(self) -> Any:
        """What makes patches alike in size; whole pictures go through :class:`OrientedGetItem` and stay as they are."""
        return square_patch

    def _label(self, images: list[Any], boxes: list[Any]) -> list[Any]:
        raise HostError("this model makes embeddings, not labels: use dataset.compute_embeddings(model, embeddings_field=...)")

    def embed(self, arg: Any) -> np.ndarray:
        """The vector of one picture."""
        return self.embed_all([arg])[0]

    def embed_all(self, args: Iterable[Any]) -> np.ndarray:
        """``N x dim`` float vectors of N pictures; NaN where there is no face, or no readable picture."""
        from fo_faceanon.recognition import embed_images

        nothing = np.zeros((1, 1, 3), np.uint8)  # stands for a picture that could not be read: no face in it, no vector
        images = [nothing if pixels is None else pixels for pixels, _ in _inputs(args)]
        faces = self._faces(images, [None] * len(images))
        return embed_images(self._recogniser, images, [self._mark_one(i, f) for i, f in zip(images, faces, strict=True)]).double().numpy()

    def _mark_one(self, image: np.ndarray, faces: Sequence[Face]) -> np.ndarray | None:
        height, width = image.shape[:2]
        face = max(faces, key=lambda f: f.size, default=Face((0.0, 0.0, float(width), float(height)), detector="patch"))
        return self._landmarker(image, [face])[0]


def square_patch(patch: Image.Image) -> torch.Tensor:
    """A patch as a ``256 x 256 x 3`` uint8 tensor: enlarged or reduced to fit, and padded by its edges."""
    scale = _PATCH / max(patch.size)
    size = max(round(patch.width * scale), 1), max(round(patch.height * scale), 1)
    pixels = np.asarray(patch.convert("RGB").resize(size, Image.Resampling.LANCZOS))
    return torch.from_numpy(np.pad(pixels, ((0, _PATCH - size[1]), (0, _PATCH - size[0]), (0, 0)), mode="edge"))


class FaceEmotion(fom.LogitsMixin, FaceModel):
    """The emotion of the largest face as a Classification; with ``per_face``, of every face as Detections."""

    def __init__(self, parameters: Parameters) -> None:
        from fo_faceanon.landmarks.landmarks68 import Landmarks68

        fom.LogitsMixin.__init__(self)
        FaceModel.__init__(self, parameters)
        self._landmarker = Landmarks68(self.device)
        self._classifier, self._names = emotion_classifier(self.device)

    @property
    def has_logits(self) -> bool:
        return True

    def _label(self, images: list[np.ndarray], boxes: list[Any]) -> list[Any]:
        chosen = self._faces(images, boxes)
        if not self.config.per_face:
            chosen = [[max(faces, key=lambda f: f.size)] if faces else [] for faces in chosen]
        return [self._one(image, faces) for image, faces in zip(images, chosen, strict=True)]

    def emotions(self, image: np.ndarray, faces: Sequence[Face]) -> list[str | None]:
        """The emotion of each face of a picture; None where its landmarks cannot be placed."""
        rows = self._rows(image, faces)
        return [self._names[int(row.argmax())] if np.isfinite(row).all() else None for row in rows]

    def _rows(self, image: np.ndarray, faces: Sequence[Face]) -> np.ndarray:
        return emotion_probabilities(self._classifier, image, self._marked(self._landmarker, image, faces), len(self._names))

    def _one(self, image: np.ndarray, faces: Sequence[Face]) -> fo.Classification | fo.Detections | None:
        rows = self._rows(image, faces)
        if self.config.per_face:
            pairs = zip(faces, rows, strict=True)
            return fo.Detections(detections=[self._describe(face_label(face, image), row) for face, row in pairs])
        known = [row for row in rows if np.isfinite(row).all()]
        return self._describe(fo.Classification(), known[0]) if known else None

    def _describe(self, label: Any, probabilities: np.ndarray) -> Any:
        if not np.isfinite(probabilities).all():
            label.label, label.confidence = "unknown", None
            return label
        best = int(probabilities.argmax())
        label.label, label.confidence = self._names[best], float(probabilities[best])
        if self.store_logits and isinstance(label, fo.Classification):
            label.logits = np.log(np.maximum(probabilities, 1e-9))
        return label


def emotion_classifier(device: str) -> tuple[Any, tuple[str, ...]]:
    """The classifier of emotions, and the names of its classes.

    Raises:
        WeightsError: this installation has none.
    """
    try:
        from fo_faceanon.emotion import EMOTIONS, EmotionClassifier
    except ImportError as error:
        raise WeightsError(f"this installation of fo-faceanon holds no classifier of emotions ({error}); update it") from error
    return EmotionClassifier(device), tuple(EMOTIONS)


def emotion_probabilities(classifier: Any, image: np.ndarray, marks: Sequence[np.ndarray | None], classes: int) -> np.ndarray:
    """``N x classes`` probabilities of N faces in one picture, given their ``68 x 2`` landmarks; NaN for a face without."""
    from fo_faceanon.recognition import crops_of

    rows = np.full((len(marks), classes), np.nan)
    for indices, crops, points in crops_of([image] * len(marks), marks):
        rows[indices] = np.asarray(classifier.probabilities(crops, points).cpu(), float)
    return rows


def _inputs(args: Iterable[Any]) -> list[tuple[np.ndarray | None, list[list[float]] | None]]:
    """Pixels and the user's boxes of what was handed over; what could not be read is named in the log, and has no pixels."""
    inputs = [arg if isinstance(arg, _Input) else _Input(np.asarray(arg)) for arg in args]
    for each in inputs:
        if each.error:
            logger.warning("Left out: %s", each.error)
    return [(each.pixels, each.boxes) for each in inputs]


def own_faces(image: np.ndarray, boxes: list[list[float]]) -> list[Face]:
    height, width = image.shape[:2]
    corners = [(x * width, y * height, (x + w) * width, (y + h) * height) for x, y, w, h in boxes]
    try:
        return faces_from_boxes(corners)
    except FaceAnonError as error:
        logger.warning("The boxes of a picture are left out: %s", error)
        return []


def face_label(face: Face, image: np.ndarray) -> fo.Detection:
    """The face as a Detection, its box cut off at the picture's edges."""
    height, width = image.shape[:2]
    x0, y0, x1, y1 = face.box
    x0, y0, x1, y1 = max(x0, 0) / width, max(y0, 0) / height, min(x1, width) / width, min(y1, height) / height
    return fo.Detection(label="face", bounding_box=[x0, y0, x1 - x0, y1 - y0], confidence=face.score, detector=face.detector)
