"""The core on a real photograph, with every method; needs only what the package installs."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from skimage.data import astronaut

from fo_faceanon import Anonymizer, Face, list_methods
from fo_faceanon.anonymizer import AnonymizedImage
from fo_faceanon.errors import InputError
from fo_faceanon.faces import AddedFaces
from fo_faceanon.identity import Verdict

FACE = Face((170.0, 60.0, 280.0, 200.0))
METHODS = [method.name for method in list_methods() if not method.missing]


@pytest.fixture(scope="module")
def photograph() -> np.ndarray:
    return astronaut()


@pytest.fixture(scope="module")
def anonymizers() -> dict[str, Anonymizer]:
    return {name: Anonymizer(name, device="cpu", detector="mtcnn") for name in METHODS}


def run(anonymizer: Anonymizer, image: np.ndarray, *faces: Face) -> AnonymizedImage:
    return anonymizer([image], [list(faces)])[0]


@pytest.mark.parametrize("method", METHODS)
def test_the_face_changes_and_nothing_else(method: str, anonymizers: dict[str, Anonymizer], photograph: np.ndarray) -> None:
    before = photograph.copy()
    result = run(anonymizers[method], photograph, FACE)
    assert result.error is None and (photograph == before).all()
    assert (result.pixels[~result.mask] == photograph[~result.mask]).all()
    assert result.pixels.shape == photograph.shape and result.pixels.dtype == np.uint8
    centre = (slice(90, 180), slice(195, 255))
    assert np.abs(result.pixels[centre].astype(int) - photograph[centre]).mean() > 4
    record = result.faces[0]
    assert record.action in ("generated", "retried") and record.method in (method, "ksame")
    assert not record.reidentified


def test_a_face_is_found_without_help(anonymizers: dict[str, Anonymizer], photograph: np.ndarray) -> None:
    result = anonymizers["mask"]([photograph])[0]
    assert any(abs(f.box[0] - 170) < 40 and abs(f.box[1] - 60) < 40 for f in result.faces)


@pytest.mark.parametrize("method", ["donor", "noise"])
def test_same_bytes_whatever_the_batch(method: str, anonymizers: dict[str, Anonymizer], photograph: np.ndarray) -> None:
    other = np.ascontiguousarray(photograph[:, ::-1])
    mirrored = Face((232.0, 60.0, 342.0, 200.0))
    alone = run(anonymizers[method], photograph, FACE).pixels
    together = anonymizers[method]([other, photograph], [[mirrored], [FACE]])
    assert (together[1].pixels == alone).all()


def test_another_seed_is_another_face(photograph: np.ndarray, anonymizers: dict[str, Anonymizer]) -> None:
    first = run(anonymizers["donor"], photograph, FACE)
    other = run(Anonymizer("donor", device="cpu", seed=5), photograph, FACE)
    assert (first.pixels != other.pixels).any()


@pytest.mark.parametrize(
    "box", [(-40.0, -40.0, 30.0, 30.0), (480.0, 480.0, 700.0, 700.0), (300.0, 300.0, 316.0, 316.0), (-900.0, -900.0, 2000.0, 2000.0)]
)
def test_boxes_over_the_edge_tiny_and_huge_are_all_replaced(
    box: tuple[float, float, float, float], anonymizers: dict[str, Anonymizer], photograph: np.ndarray
) -> None:
    result = run(anonymizers["donor"], photograph, Face(box))
    assert result.error is None and result.mask.any()
    assert result.faces[0].action in ("generated", "retried", "filled")
    x, y = (int(np.clip((box[0] + box[2]) / 2, 0, 511)), int(np.clip((box[1] + box[3]) / 2, 0, 511)))
    assert result.mask[max(y - 2, 0) : y + 3, max(x - 2, 0) : x + 3].any()


def test_consent_keeps_a_face_and_says_so(anonymizers: dict[str, Anonymizer], photograph: np.ndarray) -> None:
    result = run(anonymizers["donor"], photograph, replace(FACE, keep=True))
    assert (result.pixels == photograph).all() and not result.mask.any()
    assert result.faces[0].action == "kept" and "consent" in (result.faces[0].reason or "")


def test_a_recognised_face_is_retried_and_in_the_end_filled(photograph: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    anonymizer = Anonymizer("donor", device="cpu")
    monkeypatch.setattr(anonymizer, "_identity", lambda batch, blended, description: [Verdict(0.99, 1.1, True, ("judge",))] * len(batch))
    result = run(anonymizer, photograph, FACE)
    record = result.faces[0]
    assert record.action == "filled" and record.method == "mask" and "recognised as the original" in (record.reason or "")
    assert np.unique(result.pixels[110:160, 205:245].reshape(-1, 3), axis=0).shape[0] == 1


def test_an_exception_in_a_method_ends_in_a_fill_not_in_an_original(photograph: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    anonymizer = Anonymizer("blur", device="cpu")

    def broken(*args: object) -> None:
        raise RuntimeError("boom")

    monkeypatch.setitem(
        anonymizer._methods, "blur", type("Broken", (), {"name": "blur", "describes": False, "uses_landmarks": False, "__call__": broken})()
    )
    record = run(anonymizer, photograph, FACE).faces[0]
    assert record.action == "filled" and "boom" in (record.reason or "")


def test_when_even_the_fill_fails_the_image_is_withheld(photograph: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    anonymizer = Anonymizer("mask", device="cpu")
    monkeypatch.setattr(anonymizer, "_make", lambda *args: (_ for _ in ()).throw(RuntimeError("boom")))
    result = run(anonymizer, photograph, FACE)
    assert result.error is not None and "could not be replaced" in result.error and result.faces[0].action == "failed"


@pytest.mark.parametrize("bad", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32), np.zeros((0, 4, 3), np.uint8)])
def test_other_arrays_are_refused(bad: np.ndarray, anonymizers: dict[str, Anonymizer]) -> None:
    with pytest.raises(InputError, match="H x W x 3 uint8"):
        anonymizers["mask"]([bad])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "swap"}, "there is no method 'swap'"),
        ({"method": "donor", "shape": 2.0}, r"shape must be in \[0, 1\]"),
        ({"method": "donor", "nose": 1}, "has no dial nose"),
        ({"method": "blur", "strength": 0.1}, "recognisable"),
        ({"identity_mode": "consistent"}, "secret salt"),
        ({"identity_mode": "sometimes"}, "fresh, consistent"),
        ({"device": "cuda:99"}, "is not there"),
        ({"device": "abacus"}, "no device"),
    ],
)
def test_nonsense_is_refused_before_the_first_image(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Anonymizer(**arguments)  # type: ignore[arg-type]


def test_obfuscation_keeps_no_detail_of_a_large_face(anonymizers: dict[str, Anonymizer]) -> None:
    """However large the face, it is reduced to about six numbers across: strength is relative."""
    large = np.random.default_rng(0).integers(0, 256, (900, 900, 3), dtype=np.uint8)
    result = run(anonymizers["pixelate"], large, Face((200.0, 200.0, 700.0, 700.0)))
    inside = result.pixels[400:500, 300:600]
    assert len(np.unique(inside.reshape(-1, 3), axis=0)) < 20


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_gpu_and_cpu_agree_within_a_grey_level(photograph: np.ndarray, anonymizers: dict[str, Anonymizer]) -> None:
    on_gpu = run(Anonymizer("donor", device="cuda"), photograph, FACE).pixels
    assert np.abs(on_gpu.astype(int) - run(anonymizers["donor"], photograph, FACE).pixels).max() <= 1


def test_a_face_of_its_own_method_and_seed_leaves_the_others_as_they_were(
    photograph: np.ndarray, anonymizers: dict[str, Anonymizer]
) -> None:
    pair = np.concatenate([photograph, photograph[:, ::-1]], 1)
    mirrored = Face((744.0, 60.0, 854.0, 200.0))
    before = run(anonymizers["donor"], pair, FACE, mirrored)
    blurred = run(anonymizers["donor"], pair, replace(FACE, method="blur"), mirrored)
    reseeded = run(anonymizers["donor"], pair, replace(FACE, seed=5), mirrored)
    by_side = {(f.box[0] > 500): f for f in blurred.faces}
    assert by_side[False].method == "blur" and by_side[False].action == "generated" and by_side[True].method == "donor"
    for changed in (blurred, reseeded):
        assert (changed.pixels[:, 512:] == before.pixels[:, 512:]).all() and (changed.pixels[:, :512] != before.pixels[:, :512]).any()
    alone = run(Anonymizer("donor", device="cpu", detector="mtcnn", seed=5), pair, FACE, mirrored)
    assert (alone.pixels[:, :512] == reseeded.pixels[:, :512]).all()


def test_an_added_face_joins_those_that_are_found(photograph: np.ndarray, anonymizers: dict[str, Anonymizer]) -> None:
    found = anonymizers["mask"]([photograph])[0].faces
    corner = Face((400.0, 400.0, 460.0, 470.0), key="corner")
    over = replace(FACE, key="over")  # the same face as one that is found: counted once, under the person's box
    faces = anonymizers["mask"]([photograph], [AddedFaces((corner, over))])[0].faces
    assert len(faces) == len(found) + 1 and {f.key for f in faces} >= {"corner", "over"}
    assert next(f for f in faces if f.key == "over").box == FACE.box
