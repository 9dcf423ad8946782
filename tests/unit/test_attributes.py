"""The attribute network: geometry, independence of faces, faults, and what it says about two well-known photographs."""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import io
import json
import os
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from fo_faceanon.attributes import BLENDSHAPES, WEIGHTS, AttributeNet
from fo_faceanon.errors import InputError, WeightsError
from fo_faceanon.faces import apply_affine, warp_affine
from fo_faceanon.networks.bisenet import CLASSES, BiSeNet
from fo_faceanon.training.attributes_data import crop_template, pose_of_matrix
from fo_faceanon.training.parse_faces import measure_face, parser_matrix, soft_labels
from fo_faceanon.training.train_attributes import MIRROR_POINTS, augment, correlation, cut, mirror_blendshapes, plain, roc_area


@pytest.fixture(scope="module")
def net() -> AttributeNet:
    torch.set_num_threads(2)
    return AttributeNet()


@functools.cache
def _dlib() -> tuple[Any, Any]:
    dlib = pytest.importorskip("dlib")
    spec = importlib.util.find_spec("face_recognition_models")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("the package that carries dlib's predictor is not installed")
    file = Path(spec.submodule_search_locations[0]) / "models/shape_predictor_68_face_landmarks.dat"
    return dlib.get_frontal_face_detector(), dlib.shape_predictor(str(file))


def _landmarks(pixels: np.ndarray) -> Tensor:
    detect, predict = _dlib()
    return torch.tensor([[p.x, p.y] for p in predict(pixels, detect(pixels, 0)[0]).parts()], dtype=torch.float32)


def _example(pixels: np.ndarray) -> tuple[Tensor, Tensor]:
    crop = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 255
    return crop, _landmarks(pixels)[None]


@pytest.fixture(scope="module")
def astronaut() -> tuple[Tensor, Tensor]:
    from skimage.data import astronaut

    return _example(np.ascontiguousarray(astronaut()[:320, 60:380]))


@pytest.fixture(scope="module")
def hopper() -> tuple[Tensor, Tensor]:
    from matplotlib.cbook import get_sample_data
    from PIL import Image

    return _example(np.asarray(Image.open(str(get_sample_data("grace_hopper.jpg", asfileobj=False))).convert("RGB")))


def test_names_are_complete_and_mirror_in_pairs() -> None:
    assert len(BLENDSHAPES) == len(set(BLENDSHAPES)) == 52
    assert BLENDSHAPES[0] == "_neutral"
    order = mirror_blendshapes()
    assert torch.equal(order[order], torch.arange(52))
    assert BLENDSHAPES[order[BLENDSHAPES.index("eyeBlinkLeft")]] == "eyeBlinkRight"
    assert int((order == torch.arange(52)).sum()) == 12


def test_weights_are_small_and_recorded() -> None:
    assert WEIGHTS.stat().st_size < 3_000_000
    entry = json.loads((WEIGHTS.parent / "bundled.json").read_text())[WEIGHTS.name]
    assert entry["sha256"] == hashlib.sha256(WEIGHTS.read_bytes()).hexdigest()


def test_known_photographs(net: AttributeNet, astronaut: tuple[Tensor, Tensor], hopper: tuple[Tensor, Tensor]) -> None:
    young, old = net(*astronaut), net(*hopper)
    smile = BLENDSHAPES.index("mouthSmileLeft")
    assert young.blendshapes[0, smile] > 0.6
    assert young.blendshapes[0, BLENDSHAPES.index("eyeBlinkLeft")] < 0.35
    assert young.male[0] < 0.5
    assert 22 < young.age[0] < 48
    assert old.age[0] > young.age[0] + 10
    assert young.glasses[0] < 0.2
    assert old.glasses[0] > 0.3  # the limit that the card recommends
    assert young.beard[0] < 0.5
    assert young.sunglasses[0] < 0.5
    assert old.sunglasses[0] < 0.5


def test_mirrored_picture(net: AttributeNet, astronaut: tuple[Tensor, Tensor]) -> None:
    crop, points = astronaut
    flipped = points[:, list(MIRROR_POINTS)].clone()
    flipped[..., 0] = crop.shape[-1] - 1 - flipped[..., 0]
    plain_face, mirrored = net(crop, points), net(crop.flip(-1), flipped)
    sign = torch.tensor([-1.0, 1.0, -1.0])
    assert (mirrored.pose - plain_face.pose * sign).abs().max() < 6
    assert (mirrored.blendshapes[:, mirror_blendshapes()] - plain_face.blendshapes).abs().mean() < 0.04


def test_turned_picture_turns_only_the_roll(net: AttributeNet, astronaut: tuple[Tensor, Tensor]) -> None:
    crop, points = astronaut
    angle = np.radians(25)
    linear = torch.tensor([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]], dtype=torch.float32)
    centre = points.mean(1)[0]
    matrix = torch.cat([linear, (centre - linear @ centre)[:, None]], 1)[None]
    turned = net(warp_affine(crop, matrix, crop.shape[-1]), apply_affine(matrix, points))
    straight = net(crop, points)
    difference = turned.pose - straight.pose
    assert abs(float(difference[0, 2]) - 25) < 2
    assert difference[0, :2].abs().max() < 2
    assert (turned.blendshapes - straight.blendshapes).abs().max() < 0.1


def test_faces_do_not_depend_on_their_batch(net: AttributeNet, astronaut: tuple[Tensor, Tensor]) -> None:
    crop, points = astronaut
    small = torch.nn.functional.interpolate(crop, scale_factor=0.4, mode="bilinear", antialias=True, align_corners=False)
    canvas = torch.zeros_like(crop)
    canvas[..., : small.shape[-2], : small.shape[-1]] = small
    alone = net(canvas, points * 0.4)
    unknown = torch.full_like(points, torch.nan)
    together = net(torch.cat([crop, canvas, crop]), torch.cat([points, points * 0.4, unknown]))
    assert torch.allclose(together.expression[1], alone.expression[0], atol=1e-4)
    assert torch.allclose(together.pose[0], net(crop, points).pose[0], atol=1e-3)
    for name in ("blendshapes", "pose", "age", "male", "glasses", "sunglasses", "occluded", "beard", "expression"):
        assert getattr(together, name)[2].isnan().all(), name
        assert getattr(together, name)[:2].isfinite().all(), name


def test_one_unknown_landmark_is_enough(net: AttributeNet, astronaut: tuple[Tensor, Tensor]) -> None:
    crop, points = astronaut
    points = points.clone()
    points[0, 60, 1] = torch.nan
    assert net(crop, points).age.isnan().all()


def test_no_faces(net: AttributeNet) -> None:
    found = net(torch.zeros(0, 3, 64, 64), torch.zeros(0, 68, 2))
    assert len(found) == 0
    assert found.blendshapes.shape == (0, 52)
    assert found.expression.shape[1] == len(net.index)


@pytest.mark.parametrize(("crops", "points"), [((2, 1, 64, 64), (2, 68, 2)), ((2, 3, 64, 64), (1, 68, 2)), ((2, 3, 64, 64), (2, 5, 2))])
def test_wrong_shapes_are_refused(net: AttributeNet, crops: tuple[int, ...], points: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="B x 68 x 2"):
        net(torch.zeros(crops), torch.zeros(points))


def test_missing_broken_and_foreign_weights(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    with pytest.raises(WeightsError, match="cannot read"):
        AttributeNet(weights=tmp_path / "none.safetensors")
    (tmp_path / "broken.safetensors").write_bytes(b"not a file of tensors")
    with pytest.raises(WeightsError, match="cannot read"):
        AttributeNet(weights=tmp_path / "broken.safetensors")
    save_file({"weight": torch.zeros(3)}, str(tmp_path / "foreign.safetensors"))
    with pytest.raises(WeightsError, match="lacks"):
        AttributeNet(weights=tmp_path / "foreign.safetensors")


def _rotation(axis: int, degrees: float) -> np.ndarray:
    angle = np.radians(degrees)
    matrix = np.eye(4)
    i, j = (axis + 1) % 3, (axis + 2) % 3
    matrix[i, i] = matrix[j, j] = np.cos(angle)
    matrix[i, j], matrix[j, i] = -np.sin(angle), np.sin(angle)
    return matrix


def test_pose_of_matrix_reads_its_own_angles() -> None:
    yaw, pitch, roll = 31.0, -12.0, 17.0
    matrix = _rotation(2, -roll) @ _rotation(1, yaw) @ _rotation(0, -pitch)
    assert np.allclose(pose_of_matrix(matrix), (yaw, pitch, roll))
    assert (matrix[:3, :3] @ [0, 0, 1])[0] > 0  # the nose points to image right


def test_training_crop_is_the_inference_crop(net: AttributeNet, astronaut: tuple[Tensor, Tensor]) -> None:
    from fo_faceanon.faces import estimate_similarity

    crop, points = astronaut
    stored = warp_affine(crop, estimate_similarity(points, crop_template(net.net.template)), 112)
    network = net.align(crop, estimate_similarity(points, net.net.template))
    assert (plain((stored * 255).round().byte()) - network).abs().mean() < 0.01


def test_cut_moves_as_it_says() -> None:
    stored = torch.zeros(1, 3, 112, 112, dtype=torch.uint8)
    stored[0, :, 40:43, 70:73] = 255  # stored (71, 41) is network (53.59, 26.23): 14.1 right of and 13.3 above the centre
    none = torch.zeros(1, dtype=torch.bool)

    def peak(**change: Tensor) -> np.ndarray:
        values = {"scale": torch.ones(1), "angle": torch.zeros(1), "shift": torch.zeros(1, 2), "mirror": none} | change
        weight = cut(stored, **values)[0, 0].numpy()
        y, x = np.mgrid[:80, :80]
        return np.array([(weight * x).sum(), (weight * y).sum()]) / weight.sum() - 39.5

    assert np.allclose(peak(), (14.09, -13.18), atol=0.1)
    assert np.allclose(peak(angle=torch.tensor([np.pi / 2])), (13.18, 14.09), atol=0.1)  # clockwise: above goes right
    assert np.allclose(peak(shift=torch.tensor([[3.0, -2.0]])), (17.09, -15.18), atol=0.1)
    assert np.allclose(peak(mirror=~none), (-14.09, -13.18), atol=0.1)
    assert np.allclose(peak(scale=torch.tensor([1.5])), (21.1, -19.8), atol=0.2)


def test_augmentation_moves_labels_with_pixels() -> None:
    stored = torch.randint(0, 256, (16, 3, 112, 112), dtype=torch.uint8)
    shapes = torch.rand(16, 52)
    pose = torch.tensor([[20.0, 5.0, 0.0]]).expand(16, 3)
    points = torch.zeros(16, 68, 2)
    points[:, 36] = torch.tensor([20.0, 31.0])  # the outer corner of the eye at image left
    crops, moved, targets = augment(stored, points, {"blendshapes": shapes, "pose": pose}, torch.Generator().manual_seed(1))
    mirrored = targets["pose"][:, 0] < 0
    assert 0 < mirrored.sum() < 16
    assert torch.equal(targets["blendshapes"][mirrored], shapes[mirrored][:, mirror_blendshapes()])
    assert torch.equal(targets["blendshapes"][~mirrored], shapes[~mirrored])
    assert (targets["pose"][:, 1] == 5).all()
    assert 0 < targets["pose"][:, 2].abs().max() <= 8
    assert crops.shape == (16, 3, 80, 80)
    assert (moved[mirrored, 45] - torch.tensor([59.0, 31.0])).abs().max() < 5
    assert (moved[~mirrored, 36] - torch.tensor([20.0, 31.0])).abs().max() < 5


def test_figures_agree_with_references() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(50, 3)), rng.normal(size=(50, 3))
    expected = [np.corrcoef(a[:, i], b[:, i])[0, 1] for i in range(3)]
    assert np.allclose(correlation(torch.from_numpy(a), torch.from_numpy(b)), expected)
    assert roc_area(torch.tensor([0.9, 0.4, 0.4, 0.1]), torch.tensor([True, True, False, False])) == 0.875


def test_parser_frame_is_the_template_enlarged(net: AttributeNet) -> None:
    template = net.net.template[None]
    align = torch.tensor([[[1.1, 0.0, 0.0], [0.0, 1.1, 0.0]]])
    align[:, :, 2] = crop_template(template)[:, 0] - 1.1 * template[:, 0]  # a picture that already is the network's crop
    expected = template * 2.2 + torch.tensor([40.0, 48.0]) + (2.2 - 1) / 2
    assert (apply_affine(parser_matrix(align), template) - expected).abs().max() < 0.7


def _parsed(net: AttributeNet) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    points = net.net.template.numpy() * 2.2 + [40.0, 48.0]
    return np.full((256, 256), CLASSES.index("skin")), np.full((256, 256, 3), 0.6), points


def test_parsed_faces_are_measured(net: AttributeNet) -> None:
    classes, image, points = _parsed(net)
    assert measure_face(classes, image, points) == (0.0, 1.0, 0.0)
    eyes = slice(int(points[37, 1]) - 12, int(points[41, 1]) + 12)
    classes[eyes, 60:200] = CLASSES.index("eye_g")
    image[eyes, 60:200] = 0.12
    classes[:110, :100] = CLASSES.index("hair")
    band, ratio, cover = measure_face(classes, image, points)
    assert band > 0.5
    assert ratio == pytest.approx(0.2, abs=0.01)
    assert 0.01 < cover < 0.2
    labels = soft_labels(np.array([band, band, 0.0]), np.array([ratio, 0.8, 1.0]), np.array([cover, 0.3, 0.0]))
    assert labels["glasses"].tolist() == [1, 1, 0]
    assert labels["sunglasses"].tolist() == [1, 0, 0]
    assert labels["occluded"][1:].tolist() == [1, 0]


def test_parser_keeps_the_size() -> None:
    with torch.inference_mode():
        assert BiSeNet().eval()(torch.rand(1, 3, 64, 96)).shape == (1, 19, 64, 96)


@pytest.mark.shared
def test_smiles_are_told_from_neutral_faces(net: AttributeNet) -> None:
    from PIL import Image

    root = Path(os.environ.get("FACEANON_SHARED", Path(__file__).parents[3] / "shared")) / "data/eval/london.tar"
    if not root.exists():
        pytest.skip("the evaluation images are not beside the checkout (FACEANON_SHARED)")
    smile = BLENDSHAPES.index("mouthSmileLeft")
    scores: dict[str, list[float]] = {"neutral": [], "smiling": []}
    with tarfile.open(root) as tar:
        for member in tar:
            kind = Path(member.name).name.split("_")[0]
            if member.isfile() and kind in scores and len(scores[kind]) < 8:
                handle = tar.extractfile(member)
                assert handle is not None
                picture = Image.open(io.BytesIO(handle.read())).convert("RGB").resize((320, 320))
                scores[kind].append(float(net(*_example(np.asarray(picture))).blendshapes[0, smile]))
    neutral, smiling = np.array(scores["neutral"]), np.array(scores["smiling"])
    assert len(neutral) == len(smiling) == 8
    assert smiling.mean() > neutral.mean() + 0.3
    assert (smiling[:, None] > neutral).mean() > 0.9
