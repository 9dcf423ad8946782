"""The emotion network: geometry, independence of faces, faults, and what it says about well-known and bundled photographs."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from recognition_faces import Portrait, portraits
from torch import Tensor

from fo_faceanon import emotion
from fo_faceanon.emotion import EMOTIONS, FACE_API_NAMES, EmotionClassifier, classify_images
from fo_faceanon.errors import InputError, WeightsError
from fo_faceanon.networks import face_api_expression
from fo_faceanon.networks.emotion import EmotionCNN, normalized
from fo_faceanon.recognition.windows import crops_of
from fo_faceanon.training.train_attributes import MIRROR_POINTS

BUNDLED = Path(emotion.__file__).parent / "data" / "emotion.safetensors"


@pytest.fixture(scope="module")
def classifier() -> EmotionClassifier:
    torch.set_num_threads(1)
    return EmotionClassifier()


@pytest.fixture(scope="module")
def faces() -> tuple[Portrait, Portrait]:
    try:
        return portraits()
    except (ImportError, WeightsError) as error:
        pytest.skip(f"no landmarks for the portraits: {error}")


def _window(face: Portrait) -> tuple[Tensor, Tensor]:
    _, crops, points = next(crops_of([face.image], [face.landmarks]))
    return crops, points


def test_names_map_one_to_one() -> None:
    assert EMOTIONS == ("neutral", "happy", "sad", "angry", "fearful", "disgusted", "surprised")
    assert set(FACE_API_NAMES) == set(face_api_expression.EMOTIONS)
    assert set(FACE_API_NAMES.values()) == set(EMOTIONS)


def test_weights_are_small_and_recorded() -> None:
    assert BUNDLED.stat().st_size < 3_000_000
    assert sum(p.numel() for p in EmotionCNN().parameters()) < 1_500_000
    entry = json.loads((BUNDLED.parent / "bundled.json").read_text())[BUNDLED.name]
    assert entry["sha256"] == hashlib.sha256(BUNDLED.read_bytes()).hexdigest()
    assert entry["bytes"] == BUNDLED.stat().st_size


def test_smiling_and_serious_portraits(classifier: EmotionClassifier, faces: tuple[Portrait, Portrait]) -> None:
    found = classify_images(classifier, [face.image for face in faces], [face.landmarks for face in faces])
    assert EMOTIONS[int(found[0].argmax())] == "happy"
    assert torch.allclose(found.sum(1), torch.ones(2), atol=1e-5)
    assert found[0, 1] > found[1, 1]  # the admiral smiles less than the astronaut


def test_a_face_of_nobody(classifier: EmotionClassifier) -> None:
    from fo_faceanon.landmarks.dlib68 import Dlib68

    dlib = pytest.importorskip("dlib")
    from PIL import Image

    from fo_faceanon.faces import Face

    image = np.array(Image.open(sorted((BUNDLED.parent / "demo").glob("*.jpg"))[0]).convert("RGB"))
    box = max(dlib.get_frontal_face_detector()(image, 0), key=lambda b: b.area())
    face = Face((box.left(), box.top(), box.right(), box.bottom()), detector="dlib")
    try:
        landmarks = Dlib68()(image, [face])[0]
    except WeightsError as error:
        pytest.skip(str(error))
    found = classify_images(classifier, [image], [landmarks])
    assert found.isfinite().all()
    assert (found >= 0).all()
    assert found.sum() == pytest.approx(1, abs=1e-5)


def test_mirror_image_says_the_same(classifier: EmotionClassifier, faces: tuple[Portrait, Portrait]) -> None:
    crops, points = _window(faces[0])
    flipped = points[:, list(MIRROR_POINTS)].clone()
    flipped[..., 0] = crops.shape[-1] - 1 - flipped[..., 0]
    assert (classifier.probabilities(crops, points) - classifier.probabilities(crops.flip(-1), flipped)).abs().max() < 0.05


def test_skin_and_light_do_not_matter(classifier: EmotionClassifier, faces: tuple[Portrait, Portrait]) -> None:
    crops, points = _window(faces[0])
    original = classifier.probabilities(crops, points)
    darker = classifier.probabilities(crops * 0.5 + 0.1, points)
    assert (original - darker).abs().max() < 0.01  # contrast and brightness are taken out
    tinted = classifier.probabilities(crops * crops.new_tensor([1.0, 0.9, 0.8])[:, None, None], points)
    assert (original - tinted).abs().max() < 0.15


def test_faces_do_not_depend_on_their_batch(classifier: EmotionClassifier, faces: tuple[Portrait, Portrait]) -> None:
    crops, points = _window(faces[0])
    other, other_points = crops.flip(-1), points.clone()
    unknown = points.clone()
    unknown[0, 7, 0] = torch.nan
    together = classifier.probabilities(torch.cat([other, crops, crops]), torch.cat([other_points, points, unknown]))
    assert torch.allclose(together[1], classifier.probabilities(crops, points)[0], atol=1e-5)
    assert together[2].isnan().all()
    assert together[:2].isfinite().all()


def test_images_without_a_face_stay_unknown(classifier: EmotionClassifier, faces: tuple[Portrait, Portrait]) -> None:
    found = classify_images(classifier, [faces[0].image, faces[1].image], [None, faces[1].landmarks])
    assert found[0].isnan().all()
    assert found[1].isfinite().all()
    assert classify_images(classifier, [], []).shape == (0, 7)


def test_no_faces_and_flat_ones(classifier: EmotionClassifier) -> None:
    assert classifier.probabilities(torch.zeros(0, 3, 64, 64), torch.zeros(0, 68, 2)).shape == (0, 7)
    points = classifier.net.template[None]
    assert classifier.probabilities(torch.full((1, 3, 64, 64), 0.5), points).isfinite().all()
    assert normalized(torch.full((1, 3, 8, 8), 0.3)).abs().max() < 1e-2


@pytest.mark.parametrize(("crops", "points"), [((2, 1, 64, 64), (2, 68, 2)), ((2, 3, 64, 64), (1, 68, 2)), ((2, 3, 64, 64), (2, 5, 2))])
def test_wrong_shapes_are_refused(classifier: EmotionClassifier, crops: tuple[int, ...], points: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match=r"\(B, 68, 2\)"):
        classifier.probabilities(torch.zeros(crops), torch.zeros(points))


def test_missing_broken_and_foreign_weights(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    with pytest.raises(WeightsError, match="cannot read"):
        EmotionClassifier(weights=tmp_path / "none.safetensors")
    (tmp_path / "broken.safetensors").write_bytes(b"not a file of tensors")
    with pytest.raises(WeightsError, match="cannot read"):
        EmotionClassifier(weights=tmp_path / "broken.safetensors")
    save_file({"weight": torch.zeros(3)}, str(tmp_path / "foreign.safetensors"))
    with pytest.raises(WeightsError, match="emotion network"):
        EmotionClassifier(weights=tmp_path / "foreign.safetensors")


def test_altered_bundled_weights_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fo_faceanon import weights

    (tmp_path / "bundled.json").write_bytes((BUNDLED.parent / "bundled.json").read_bytes())
    data = bytearray(BUNDLED.read_bytes())
    data[-5] ^= 1
    (tmp_path / BUNDLED.name).write_bytes(data)
    monkeypatch.setattr(weights, "_DATA", tmp_path)
    with pytest.raises(WeightsError, match="sha256"):
        EmotionClassifier()
