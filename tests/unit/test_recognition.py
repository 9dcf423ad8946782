"""Recognisers: alignment, windows, the interface's promises, and the readers of foreign weight files."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from recognition_faces import portraits

from fo_faceanon.errors import InputError, WeightsError
from fo_faceanon.faces import apply_affine
from fo_faceanon.networks.face_api_expression import EMOTIONS, expression_chips, load_expression
from fo_faceanon.recognition import Recogniser, available_recognisers, create_recogniser, crops_of, embed_images, recogniser_names
from fo_faceanon.recognition.align import arcface_chips, dlib_chips, facenet_chips, five_points, mtcnn_boxes
from fo_faceanon.recognition.graphdef import read_graph_constants
from fo_faceanon.weights import find_weight

CHIPS = {"arcface": arcface_chips, "dlib": dlib_chips, "facenet": facenet_chips}


@pytest.fixture(scope="module", params=recogniser_names())
def recogniser(request: pytest.FixtureRequest) -> Recogniser:
    if request.param not in available_recognisers():
        pytest.skip(f"the weights of {request.param} are not here: fo-faceanon weights get {request.param}")
    return create_recogniser(request.param)


def window(number: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    portrait = portraits()[number]
    ((_, crops, points),) = crops_of([portrait.image], [portrait.landmarks])
    return crops, points


def turned(image: np.ndarray, landmarks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A quarter turn, which is exact on pixels."""
    return np.rot90(image).copy(), np.stack([landmarks[:, 1], image.shape[1] - 1 - landmarks[:, 0]], 1)


def test_vectors_are_unit_and_tell_people_apart(recogniser: Recogniser) -> None:
    a, b = portraits()
    darker = [(p.image * 0.8).astype(np.uint8) for p in (a, b)]
    vectors = embed_images(recogniser, [a.image, b.image, *darker], [a.landmarks, b.landmarks] * 2)
    assert vectors.shape == (4, recogniser.dim)
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(4))
    assert (vectors[:2] * vectors[2:]).sum(1).min() > recogniser.threshold
    assert vectors[0] @ vectors[1] < recogniser.threshold


def test_faces_without_landmarks_get_nan_and_touch_no_other(recogniser: Recogniser) -> None:
    crops, points = window()
    missing = points.clone()
    missing[0, 40] = torch.nan
    vectors = recogniser.embed(torch.cat([crops, crops]), torch.cat([missing, points]))
    assert vectors[0].isnan().all()
    torch.testing.assert_close(vectors[1:], recogniser.embed(crops, points), atol=1e-5, rtol=0)
    assert recogniser.embed(crops, missing).isnan().all()
    assert recogniser.embed(crops[:0], points[:0]).shape == (0, recogniser.dim)


def test_degenerate_landmarks_end_and_stay_finite(recogniser: Recogniser) -> None:
    crops, points = window()
    for broken in (torch.full_like(points, 5.0), points * 1e-4, points * 1e5, points - 1e4):
        assert recogniser.embed(crops, broken).isfinite().all()


def test_vector_does_not_depend_on_where_the_face_lies(recogniser: Recogniser) -> None:
    portrait = portraits()[1]
    padded = np.pad(portrait.image, ((70, 3), (11, 40), (0, 0)), mode="edge")
    vectors = embed_images(recogniser, [portrait.image, padded], [portrait.landmarks, portrait.landmarks + np.array([11, 70], np.float32)])
    assert vectors[0] @ vectors[1] > 0.9999


def test_only_dlib_may_guide(recogniser: Recogniser) -> None:
    assert recogniser.guide_allowed == (recogniser.name == "dlib")
    assert recogniser.licence and 0 < recogniser.threshold < 1


@pytest.mark.parametrize("shapes", [((2, 3, 64, 64), (1, 68, 2)), ((1, 1, 64, 64), (1, 68, 2)), ((1, 3, 64, 64), (1, 5, 2))])
def test_wrong_shapes_are_named(shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    recogniser = create_recogniser("dlib")
    with pytest.raises(InputError, match="dlib needs crops of shape"):
        recogniser.embed(torch.zeros(shapes[0]), torch.zeros(shapes[1]))


def test_unknown_name_lists_the_known() -> None:
    with pytest.raises(InputError, match=r"nobody.*arcface-w600k-mbf"):
        create_recogniser("nobody")


@pytest.mark.parametrize("name", ["arcface", "dlib"])
def test_similarity_chips_undo_rotation(name: str) -> None:
    portrait = portraits()[0]
    image, landmarks = turned(portrait.image, portrait.landmarks)
    ((_, crops, points),) = crops_of([portrait.image], [portrait.landmarks])
    ((_, crops_turned, points_turned),) = crops_of([image], [landmarks])
    chips, chips_turned = CHIPS[name](crops, points), CHIPS[name](crops_turned, points_turned)
    assert (chips - chips_turned).abs().mean() < 0.02


@pytest.mark.parametrize("name", CHIPS)
def test_chips_do_not_depend_on_their_neighbours(name: str) -> None:
    small, points = window()
    large = small.repeat_interleave(2, 2).repeat_interleave(2, 3)  # twice the face: another prefilter
    canvas = torch.zeros_like(large)
    canvas[:, :, : small.shape[2], : small.shape[3]] = small
    both = CHIPS[name](torch.cat([canvas, large]), torch.cat([points, points * 2 + 0.5]))
    torch.testing.assert_close(both[:1], CHIPS[name](canvas, points), atol=1e-5, rtol=0)
    assert (both[0] - both[1]).abs().mean() < 0.02


def test_five_points_are_where_the_features_are() -> None:
    _, points = window()
    right, left, nose, corner_right, corner_left = five_points(points)[0]
    assert right[0] < nose[0] < left[0] and corner_right[0] < nose[0] < corner_left[0]
    assert max(right[1], left[1]) < nose[1] < min(corner_right[1], corner_left[1])


def test_boxes_match_mtcnn() -> None:
    pytest.importorskip("facenet_pytorch")
    from facenet_pytorch import MTCNN
    from PIL import Image

    from fo_faceanon.faces import box_iou

    for portrait in portraits():
        boxes, _ = MTCNN(keep_all=True).detect(Image.fromarray(portrait.image))
        ours = mtcnn_boxes(torch.from_numpy(portrait.landmarks)[None])[0].tolist()
        assert max(box_iou(ours, [float(v) for v in box]) for box in boxes) > 0.8


def test_windows_hold_the_faces_pixels() -> None:
    portrait = portraits()[0]
    ((rows, crops, points),) = crops_of([portrait.image], [portrait.landmarks])
    assert rows == [0]
    x, y = np.round(portrait.landmarks[30]).astype(int)
    u, v = points[0, 30].round().int().tolist()
    np.testing.assert_allclose(crops[0, :, v, u].numpy() * 255, portrait.image[y, x], atol=1e-4)


def test_windows_of_faces_at_the_border_and_of_huge_faces() -> None:
    image = np.random.default_rng(0).integers(0, 255, (90, 50, 3), np.uint8)
    unit = portraits()[0].landmarks - portraits()[0].landmarks.mean(0)
    unit /= np.ptp(unit, axis=0).max()
    faces = [unit * 20, unit * 60 + np.array([49, 89], np.float32), unit * 1e6]
    seen = {}
    for rows, crops, points in crops_of([image] * 3, faces):
        assert crops.shape[-1] <= 768 and crops.isfinite().all()
        for row, placed in zip(rows, points, strict=True):
            seen[row] = float(np.ptp(placed.numpy(), axis=0).max())
    assert sorted(seen) == [0, 1, 2] and seen[0] == pytest.approx(20, abs=1e-3) and seen[2] < 768


def test_windows_group_by_size_and_leave_out_the_unknown() -> None:
    portrait = portraits()[0]
    nothing = np.full((68, 2), np.nan, np.float32)
    images = [portrait.image] * 5
    landmarks = [portrait.landmarks, None, portrait.landmarks / 4, nothing, portrait.landmarks]
    batches = [(rows, crops.shape[-1]) for rows, crops, _ in crops_of(images, landmarks)]
    assert [rows for rows, _ in batches] == [[2], [0, 4]] and batches[0][1] < batches[1][1]
    with pytest.raises(InputError, match="5 images and 1 sets"):
        list(crops_of(images, landmarks[:1]))
    with pytest.raises(InputError, match="image 0 must be"):
        list(crops_of([portrait.image / 255], [portrait.landmarks]))


def graph_node(name: str, values: np.ndarray) -> bytes:
    """A frozen graph's Const node, in protobuf."""

    def field(number: int, data: bytes) -> bytes:
        return bytes([number << 3 | 2, len(data)]) + data

    dims = b"".join(field(2, bytes([1 << 3, size])) for size in values.shape)
    tensor = bytes([1 << 3, 1]) + field(2, dims) + field(4, values.astype("<f4").tobytes())
    attribute = field(1, b"value") + field(2, field(8, tensor))
    return field(1, field(1, name.encode()) + field(2, b"Const") + field(5, attribute))


def test_graph_constants_are_read(tmp_path: Path) -> None:
    expected = {"a/weights": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.array([7], np.float32)}
    path = tmp_path / "graph.pb"
    path.write_bytes(b"".join(graph_node(name, values) for name, values in expected.items()))
    constants = read_graph_constants(path)
    assert list(constants) == list(expected)
    for name, values in expected.items():
        np.testing.assert_array_equal(constants[name], values)
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(WeightsError, match="not a whole frozen TensorFlow graph"):
        read_graph_constants(path)


def test_facenet_refuses_another_graph(tmp_path: Path) -> None:
    pytest.importorskip("facenet_pytorch")
    from fo_faceanon.recognition.facenet import load_facenet

    path = tmp_path / "graph.pb"
    path.write_bytes(graph_node("a/weights", np.ones((2, 3))))
    with pytest.raises(WeightsError, match="not a FaceNet"):
        load_facenet(path)


def expression_folder() -> Path:
    file = find_weight("expression", "face_expression_model.bin")
    if file is None:
        pytest.skip("the weights of the expression judge are not here: fo-faceanon weights get expression")
    return file.parent


def test_expressions_of_two_smiles() -> None:
    network = load_expression(expression_folder())
    chips = torch.cat([expression_chips(*window(i)) for i in (0, 1)])
    probabilities = network(chips)
    torch.testing.assert_close(probabilities.sum(1), torch.ones(2))
    assert EMOTIONS[int(probabilities[0].argmax())] == "happiness"  # the astronaut beams
    assert EMOTIONS[int(probabilities[1].argmax())] != "happiness"


def test_expression_weights_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    entry = {"name": "fc/bias", "shape": [7], "dtype": "float32"}
    manifest = tmp_path / "face_expression_model-weights_manifest.json"
    manifest.write_text(json.dumps([{"paths": ["x.bin"], "weights": [entry]}]))
    (tmp_path / "x.bin").write_bytes(struct.pack("<6f", *range(6)))
    with pytest.raises(WeightsError, match="cannot be read"):
        load_expression(tmp_path)
    (tmp_path / "x.bin").write_bytes(struct.pack("<7f", *range(7)))
    with pytest.raises(WeightsError, match="does not hold the expression network"):
        load_expression(tmp_path)


def test_chip_of_a_scaled_window_is_the_same_picture() -> None:
    crops, points = window()
    half = torch.nn.functional.avg_pool2d(crops, 2)
    matrix = torch.tensor([[[0.5, 0.0, -0.25], [0.0, 0.5, -0.25]]])
    assert (dlib_chips(half, apply_affine(matrix, points)) - dlib_chips(crops, points)).abs().mean() < 0.03
