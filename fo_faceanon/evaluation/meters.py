"""The networks that measure, loaded once per process, and what they see on one picture."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from fo_faceanon.detection.base import Detector
from fo_faceanon.errors import FaceAnonError
from fo_faceanon.faces import Face
from fo_faceanon.judging.faces import JudgedFace
from fo_faceanon.judging.look import Looker, Seen, embed
from fo_faceanon.landmarks.mesh478 import MeshFace
from fo_faceanon.recognition import crops_of
from fo_faceanon.weights import find_weight, require_weight
from fo_faceanon.windows import cut_windows, window_of

#: Classes of both emotion networks.
EMOTIONS = 7
#: A network's function of crops ``B x 3 x S x S`` and landmarks ``B x 68 x 2``, to ``B x 7`` probabilities.
Emotions = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class Side:
    """One picture of a pair, as all meters see it. Everything per face is in the order of the original's ``F`` faces.

    Args:
        image: ``H x W x 3`` uint8.
        faces: None where no face was found in an original's place.
        vectors: ``F x D`` per recogniser.
        seven: ``7 x 68 x 2`` landmarks by dlib per face (`Judge.seven`), None without a face.
        mesh: MediaPipe's points, None without a face or weights.
        emotions: ``F x 7`` probabilities by our network; NaN without a face or network.
        face_api: the same by face-api.js's.
        second: all faces that the second detector finds on the picture.
        whole: ``1 x 2048`` Inception features of the picture, None without weights.
        windows: ``F x 2048`` of the windows around the original's faces, None without weights.
    """

    image: np.ndarray
    faces: Sequence[JudgedFace | None]
    vectors: dict[str, np.ndarray]
    seven: list[np.ndarray | None]
    mesh: list[MeshFace | None]
    emotions: Tensor
    face_api: Tensor
    second: list[Face]
    whole: Tensor | None
    windows: Tensor | None

    def first(self) -> Side:
        """The same picture with its first face only."""
        vectors = {name: rows[:1] for name, rows in self.vectors.items()}
        some = {name: getattr(self, name)[:1] for name in ("faces", "seven", "mesh", "emotions", "face_api")}
        return replace(self, vectors=vectors, windows=None if self.windows is None else self.windows[:1], **some)


class Meters:
    """Every network of an evaluation on one device; those without weights are left out, and their figures withheld.

    Args:
        recognisers: names.
        device: where networks run.
        main_face_only: measure only the main face of an original.
        cache: a folder that keeps what the judge saw on originals.
        realism: whether Inception features are wanted.

    Raises:
        WeightsError: a recogniser's or the judge's weights are missing, or any are altered.
    """

    def __init__(
        self,
        recognisers: Sequence[str],
        device: str = "cpu",
        main_face_only: bool = False,
        cache: Path | None = None,
        realism: bool = True,
    ) -> None:
        from fo_faceanon.attributes import AttributeNet

        self.device = device
        self.looker = Looker(recognisers, device, main_face_only, cache)
        self.attributes = AttributeNet(device)
        self._second = second_detector()
        missing = missing_weights()
        self._mesh = None if "mesh" in missing else self._load_mesh()
        self._emotions = None if "emotion" in missing else self._load_emotions()
        self._face_api = None if "face_api" in missing else self._load_face_api()
        self._inception = None if "inception" in missing or not realism else self._load_inception()

    def original(self, image: np.ndarray, faces: Sequence[JudgedFace] | None = None) -> Side:
        """An original, with the judge's faces, or known ones."""
        seen = self.looker.original(image) if faces is None else self._known(image, faces)
        return self._look(image, seen, seen)

    def anonymized(self, image: np.ndarray, original: Side) -> Side:
        """What was made of it, or of the same picture by re-encoding."""
        seen = Seen(original.faces, original.vectors)
        return self._look(image, self.looker.anonymized(image, seen), seen)

    def _known(self, image: np.ndarray, faces: Sequence[JudgedFace]) -> Seen:
        return Seen(faces, embed(self.looker.recognisers, image, [face.landmarks for face in faces]))

    def _look(self, image: np.ndarray, seen: Seen, original: Seen) -> Side:
        judge = self.looker.judge
        return Side(
            image=image,
            faces=seen.faces,
            vectors=seen.vectors,
            seven=[None if face is None else judge.seven(image, face.landmarks) for face in seen.faces],
            mesh=[None if face is None or self._mesh is None else self._mesh(image, face) for face in seen.faces],
            emotions=_probabilities(self._emotions, image, seen.faces),
            face_api=_probabilities(self._face_api, image, seen.faces),
            second=self._second([image])[0] if seen.faces else [],
            whole=None if self._inception is None or not seen.faces else self._inception([torch.from_numpy(image).permute(2, 0, 1)]),
            windows=None if self._inception is None else self._inception(_windows(image, original.faces)),
        )

    def _load_mesh(self) -> Callable[[np.ndarray, JudgedFace], MeshFace | None]:
        from fo_faceanon.landmarks.mesh478 import Mesh478

        network = Mesh478(self.device)
        return lambda image, face: network(image, [Face(face.box)])[0]  # by the box alone: independent of dlib's points

    def _load_emotions(self) -> Emotions:
        from fo_faceanon.emotion import EmotionClassifier

        return EmotionClassifier(self.device).probabilities

    def _load_face_api(self) -> Emotions:
        from fo_faceanon.networks.face_api_expression import expression_chips, load_expression

        network = load_expression(require_weight("expression")).to(self.device)
        return lambda crops, points: network(expression_chips(crops.to(self.device), points.to(self.device)))

    def _load_inception(self) -> Callable[..., Tensor]:
        from fo_faceanon.networks.inception import FidInception

        return FidInception(self.device)


def second_detector() -> Detector:
    """YuNet where its weights are here, else dlib's histograms of gradients."""
    if find_weight("yunet") is not None:
        from fo_faceanon.detection.yunet import YuNet

        return YuNet()
    from fo_faceanon.detection.dlib_hog import DlibHog

    return DlibHog()


def _windows(image: np.ndarray, faces: Sequence[JudgedFace | None]) -> Iterator[Tensor]:
    """The windows that an anonymizer would work on."""
    for face in (face.to_face() for face in faces if face is not None):
        yield cut_windows([image], [face], [window_of(face)], [0], [None], "cpu").pixels[0]


@torch.inference_mode()
def _probabilities(network: Emotions | None, image: np.ndarray, faces: Sequence[JudgedFace | None]) -> Tensor:
    result = torch.full((len(faces), EMOTIONS), torch.nan)
    if network is not None:
        for rows, crops, points in crops_of([image] * len(faces), [face.landmarks if face else None for face in faces], batch=1):
            result[rows] = network(crops, points).cpu()
    return result


def missing_weights() -> dict[str, str]:
    """Why meters are not here, by name (``mesh``, ``emotion``, ``face_api``, ``inception``), with the command that gets them."""
    needed = {"mesh": "face-landmarker", "emotion": "emotion", "face_api": "expression", "inception": "fid-inception"}
    result = {}
    for meter, weight in needed.items():
        try:
            if find_weight(weight) is None:
                result[meter] = f"the weights {weight} are not here: fo-faceanon weights get {weight}"
        except FaceAnonError as error:
            result[meter] = str(error)
    return result
