"""Detectors: the same faces whatever the batch, the size and the framing; every fault named."""

from __future__ import annotations

import os
import tarfile
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from fo_faceanon.detection import create_detector, faces_from_boxes, list_detectors, merge_faces, same_face
from fo_faceanon.detection.mtcnn import MTCNN, level_count, proposal_maps, square, suppress_contained
from fo_faceanon.detection.mtcnn_networks import ConvolvedPool, MaxPool
from fo_faceanon.detection.pyramid import crop_boxes, half_octaves, halve_chain
from fo_faceanon.detection.yunet import OVERLAP, TILE, tiles
from fo_faceanon.errors import InputError, WeightsError
from fo_faceanon.faces import Face, block_means, box_iou
from fo_faceanon.weights import find_weight

HAS_YUNET = find_weight("yunet", "face_detection_yunet_2023mar.onnx") is not None
needs_yunet = pytest.mark.skipif(not HAS_YUNET, reason="the yunet weights are not fetched: fo-faceanon weights get yunet")
NAMES = ["mtcnn", "dlib", pytest.param("yunet", marks=needs_yunet), "union"]


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # small networks: more threads only wait for each other on a busy machine
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def astronaut() -> np.ndarray:
    from skimage.data import astronaut

    return astronaut()


@pytest.fixture(scope="module")
def hopper() -> np.ndarray:
    import matplotlib

    return np.array(Image.open(Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg").convert("RGB"))


@pytest.fixture(scope="module")
def mtcnn() -> MTCNN:
    return MTCNN()


def resize(image: np.ndarray, scale: float) -> np.ndarray:
    size = round(image.shape[1] * scale), round(image.shape[0] * scale)
    return np.array(Image.fromarray(image).resize(size, Image.Resampling.BOX if scale < 1 else Image.Resampling.BICUBIC))


@pytest.mark.parametrize("kernel", [2, 3])
@pytest.mark.parametrize("size", [(3, 3), (10, 7), (11, 12), (22, 46)])
def test_max_pool_is_torchs(kernel: int, size: tuple[int, int]) -> None:
    x = torch.randn(2, 5, *size)
    assert torch.equal(MaxPool(kernel)(x), nn.MaxPool2d(kernel, 2, ceil_mode=True)(x))


def test_pyramid_keeps_positions_and_means() -> None:
    ramp = torch.arange(97, dtype=torch.float32).expand(1, 1, 61, 97).contiguous()
    for k, level in enumerate(half_octaves(ramp, 0.75, 6)):
        scale = 0.75 * 0.5 ** (k / 2)
        inner = level[0, 0, 0, 2:-2]
        expected = (torch.arange(level.shape[-1]) + 0.5)[2:-2] / scale - 0.5
        assert (inner - expected).abs().max() < 0.6, f"level {k} is shifted"


def test_crops_read_the_box_at_every_size() -> None:
    ramp = torch.arange(512, dtype=torch.float32).expand(1, 1, 512, 512).contiguous()
    boxes = torch.tensor([[100.0, 100, 110, 110], [40, 60, 164, 184], [8, 8, 500, 500]])
    crops = crop_boxes(halve_chain(ramp), boxes, torch.zeros(3), 24)
    for crop, (x0, _, x1, _) in zip(crops, boxes.tolist(), strict=True):
        expected = x0 + (torch.arange(24) + 0.5) * (x1 - x0) / 24 - 0.5
        assert (crop[0] - expected).abs().max() < 0.02 * (x1 - x0) + 0.1


def test_strips_change_nothing(mtcnn: MTCNN, monkeypatch: pytest.MonkeyPatch) -> None:
    for height in (60, 61, 75):
        level = torch.randn(1, 3, height, 40)
        whole = mtcnn.pnet(level)
        monkeypatch.setattr("fo_faceanon.detection.mtcnn.STRIP_PIXELS", 1)
        offsets, scores = proposal_maps(mtcnn.pnet, level)
        monkeypatch.undo()
        assert torch.allclose(offsets, whole[0], atol=1e-5) and torch.allclose(scores, whole[1][:, 1], atol=1e-6)


def test_level_count() -> None:
    assert level_count(7.9) == 0 and level_count(8) == 1 and level_count(16) == 3


def test_suppress_contained_keeps_the_best_of_nested_boxes_of_one_image() -> None:
    boxes = torch.tensor([[0.0, 0, 10, 10], [2, 2, 8, 8], [2, 2, 8, 8], [20, 20, 30, 30]])
    kept = suppress_contained(boxes, torch.tensor([0.8, 0.9, 0.7, 0.6]), torch.tensor([0, 0, 1, 0]), 0.7)
    assert kept.tolist() == [1, 2, 3]


def test_square_holds_the_longer_side() -> None:
    assert square(torch.tensor([[0.0, 0, 10, 20]])).tolist() == [[-5, 0, 15, 20]]


@pytest.mark.parametrize("name", NAMES)
def test_finds_the_face_first_and_little_else(name: str, astronaut: np.ndarray, hopper: np.ndarray) -> None:
    found = create_detector(name)([astronaut, hopper])
    for faces, centre in zip(found, [(223, 117), (260, 165)], strict=True):
        best = faces[0]
        assert best.box[0] < centre[0] < best.box[2] and best.box[1] < centre[1] < best.box[3]
        assert [face.score for face in faces] == sorted((face.score for face in faces), reverse=True)
    if name == "union":  # recall counts more than precision: at most two patches beside the face
        assert all(1 <= len(faces) <= 3 for faces in found)


@pytest.mark.parametrize("name", NAMES)
def test_an_image_gives_the_same_in_any_company(name: str, astronaut: np.ndarray) -> None:
    images = [astronaut, resize(astronaut, 0.5), astronaut[::-1], astronaut[:300, 50:401]]
    detector = create_detector(name)
    together = detector(images)
    assert together == detector(images[::-1])[::-1] == [detector([image])[0] for image in images]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(1, 1), (1, 700), (700, 1), (13, 2000), (11, 11)])
def test_odd_shapes_have_no_faces(name: str, shape: tuple[int, int]) -> None:
    assert create_detector(name)([np.full((*shape, 3), 128, np.uint8)]) == [[]]


def test_no_images() -> None:
    assert create_detector("union")([]) == []


def test_mtcnn_agrees_with_facenet_pytorch(mtcnn: MTCNN, astronaut: np.ndarray, hopper: np.ndarray) -> None:
    from facenet_pytorch import MTCNN as Reference

    reference = Reference(keep_all=True)
    for image in (astronaut, hopper, astronaut[:, ::-1].copy()):
        boxes, scores = reference.detect(image)
        faces = mtcnn([image])[0]
        for box, score in zip(boxes, scores, strict=True):
            if score > 0.95:
                assert max(box_iou(box, face.box) for face in faces) > 0.8


@pytest.mark.parametrize("side", [24, 40, 150, 420])
def test_mtcnn_finds_faces_of_any_size(mtcnn: MTCNN, astronaut: np.ndarray, side: int) -> None:
    image = resize(astronaut, side / 108)
    truth = [value * side / 108 for value in (180, 63, 266, 172)]
    assert max((box_iou(truth, face.box) for face in mtcnn([image])[0]), default=0) > 0.5


@pytest.mark.parametrize("name", ["mtcnn", pytest.param("yunet", marks=needs_yunet), "union"])
def test_a_face_that_fills_the_image(name: str, astronaut: np.ndarray) -> None:
    faces = create_detector(name)([astronaut[62:174, 176:270]])[0]
    assert faces and box_iou(faces[0].box, (0, 0, 94, 112)) > 0.6


def test_mtcnn_on_fixed_batches_as_on_a_gpu(astronaut: np.ndarray) -> None:
    alone, batched = MTCNN(), MTCNN()
    batched.images_at_once, batched.crops_at_once = 3, 32
    images = [astronaut, astronaut[:, ::-1].copy(), astronaut // 2, resize(astronaut, 0.5)]
    for a, b in zip(alone(images), batched(images), strict=True):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            assert np.allclose(x.box, y.box, atol=0.05) and abs(x.score - y.score) < 1e-3


def test_tiles_cover_the_image_and_overlap() -> None:
    image = np.zeros((TILE * 2 + 7, TILE + 1, 3), np.uint8)
    covered = np.zeros(image.shape[:2], int)
    for tile, (x, y) in tiles(image):
        covered[int(y) : int(y) + tile.shape[0], int(x) : int(x) + tile.shape[1]] += 1
    assert covered.min() == 1 and covered[TILE - OVERLAP : TILE].min() == 2


def test_union_without_yunet_and_its_second_look(monkeypatch: pytest.MonkeyPatch, astronaut: np.ndarray) -> None:
    monkeypatch.setattr("fo_faceanon.detection.union.find_weight", lambda *args: None)
    faces = create_detector("union")([astronaut])[0]
    assert faces[0].detector == "mtcnn+dlib"


@needs_yunet
def test_union_asks_dlib_before_it_says_that_there_is_no_face(astronaut: np.ndarray) -> None:
    union = create_detector("union")
    union._detectors = [lambda images: [[] for _ in images]] * 2  # type: ignore[attr-defined]
    assert [face.detector for face in union([astronaut])[0]] == ["dlib"]


def test_merge_keeps_the_first_box_and_joins_the_rest() -> None:
    marks = np.zeros((68, 2), np.float32)
    first = Face((0, 0, 10, 10), 0.6, detector="mtcnn")
    second = Face((1, 1, 11, 11), 0.9, landmarks=marks, detector="yunet", key="k", keep=True)
    merged = merge_faces([[first], [second, Face((50, 50, 60, 60), 0.5, detector="yunet")]])
    assert [face.box for face in merged] == [(0, 0, 10, 10), (50, 50, 60, 60)]
    assert (merged[0].score, merged[0].detector, merged[0].key, merged[0].keep) == (0.9, "mtcnn+yunet", "k", True)
    assert merged[0].landmarks is marks


def test_a_small_face_inside_a_large_box_is_its_own() -> None:
    assert not same_face((0, 0, 100, 100), (10, 10, 40, 40))
    assert same_face((0, 0, 100, 100), (10, 10, 80, 80)) and not same_face((0, 0, 1, 1), (2, 2, 3, 3))


def test_faces_from_boxes() -> None:
    faces = faces_from_boxes(np.array([[-3, 0, 5, 9]]), [0.5], ["a"])
    assert faces == [Face((-3.0, 0.0, 5.0, 9.0), 0.5, key="a")] and faces_from_boxes([]) == []


@pytest.mark.parametrize(
    ("boxes", "scores", "keys", "says"),
    [
        ([[0, 0, 1]], None, None, "shape"),
        ([[0, 0, 0, 5]], None, None, "box 0"),
        ([[5, 0, 1, 5]], None, None, "box 0"),
        ([[0, 0, np.nan, 5]], None, None, "box 0"),
        ([[0, 0, 1, 1]], [1.5], None, "score 0"),
        ([[0, 0, 1, 1]], [0.5, 0.5], None, "scores"),
        ([[0, 0, 1, 1]], None, [], "keys"),
    ],
)
def test_faces_from_bad_boxes(boxes: list, scores: list | None, keys: list | None, says: str) -> None:
    with pytest.raises(InputError, match=says):
        faces_from_boxes(boxes, scores, keys)


@pytest.mark.parametrize("image", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8), "a.jpg"])
def test_bad_images_are_named(mtcnn: MTCNN, image: object) -> None:
    with pytest.raises(InputError, match="uint8 RGB"):
        mtcnn([image])  # type: ignore[list-item]


@pytest.mark.parametrize("kwargs", [{"name": "haar"}, {"threshold": 0.0}, {"threshold": 1.0}, {"min_face": 2}])
@pytest.mark.parametrize("name", ["mtcnn", "dlib", "union"])
def test_bad_arguments(name: str, kwargs: dict) -> None:
    with pytest.raises(InputError):
        create_detector(**{"name": name, **kwargs})


def test_a_broken_weight_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pnet.pt").write_bytes(b"no")
    monkeypatch.setattr("fo_faceanon.detection.mtcnn_networks.require_weight", lambda name, file: tmp_path / file)
    with pytest.raises(WeightsError, match=r"pnet\.pt"):
        MTCNN()


def test_yunet_missing_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACEANON_WEIGHTS", str(tmp_path))
    with pytest.raises(WeightsError, match="weights get yunet"):
        create_detector("yunet")
    assert {info.name: info.available for info in list_detectors()} == {"union": True, "mtcnn": True, "yunet": False, "dlib": True}


@pytest.mark.shared
@needs_yunet
def test_union_finds_the_crowd() -> None:
    root = Path(os.environ.get("FACEANON_SHARED", Path(__file__).parents[2].parent / "shared"))
    archive = root / "data" / "eval" / "group_photos.tar"
    if not archive.exists():
        pytest.skip("the evaluation images are not beside the checkout")
    with tarfile.open(archive) as tar:
        members = [member for member in tar.getmembers() if "0790322c63" in member.name]
        image = np.array(Image.open(BytesIO(tar.extractfile(members[0]).read())).convert("RGB"))  # type: ignore[union-attr]
    assert len(create_detector("union")([image])[0]) >= 18  # facenet-pytorch at its defaults finds 9


@pytest.mark.parametrize("size", [(12, 12), (24, 37), (37, 24), (49, 51)])
def test_proposal_networks_first_layers_in_one_are_what_they_were(size: tuple[int, int]) -> None:
    conv, act = torch.nn.Conv2d(3, 10, 3), torch.nn.PReLU(10)
    torch.nn.init.uniform_(act.weight, -1, 1)  # slopes of either sign: the pooling must come after the activation
    x = torch.randn(2, 3, *size)
    with torch.no_grad():
        plain = torch.nn.functional.max_pool2d(act(conv(x)), 2, 2, ceil_mode=True)
        assert torch.allclose(ConvolvedPool(conv, act)(x), plain, atol=1e-5)


@pytest.mark.parametrize("size", [(1, 1), (8, 6), (7, 6), (6, 7), (5, 5)])
def test_halving_is_average_pooling(size: tuple[int, int]) -> None:
    x = torch.randn(2, 3, *size)
    assert torch.equal(block_means(x, 2), torch.nn.functional.avg_pool2d(x, 2, ceil_mode=True, count_include_pad=False))


def test_union_enlarges_where_one_detector_is_in_doubt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fo_faceanon.detection.union.find_weight", lambda *args: None)
    union = create_detector("union")
    sure, doubtful = Face((100, 100, 200, 200), score=0.9, detector="mtcnn"), Face((10, 10, 60, 60), score=0.6, detector="mtcnn")
    asked: list[int] = []
    for found, expected, looks in (([sure], 1, 0), ([sure, doubtful], 2, 1)):
        asked.clear()

        def last(images: list[np.ndarray], asked: list[int] = asked) -> list[list[Face]]:
            asked.append(len(images))
            return [[Face((12, 12, 60, 60), score=0.7, detector="dlib")]]

        last.megapixels = 0.5  # type: ignore[attr-defined]
        union._detectors = [lambda images, found=found: [found for _ in images]]  # type: ignore[attr-defined]
        union._last = last  # type: ignore[attr-defined]
        assert len(union([np.zeros((400, 400, 3), np.uint8)])[0]) == expected
        assert len(asked) == looks
    assert not union._asks_again(np.zeros((1000, 600, 3), np.uint8), 2, 1)  # type: ignore[attr-defined]
