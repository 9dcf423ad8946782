"""The landmark network: faces that dlib cannot mark get points, whatever box, size or turn they come in; what is no face gets none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from fo_faceanon.errors import InputError, WeightsError
from fo_faceanon.faces import Face
from fo_faceanon.landmarks.dlib68 import Dlib68, detector_square
from fo_faceanon.landmarks.net68 import Net68, cut_window, face_size
from fo_faceanon.networks.landmark_net import CROP_SIDE, LandmarkCNN

MTCNN_BOX = (179.5, 63.8, 265.4, 172.7)  # of the astronaut, by MTCNN


@pytest.fixture(scope="module")
def astronaut() -> np.ndarray:
    from skimage.data import astronaut

    return astronaut()


@pytest.fixture(scope="module")
def net() -> Net68:
    return Net68()


@pytest.fixture(scope="module")
def truth(astronaut: np.ndarray) -> np.ndarray:
    found = Dlib68()(astronaut, [Face(MTCNN_BOX, detector="mtcnn")])[0]
    assert found is not None
    return found


def mark(net: Net68, image: np.ndarray, box: tuple[float, ...] = MTCNN_BOX) -> np.ndarray:
    found = net(image, [Face(box, detector="mtcnn")])[0]  # type: ignore[arg-type]
    assert found is not None and found.shape == (68, 2) and found.dtype == np.float32
    return found


def error(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.linalg.norm(a - b, axis=1).mean() / face_size(b))


def test_agrees_with_dlib_on_a_frontal_face(net: Net68, astronaut: np.ndarray, truth: np.ndarray) -> None:
    assert error(mark(net, astronaut), truth) < 0.09


@pytest.mark.parametrize("change", [(-12, -12, 12, 12), (10, 10, -10, -10), (12, -8, 12, -8), (-9, 9, -9, 9)])
def test_loose_boxes(net: Net68, astronaut: np.ndarray, truth: np.ndarray, change: tuple[int, ...]) -> None:
    assert error(mark(net, astronaut, tuple(np.add(MTCNN_BOX, change))), truth) < 0.11


@pytest.mark.parametrize("scale", [0.2, 0.5, 4.0])
def test_scale(net: Net68, astronaut: np.ndarray, truth: np.ndarray, scale: float) -> None:
    size = round(512 * scale)
    image = np.array(Image.fromarray(astronaut).resize((size, size), Image.Resampling.BOX if scale < 1 else Image.Resampling.BICUBIC))
    found = mark(net, image, tuple(value * size / 512 for value in MTCNN_BOX))
    assert error((found + 0.5) * 512 / size - 0.5, truth) < 0.11


@pytest.mark.parametrize("degrees", [-30, 30])
def test_turned_heads(net: Net68, astronaut: np.ndarray, truth: np.ndarray, degrees: int) -> None:
    centre = tuple(np.reshape(MTCNN_BOX, (2, 2)).mean(0))
    image = np.array(Image.fromarray(astronaut).rotate(degrees, Image.Resampling.BICUBIC, center=centre))
    angle = np.radians(degrees)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    assert error(mark(net, image), (truth - centre) @ turn.T + centre) < 0.11


def test_mirrored(net: Net68, astronaut: np.ndarray, truth: np.ndarray) -> None:
    from fo_faceanon.landmarks.drawing import MIRROR_68

    x0, y0, x1, y1 = MTCNN_BOX
    found = mark(net, np.ascontiguousarray(astronaut[:, ::-1]), (511 - x1, y0, 511 - x0, y1))
    assert error((found * [-1, 1] + [511, 0])[list(MIRROR_68)], truth) < 0.1


def test_cover_dark_and_grey(net: Net68, astronaut: np.ndarray, truth: np.ndarray) -> None:
    covered = astronaut.copy()
    covered[122:175, 190:260] = (70, 90, 160)  # a mask
    assert error(mark(net, covered), truth) < 0.25
    assert error(mark(net, astronaut // 6), truth) < 0.13
    grey = np.repeat(astronaut.mean(-1, keepdims=True), 3, -1).astype(np.uint8)
    assert error(mark(net, grey), truth) < 0.1


def test_no_face_gets_no_points(net: Net68, astronaut: np.ndarray) -> None:
    flat = np.full((200, 200, 3), 120, np.uint8)
    noise = np.random.default_rng(0).integers(0, 256, (200, 200, 3), dtype=np.uint8)
    assert net(flat, [Face((50, 50, 150, 160))])[0] is None
    assert net(noise, [Face((50, 50, 150, 160))])[0] is None
    assert net(astronaut, [Face((350, 20, 450, 140))])[0] is None  # the shuttle behind her


def test_boxes_that_show_nothing(net: Net68, astronaut: np.ndarray, truth: np.ndarray) -> None:
    boxes = [(600, 600, 700, 700), MTCNN_BOX, (10, 10, 11, 11), (-9000, -9000, 9000, 9000)]
    found = net(astronaut, [Face(box) for box in boxes])  # type: ignore[arg-type]
    assert [points is not None for points in found] == [False, True, False, False]
    assert net(astronaut, []) == []


def test_a_face_does_not_depend_on_its_neighbours(net: Net68, astronaut: np.ndarray) -> None:
    alone = net.mark(astronaut, [Face(MTCNN_BOX)])[0]
    among = net.mark(astronaut, [Face((350, 20, 450, 140)), Face(MTCNN_BOX), Face((100, 200, 300, 420))])[1]
    assert alone is not None and among is not None
    assert np.array_equal(alone.points, among.points) and alone.error == among.error


def test_doubt_grows_with_cover(net: Net68, astronaut: np.ndarray) -> None:
    covered = astronaut.copy()
    covered[95:175, 170:280] = 128
    clear, hidden = (net.mark(image, [Face(MTCNN_BOX)])[0] for image in (astronaut, covered))
    assert clear is not None and hidden is not None
    assert hidden.error > clear.error
    assert clear.presence > 0.9 and 0.01 < clear.error < 0.15


def test_window_maps_pixels_to_where_they_were() -> None:
    image = np.zeros((300, 300, 3), np.uint8)
    image[120:124, 160:164] = 255
    for side in (40.0, 110.0, 250.0):
        window, frame = cut_window(image, np.array([160 - side / 2, 120 - side / 2, side]))
        y, x = (np.average(np.indices(window.shape[:2])[axis], weights=window[..., 0] + 1e-9) for axis in (0, 1))
        assert np.allclose(frame[:, :2] @ [161.5, 121.5] + frame[:, 2], [x, y], atol=0.6)


def test_window_of_a_face_at_the_border_repeats_the_edge() -> None:
    image = np.full((64, 64, 3), 77, np.uint8)
    window, _ = cut_window(image, np.array([-40.0, 30.0, 60.0]))
    assert (window == 77).all()


def test_batched_windows(net: Net68, astronaut: np.ndarray) -> None:
    window, frame = cut_window(astronaut, detector_square(Face(MTCNN_BOX, detector="mtcnn")))
    tensor = torch.from_numpy(window).permute(2, 0, 1)[None]
    points, off, seen = net.mark_windows(torch.cat([tensor, tensor]))
    assert points.shape == (2, 68, 2) and off.shape == seen.shape == (2,)
    assert torch.equal(points[0], points[1])
    placed = points[0].numpy() @ np.diag(1 / frame[:, :2].diagonal()) - frame[:, 2] / frame[:, :2].diagonal()
    assert np.allclose(placed, mark(net, astronaut), atol=0.05)
    assert net.mark_windows(torch.zeros(0, 3, 208, 208))[0].shape == (0, 68, 2)
    with pytest.raises(InputError, match="square windows"):
        net.mark_windows(torch.zeros(1, 3, 20, 30))


def test_other_weights_are_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="cannot read"):
        Net68(weights=tmp_path / "none.safetensors")
    save_file({"stem.0.weight": torch.zeros(1)}, str(tmp_path / "other.safetensors"))
    with pytest.raises(WeightsError, match="does not hold the landmark network"):
        Net68(weights=tmp_path / "other.safetensors")


def test_network_is_small() -> None:
    net = LandmarkCNN().eval()
    assert sum(p.numel() for p in net.parameters()) <= 1_200_000
    points, sure, face = net(torch.rand(2, 3, CROP_SIDE, CROP_SIDE))
    assert points.shape == (2, 68, 2) and sure.shape == (2, 68) and face.shape == (2,)


def test_image_is_checked(net: Net68) -> None:
    with pytest.raises(InputError, match="net68"):
        net(np.zeros((4, 4), np.uint8), [])
