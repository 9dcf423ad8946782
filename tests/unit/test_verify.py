"""Every check on an output fails for the fault that it is there for, and for no good output."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from engine_fakes import FakeImage
from PIL import Image

from fo_faceanon.images import DecodedImage, decode_image, encode_image
from fo_faceanon.records import FaceRecord
from fo_faceanon.verify import check_output, explain, judge

BOX = (180.0, 40.0, 280.0, 180.0)  # the astronaut's face


def coded(format: str, **options: object) -> DecodedImage:
    buffer = io.BytesIO()
    Image.fromarray(skimage.data.astronaut()).save(buffer, format, **options)
    return decode_image(buffer.getvalue())


def made(source: DecodedImage, action: str = "generated", **more: object) -> FakeImage:
    pixels, mask = source.pixels.copy(), np.zeros(source.pixels.shape[:2], bool)
    x0, y0, x1, y1 = map(int, BOX)
    mask[y0:y1, x0:x1] = True
    pixels[mask] = (200, 150, 120)
    return FakeImage(pixels, mask, [FaceRecord(BOX, 0.9, "fake", action, "donor", 1, reidentified=False, **more)])


SOURCES = {
    "png": ("PNG", {}),
    "jpeg 95": ("JPEG", {"quality": 95}),
    "jpeg 30": ("JPEG", {"quality": 30}),
    "jpeg 5": ("JPEG", {"quality": 5}),
    "webp": ("WEBP", {"quality": 60}),
    "webp lossless": ("WEBP", {"lossless": True}),
}


@pytest.mark.parametrize("name", SOURCES)
def test_good_output_passes_every_check(name: str) -> None:
    format, options = SOURCES[name]
    source = coded(format, **options)
    result = made(source)
    checks = check_output(encode_image(result.pixels, like=source), source, result)
    assert len(checks) == 9 and explain(checks) is None


@pytest.mark.parametrize("name", SOURCES)
def test_the_original_written_by_mistake_is_caught(name: str) -> None:
    format, options = SOURCES[name]
    source = coded(format, **options)
    checks = check_output(encode_image(source.pixels, like=source), source, made(source))
    assert not checks["faces_written"]


def test_pixels_outside_of_the_mask() -> None:
    source = coded("PNG")
    result = made(source)
    result.pixels[511, 511, 2] ^= 1
    checks = check_output(encode_image(result.pixels, like=source), source, result)
    assert not checks.pop("outside_unchanged") and all(checks.values())


@pytest.mark.parametrize("name", ["png", "jpeg 95", "jpeg 30", "webp lossless"])
def test_another_picture_outside_of_the_mask_in_the_file_only(name: str) -> None:
    format, options = SOURCES[name]
    source = coded(format, **options)
    result = made(source)
    wrong = result.pixels.copy()
    wrong[300:] = np.roll(wrong[300:], 12, axis=1)
    checks = check_output(encode_image(wrong, like=source), source, result)
    assert not checks.pop("faithful") and all(checks.values())


def test_a_face_left_as_it_was() -> None:
    source = coded("PNG")
    result = made(source)
    result.pixels = source.pixels.copy()
    checks = check_output(encode_image(result.pixels, like=source), source, result)
    assert not checks["faces_changed"] and "still has its original pixels" in str(explain(checks))


def test_a_kept_face_may_stay_and_be_recognised() -> None:
    source = coded("PNG")
    result = made(source, action="kept")
    result.pixels, result.faces[0].reidentified = source.pixels.copy(), True
    assert explain(check_output(encode_image(result.pixels, like=source), source, result)) is None


def test_a_recognised_face_and_one_without_an_action() -> None:
    source = coded("PNG")
    result = made(source)
    data = encode_image(result.pixels, like=source)
    result.faces[0].reidentified = True
    assert not check_output(data, source, result)["not_recognised"]
    result.faces[0].action = "failed"
    assert not check_output(data, source, result)["accounted"]
    result.faces[0].action = "forgotten"
    assert not check_output(data, source, result)["accounted"]


def test_metadata_size_and_damage(tmp_path: Path) -> None:
    source = coded("PNG")
    result = made(source)
    exif = Image.Exif()
    exif[0x010E] = "who"
    buffer = io.BytesIO()
    Image.fromarray(result.pixels).save(buffer, "PNG", exif=exif)
    assert not check_output(buffer.getvalue(), source, result)["no_metadata"]
    assert not check_output(encode_image(result.pixels[:-1]), source, result)["same_size"]
    path = tmp_path / "half.png"
    path.write_bytes(encode_image(result.pixels)[:5000])
    assert not check_output(path, source, result)["readable"]


def test_a_result_of_another_size() -> None:
    source = coded("PNG")
    result = made(source)
    result.pixels = result.pixels[:-8]
    assert explain(check_output(encode_image(result.pixels), source, result))


def test_a_box_beyond_the_image_has_no_pixels_to_change() -> None:
    source = coded("PNG")
    result = made(source)
    result.faces.append(FaceRecord((-90.0, -90.0, -10.0, -10.0), 0.9, "fake", "generated", "mask", 1))
    assert explain(check_output(encode_image(result.pixels, like=source), source, result)) is None


def face(action: str, **more: object) -> FaceRecord:
    return FaceRecord(BOX, 0.9, "fake", action, **{"method": "donor", "seed": 1, "reidentified": False, **more})


@pytest.mark.parametrize(
    ("faces", "status"),
    [
        ([], "no_faces"),
        ([face("generated"), face("retried"), face("kept", reidentified=None)], "ok"),
        ([face("generated"), face("filled", method="mask")], "needs_review"),
        ([face("generated", reidentified=None)], "needs_review"),
        ([face("generated", method="mask", reidentified=None)], "ok"),
    ],
)
def test_status(faces: list[FaceRecord], status: str) -> None:
    assert judge(faces)[0] == status
    assert (judge(faces)[1] is not None) == (status == "needs_review")
