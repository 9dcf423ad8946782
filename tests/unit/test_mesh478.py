import math
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from skimage.data import astronaut

from fo_faceanon.attributes import BLENDSHAPES
from fo_faceanon.errors import WeightsError
from fo_faceanon.faces import Face
from fo_faceanon.landmarks.drawing import MIRROR_478
from fo_faceanon.landmarks.head_pose import CanonicalHead, head_pose
from fo_faceanon.landmarks.mesh478 import Mesh478
from fo_faceanon.networks.face_mesh import BlendshapeNet, FaceMeshNet, load_face_landmarker
from fo_faceanon.networks.tflite import read_operators
from fo_faceanon.weights import find_weight

BOX = (180.0, 70.0, 270.0, 190.0)
needs_weights = pytest.mark.skipif(find_weight("face-landmarker") is None, reason="fo-faceanon weights get face-landmarker")


@pytest.fixture(scope="module")
def landmarker() -> Mesh478:
    return Mesh478()


@needs_weights
def test_points_lie_on_the_face_whatever_the_box_and_scale_with_the_image(landmarker: Mesh478) -> None:
    photograph = astronaut()
    (face,) = landmarker(photograph, [Face(BOX)])
    assert face is not None and face.presence > 0.9
    mouth, eyes = face.points[[13, 14], :2].mean(0), face.points[[33, 263], :2].mean(0)
    assert np.abs(mouth - (223, 147)).max() < 8 and np.abs(eyes - (225, 102)).max() < 8
    width = face.points[263, 0] - face.points[33, 0]
    (other,) = landmarker(photograph, [Face((170.0, 60.0, 285.0, 205.0))])
    assert other is not None and np.abs(other.points - face.points).mean() < 0.03 * width
    twice = np.repeat(np.repeat(photograph, 2, 0), 2, 1)
    (large,) = landmarker(twice, [Face((360.5, 140.5, 540.5, 380.5))])
    assert large is not None and np.abs((large.points[:, :2] - 0.5) / 2 - face.points[:, :2]).mean() < 0.01 * width


@needs_weights
def test_a_tilted_face_has_the_same_points_and_its_pose_says_the_tilt(landmarker: Mesh478) -> None:
    photograph = np.ascontiguousarray(astronaut()[:400, 50:450])
    (face,) = landmarker(photograph, [Face((130.0, 70.0, 220.0, 190.0))])
    turned = np.ascontiguousarray(np.rot90(photograph))
    assert face is not None
    (tilted,) = landmarker(turned, [Face((70.0, 180.0, 190.0, 270.0), landmarks=_rot90_marks(face.points))])
    assert tilted is not None
    back = np.stack([399 - tilted.points[:, 1], tilted.points[:, 0]], 1)
    assert np.abs(back - face.points[:, :2]).mean() < 0.5
    roll = [math.degrees(math.atan2(m.pose[1, 0], m.pose[0, 0])) for m in (face, tilted)]
    assert roll[1] - roll[0] == pytest.approx(90, abs=3)
    smile = face.blendshapes[[BLENDSHAPES.index(f"mouthSmile{side}") for side in ("Left", "Right")]]
    assert smile.min() > 0.5


def _rot90_marks(points: np.ndarray) -> np.ndarray:
    """68 made-up landmarks, of which only extent and eyes are right, on the picture turned a quarter to the left."""
    turned = np.stack([points[:, 1], 399 - points[:, 0]], 1)
    marks = turned[np.linspace(0, 467, 68).astype(int)]
    marks[36:42], marks[42:48] = turned[33], turned[263]
    marks[48:55] = turned[13]
    return marks.astype(np.float32)


@needs_weights
def test_a_mirrored_picture_gives_mirrored_points(landmarker: Mesh478) -> None:
    photograph = astronaut()
    (face,) = landmarker(photograph, [Face(BOX)])
    (mirrored,) = landmarker(np.ascontiguousarray(photograph[:, ::-1]), [Face((241.0, 70.0, 331.0, 190.0))])
    assert face is not None and mirrored is not None
    back = mirrored.points[list(MIRROR_478), :2] * (-1, 1) + (511, 0)
    assert np.abs(back - face.points[:, :2]).mean() < 1.5


@needs_weights
def test_no_face_is_none_and_neighbours_change_nothing(landmarker: Mesh478) -> None:
    nothing = np.full((64, 64, 3), 128, np.uint8)
    assert landmarker(nothing, [Face((10.0, 10.0, 50.0, 50.0))]) == [None]
    assert landmarker(nothing, []) == []
    alone = landmarker(astronaut(), [Face(BOX)])[0]
    beside = landmarker(astronaut(), [Face((5.0, 300.0, 60.0, 380.0)), Face(BOX)])[1]
    assert alone is not None and beside is not None and np.array_equal(alone.points, beside.points)


def test_missing_weights_say_how_to_get_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FACEANON_WEIGHTS", str(tmp_path))
    with pytest.raises(WeightsError, match="fo-faceanon weights get face-landmarker"):
        Mesh478()


def test_a_wrong_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "face_landmarker.task"
    path.write_bytes(b"not a zip")
    with pytest.raises(WeightsError, match=r"face_landmarker\.task is not"):
        load_face_landmarker(path)
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("face_landmarks_detector.tflite", "face_blendshapes.tflite", "geometry_pipeline_metadata_landmarks.binarypb"):
            archive.writestr(name, b"\x10\0\0\0TFL3 and then nothing")
    with pytest.raises(WeightsError, match="network that can be read"):
        load_face_landmarker(path)
    with pytest.raises(WeightsError, match="lacks the mark"):
        read_operators(b"0123456789", "x.tflite")


def test_the_networks_batch() -> None:
    torch.manual_seed(0)
    mesh, blendshapes = FaceMeshNet().eval(), BlendshapeNet().eval()
    with torch.inference_mode():
        points, presence = mesh(torch.rand(2, 3, 256, 256))
        shapes = blendshapes(points)
        moved = blendshapes(points * 3 + 50)
    assert points.shape == (2, 478, 3) and presence.shape == (2,) and shapes.shape == (2, 52)
    assert torch.allclose(shapes, moved, atol=1e-4)


@pytest.mark.parametrize("angles", [(0.0, 0.0), (35.0, -20.0), (-60.0, 10.0)])
def test_head_pose_finds_the_pose_that_was_rendered(angles: tuple[float, float]) -> None:
    yaw, pitch = map(math.radians, angles)
    turn = torch.tensor([[math.cos(yaw), 0, math.sin(yaw)], [0, 1, 0], [-math.sin(yaw), 0, math.cos(yaw)]], dtype=torch.float64)
    nod = torch.tensor([[1, 0, 0], [0, math.cos(pitch), -math.sin(pitch)], [0, math.sin(pitch), math.cos(pitch)]], dtype=torch.float64)
    shape = torch.randn(478, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 5
    head = CanonicalHead(list(range(0, 468, 10)), shape[0:468:10], torch.linspace(0.1, 1, 47, dtype=torch.float64))
    placed = shape @ (turn @ nod).T + torch.tensor([6.0, -4.0, -60.0])
    away = -placed[:, 2:]
    unit = 480 / (2 * math.tan(math.radians(31.5)))
    scale = 1 / away[:468].mean()
    screen = torch.cat([placed[:, :1] / away * unit + 319.5, -placed[:, 1:2] / away * unit + 239.5, away * scale * unit], 1)
    pose = head_pose(screen[None], 480, 640, head)[0]
    size = pose[:3, 0].norm()
    assert float(size) == pytest.approx(1, abs=0.05)
    assert torch.allclose(pose[:3, :3] / size, turn @ nod, atol=0.03)
    assert torch.allclose(pose[:3, 3], torch.tensor([6.0, -4.0, -60.0], dtype=torch.float64), atol=3)
