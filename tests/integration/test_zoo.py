"""The zoo's models: found by FiftyOne from a checkout and from a zip over http, and applied as any other model of its zoo."""

from __future__ import annotations

import functools
import http.server
import os
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import fiftyone as fo
import fiftyone.zoo as foz
import numpy as np
import pytest
from PIL import Image

from fo_faceanon.errors import HostError, InputError
from fo_faceanon.host import face_models, zoo
from fo_faceanon.host.face_models import Parameters

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / "fo_faceanon" / "data" / "demo"


@pytest.fixture
def zoo_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setattr(fo.config, "model_zoo_dir", str(tmp_path / "zoo"))
    (tmp_path / "zoo").mkdir()
    yield tmp_path / "zoo"


@pytest.fixture
def dataset(tmp_path: Path) -> fo.Dataset:
    """Two pictures of other sizes, one of them turned by EXIF, one file that is no picture, one picture without a face."""
    group = Image.open(DEMO / "group_00.jpg").convert("RGB").resize((640, 360), Image.Resampling.LANCZOS)
    exif = Image.Exif()
    exif[0x0112] = 6
    group.save(tmp_path / "a.jpg", quality=95)
    group.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "b.jpg", exif=exif, quality=95)
    (tmp_path / "c.jpg").write_bytes(b"no picture")
    Image.new("RGB", (90, 70), (80, 120, 90)).save(tmp_path / "d.png")
    dataset = fo.Dataset()
    names = ("a.jpg", "b.jpg", "c.jpg", "d.png")
    dataset.add_samples([fo.Sample(filepath=str(tmp_path / name), media_type="image") for name in names], progress=False)
    return dataset


def apply(dataset: fo.Dataset, model, field: str, **more) -> None:
    dataset.apply_model(model, label_field=field, batch_size=4, num_workers=0, progress=False, **more)


def test_from_a_zip_over_http(tmp_path: Path, zoo_dir: Path) -> None:
    with zipfile.ZipFile(tmp_path / "faceanon.zip", "w") as archive:
        for path in sorted((ROOT / "model_zoo").iterdir()):
            if path.is_file():
                archive.write(path, f"fo-faceanon-main/model_zoo/{path.name}")
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path))
    handler.log_message = lambda *_: None  # type: ignore[attr-defined]
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/faceanon.zip"
        foz.register_zoo_model_source(url)
        server.shutdown()
    assert {name for name in foz.list_zoo_models() if name.startswith("faceanon/")} == set(zoo.MODELS)
    model = foz.load_zoo_model("faceanon/face-detector", device="cpu", detector="mtcnn")
    assert isinstance(model, face_models.FaceDetector) and list((zoo_dir / "faceanon").rglob("*.ready"))
    for name in zoo.MODELS:  # forms for FiftyOne's own operators
        assert foz.get_zoo_model(name).resolve_input(None).type.properties["device"]


def test_from_a_checkout(zoo_dir: Path) -> None:
    os.symlink(ROOT / "model_zoo", zoo_dir / "faceanon")
    try:
        model = foz.load_zoo_model("faceanon/face-detector", device="cpu", threshold=0.9)
        assert model.config.threshold == 0.9
        with pytest.raises(InputError, match="no parameter recogniser; it has"):
            foz.load_zoo_model("faceanon/face-detector", recogniser="dlib")
    finally:
        for path in (ROOT / "model_zoo").glob("**/*.ready"):
            path.unlink()


def test_detector_in_the_oriented_frame_past_a_damaged_file(dataset: fo.Dataset) -> None:
    apply(dataset, zoo.load("faceanon/face-detector", device="cpu"), "found")
    a, b, c, d = dataset.values("found")
    assert c is None and d.detections == [] and len(a.detections) >= 1
    boxes = [sorted(f.bounding_box for f in labels.detections) for labels in (a, b)]
    assert np.allclose(boxes[0], boxes[1], atol=0.03)
    assert all(f.label == "face" and 0 < f.confidence <= 1 for f in a.detections)
    apply(dataset, zoo.load("faceanon/face-detector", device="cpu", min_face=150), "large")
    assert len(dataset.values("large")[0].detections) < len(a.detections)
    apply(dataset, zoo.load("faceanon/face-detector", device="cpu", detector="mtcnn"), "sure", confidence_thresh=1.0)
    assert all(f.confidence == 1 for f in dataset.values("sure")[0].detections)


def test_landmarks_of_own_faces(dataset: fo.Dataset) -> None:
    apply(dataset, zoo.load("faceanon/face-detector", device="cpu"), "found")
    apply(dataset.exists("found"), zoo.load("faceanon/face-landmarks", device="cpu"), "points")
    a, *_, d = dataset.values("points")
    assert len(a.keypoints) == len(dataset.values("found")[0].detections) and d.keypoints == []
    face, points = dataset.values("found")[0].detections[0], np.asarray(a.keypoints[0].points)
    assert points.shape == (68, 2)
    x, y, width, height = face.bounding_box
    inside = ((points >= [x - 0.2 * width, y - 0.2 * height]) & (points <= [x + 1.2 * width, y + 1.2 * height])).all(1)
    assert inside.mean() > 0.9
    largest = max(dataset.values("found")[0].detections, key=lambda f: f.bounding_box[2])
    dataset.set_values("mine", [fo.Detections(detections=[largest.copy()]), None, None, fo.Detections()])
    apply(dataset[:1], zoo.load("faceanon/face-landmarks", device="cpu", faces_field="mine"), "mine_points")
    assert len(dataset.values("mine_points")[0].keypoints) == 1
    model = zoo.load("faceanon/face-landmarks", device="cpu")
    dataset.skeletons["points"] = model.skeleton
    dataset.save()


def test_embeddings_of_pictures_and_of_patches(dataset: fo.Dataset) -> None:
    model = zoo.load("faceanon/face-embedding", device="cpu")
    vectors = dataset.compute_embeddings(model, batch_size=4, num_workers=0, progress=False)
    assert vectors.shape == (4, 128) and np.isnan(vectors[2:]).all()
    assert np.allclose(np.linalg.norm(vectors[:2], axis=1), 1) and vectors[0] @ vectors[1] > 0.97  # one picture, turned
    with pytest.raises(HostError, match="compute_embeddings"):
        model.predict(np.zeros((40, 40, 3), np.uint8))
    apply(dataset[:1], zoo.load("faceanon/face-detector", device="cpu"), "found")
    dataset[:1].compute_patch_embeddings(model, "found", embeddings_field="who", alpha=0.5, num_workers=0, progress=False)
    faces = dataset.first().found.detections
    largest = max(faces, key=lambda f: f.bounding_box[2] * f.bounding_box[3])
    assert np.asarray(largest["who"]) @ vectors[0] > 0.97


class FakeEmotions:
    """Sure of the second class, whatever it sees."""

    def probabilities(self, crops, landmarks):
        import torch

        return torch.tensor([[0.2, 0.7, 0.1]]).expand(len(crops), 3)


def test_emotions_of_the_largest_or_of_every_face(dataset: fo.Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(face_models, "emotion_classifier", lambda device: (FakeEmotions(), ("neutral", "happy", "sad")))
    apply(dataset, face_models.FaceEmotion(Parameters("cpu")), "mood", store_logits=True)
    mood, *_, empty = dataset.values("mood")
    assert mood.label == "happy" and mood.confidence == pytest.approx(0.7) and np.allclose(np.exp(mood.logits), [0.2, 0.7, 0.1])
    assert empty is None
    apply(dataset, face_models.FaceEmotion(Parameters("cpu", per_face=True)), "moods")
    every = dataset.values("moods")[0].detections
    assert every and all(face.label == "happy" for face in every)


def test_an_unknown_model_names_those_that_there_are() -> None:
    with pytest.raises(InputError, match="faceanon/face-detector"):
        zoo.load("faceanon/face-swap")
