"""Decoding of every kind of image, and of everything that only claims to be one."""

from __future__ import annotations

import io
import os
import warnings

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageFile

from fo_faceanon.errors import InputError
from fo_faceanon.images import decode_image, encode_image, file_sha256, output_suffix, pixel_sha256, written_format


def smooth(height: int = 48, width: int = 37, channels: int = 3) -> np.ndarray:
    """A smooth picture that no flip or rotation maps to itself."""
    y, x = np.mgrid[0:height, 0:width]
    planes = [40 + 150 * x / width, 30 + 180 * y / height, 60 + 90 * (x + 2 * y) / (width + 2 * height), 255 - 2 * x]
    return np.stack(planes[:channels], -1).astype(np.uint8)


def save(image: Image.Image, format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format=format, **options)
    return buffer.getvalue()


def with_orientation(value: int, format: str) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = value
    options = {"quality": 95, "subsampling": 0} if format == "JPEG" else {}
    if format == "WEBP":
        options = {"lossless": True}
    return save(Image.fromarray(smooth()), format, exif=exif.tobytes(), **options)


# What a viewer shows for each EXIF orientation, written as array operations (EXIF 2.3, table 6: where row 0 and column 0 lie).
ORIENTED = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: a.transpose(1, 0, 2)[:, ::-1],
    7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
    8: lambda a: a.transpose(1, 0, 2)[::-1],
}


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation(orientation: int, format: str) -> None:
    decoded = decode_image(with_orientation(orientation, format))
    expected = ORIENTED[orientation](smooth())
    assert decoded.pixels.shape == expected.shape
    tolerance = 6 if format == "JPEG" else 0
    assert np.abs(decoded.pixels.astype(int) - expected).max() <= tolerance
    assert decoded.pixels.flags["C_CONTIGUOUS"] and decoded.pixels.flags["WRITEABLE"]


def test_orientation_turns_alpha_too() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    rgba = smooth(channels=4)
    decoded = decode_image(save(Image.fromarray(rgba), "PNG", exif=exif.tobytes()))
    assert decoded.alpha is not None
    np.testing.assert_array_equal(decoded.alpha, rgba[..., 3].T[:, ::-1])


def test_broken_exif_does_not_orient() -> None:
    data = save(Image.fromarray(smooth()), "PNG", exif=b"Exif\0\0MM\0\x2a\xff\xff\xff\xff")
    np.testing.assert_array_equal(decode_image(data).pixels, smooth())


GREY = smooth()[..., 0]
MODES = {
    "L": Image.fromarray(GREY),
    "1": Image.fromarray(GREY).convert("1"),
    "LA": Image.merge("LA", [Image.fromarray(GREY), Image.fromarray(GREY.max() - GREY)]),
    "RGB": Image.fromarray(smooth()),
    "RGBA": Image.fromarray(smooth(channels=4)),
    "P": Image.fromarray(smooth()).quantize(64),
}


@pytest.mark.parametrize("mode", MODES)
def test_modes_of_png(mode: str) -> None:
    image = MODES[mode]
    decoded = decode_image(save(image, "PNG"))
    np.testing.assert_array_equal(decoded.pixels, np.asarray(image.convert("RGB")))
    assert decoded.grey == (mode in ("L", "1", "LA"))
    if mode in ("LA", "RGBA"):
        np.testing.assert_array_equal(decoded.alpha, np.asarray(image.getchannel("A")))
    else:
        assert decoded.alpha is None
    again = decode_image(encode_image(decoded.pixels, decoded))
    np.testing.assert_array_equal(again.pixels, decoded.pixels)
    assert again.grey == decoded.grey
    assert (again.alpha is None) == (decoded.alpha is None)
    if decoded.alpha is not None:
        np.testing.assert_array_equal(again.alpha, decoded.alpha)


@pytest.mark.parametrize("mode", ["P", "L", "RGB"])
def test_transparent_colour_becomes_alpha(mode: str) -> None:
    image = MODES[mode]
    marker = {"P": 3, "L": int(GREY[5, 5]), "RGB": tuple(int(v) for v in smooth()[5, 5])}[mode]
    decoded = decode_image(save(image, "PNG", transparency=marker))
    expected = (np.asarray(image) == np.asarray(marker)) if mode != "RGB" else (smooth() == np.asarray(marker)).all(-1)
    assert decoded.alpha is not None and expected.any()
    np.testing.assert_array_equal(decoded.alpha == 0, expected)


def test_16_bit_png_is_scaled() -> None:
    values = np.linspace(0, 65535, 48 * 37).reshape(48, 37).astype(np.uint16)
    decoded = decode_image(save(Image.fromarray(values), "PNG"))
    np.testing.assert_array_equal(decoded.pixels[..., 1], np.floor(values / 65535 * 255 + 0.5))
    assert decoded.grey


@pytest.mark.parametrize(
    ("values", "white"),
    [
        (np.linspace(0, 1, 600).reshape(20, 30).astype(np.float32), 1.0),
        (np.linspace(0, 250, 600).reshape(20, 30).astype(np.float32), 255.0),
        (np.linspace(0, 60000, 600).reshape(20, 30).astype(np.int32), 65535.0),
        (np.linspace(0, 2**31 - 1, 600).reshape(20, 30).astype(np.int32), 2.0**31 - 1),
    ],
)
def test_deep_tiff_is_scaled(values: np.ndarray, white: float) -> None:
    decoded = decode_image(save(Image.fromarray(values), "TIFF"))
    np.testing.assert_allclose(decoded.pixels[..., 0], values / white * 255, atol=0.51)


def test_float_tiff_with_nan_and_negatives() -> None:
    values = np.array([[np.nan, -1.0, 0.5, 1.0]], np.float32)
    assert decode_image(save(Image.fromarray(values), "TIFF")).pixels[0, :, 0].tolist() == [0, 0, 128, 255]


@pytest.mark.parametrize("format", ["JPEG", "TIFF"])
def test_cmyk_becomes_rgb(format: str) -> None:
    image = Image.fromarray(smooth()).convert("CMYK")
    decoded = decode_image(save(image, format, **({"quality": 98} if format == "JPEG" else {})))
    assert np.abs(decoded.pixels.astype(int) - smooth()).max() <= 12
    assert decoded.icc_profile is None and not decoded.grey
    assert decode_image(encode_image(decoded.pixels, decoded)).pixels.shape == decoded.pixels.shape


def test_lab_tiff_becomes_srgb() -> None:
    lab = ImageCms.createProfile("LAB")
    image = ImageCms.profileToProfile(Image.fromarray(smooth()), ImageCms.createProfile("sRGB"), lab, outputMode="LAB")
    assert image is not None
    assert np.abs(decode_image(save(image, "TIFF")).pixels.astype(int) - smooth()).mean() <= 2  # 8 bits of L*a*b* are coarse


def test_rgb_profile_is_kept_and_a_foreign_one_dropped() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    decoded = decode_image(save(MODES["RGB"], "JPEG", icc_profile=profile))
    assert decoded.icc_profile == profile
    for format in ("JPEG", "PNG", "WEBP"):
        assert Image.open(io.BytesIO(encode_image(decoded.pixels, decoded, format=format))).info["icc_profile"] == profile
    for mode, bad in (("L", profile), ("RGB", b"not a profile")):
        assert decode_image(save(MODES[mode], "JPEG", icc_profile=bad)).icc_profile is None


def test_mpo_gives_its_first_picture() -> None:
    second = Image.fromarray(255 - smooth())
    data = save(Image.fromarray(smooth()), "MPO", save_all=True, append_images=[second], quality=95)
    decoded = decode_image(data)
    assert decoded.format == "MPO" and written_format(decoded) == "JPEG" and decoded.jpeg_tables
    assert np.abs(decoded.pixels.astype(int) - smooth()).max() <= 20


@pytest.mark.parametrize("format", ["GIF", "PNG", "WEBP", "TIFF"])
def test_several_frames_are_refused(format: str) -> None:
    frames = [Image.fromarray(np.roll(smooth(), 9 * i, 0)) for i in range(3)]
    data = save(frames[0], format, save_all=True, append_images=frames[1:])
    with pytest.raises(InputError, match="3 frames"):
        decode_image(data)


@pytest.mark.parametrize("format", ["GIF", "BMP", "TIFF", "PPM", "AVIF", "JPEG2000"])
def test_formats_that_are_written_as_png(format: str) -> None:
    decoded = decode_image(save(MODES["RGB"], format))
    data = encode_image(decoded.pixels, decoded)
    assert data.startswith(b"\x89PNG") and written_format(decoded) == "PNG" and output_suffix("png") == ".png"
    np.testing.assert_array_equal(decode_image(data).pixels, decoded.pixels)


def test_jpeg_keeps_tables_and_subsampling() -> None:
    for quality, subsampling in ((5, 2), (30, 2), (71, 1), (88, 0), (97, 2)):
        source = save(MODES["RGB"], "JPEG", quality=quality, subsampling=subsampling)
        decoded = decode_image(source)
        ours = decode_image(encode_image(decoded.pixels, decoded))
        assert ours.jpeg_tables == decoded.jpeg_tables and ours.jpeg_subsampling == decoded.jpeg_subsampling == subsampling
    assert decode_image(encode_image(decoded.pixels, decoded, quality=50)).jpeg_tables != decoded.jpeg_tables


def test_webp_stays_lossless_or_lossy() -> None:
    rgba = smooth(channels=4)
    rgba[:5, :, 3] = 0
    decoded = decode_image(save(Image.fromarray(rgba), "WEBP", lossless=True, exact=True))
    again = decode_image(encode_image(decoded.pixels, decoded))
    assert decoded.lossless and again.lossless
    np.testing.assert_array_equal(again.pixels, rgba[..., :3])
    np.testing.assert_array_equal(again.alpha, rgba[..., 3])
    assert not decode_image(save(MODES["RGB"], "WEBP", quality=80)).lossless


def test_coloured_pixels_of_a_grey_source_are_written_in_colour() -> None:
    decoded = decode_image(save(MODES["L"], "PNG"))
    np.testing.assert_array_equal(decode_image(encode_image(smooth(), decoded)).pixels, smooth())


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (9, 1), (3, 5)])
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_tiny_images(size: tuple[int, int], format: str) -> None:
    pixels = smooth(*size)
    decoded = decode_image(encode_image(pixels, format=format))
    assert decoded.pixels.shape == pixels.shape


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
def test_truncation_raises_input_error(format: str) -> None:
    data = save(MODES["RGB"], format)
    for length in sorted({*range(0, len(data) - 1, max(1, len(data) // 120)), 1, 2, 3, 11, 12}):
        try:
            pixels = decode_image(data[:length]).pixels
        except InputError:
            continue
        # what was cut off held no pixels (trailing tables, padding)
        np.testing.assert_array_equal(pixels, decode_image(data).pixels)


def test_truncation_is_seen_when_pillow_was_told_to_accept_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)  # other packages set this for the whole process
    for format in ("JPEG", "PNG", "WEBP"):
        data = save(Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)), format)
        with pytest.raises(InputError):
            decode_image(data[: len(data) // 2])


def test_corruption_never_crashes() -> None:
    generator = np.random.default_rng(0)
    for format in ("JPEG", "PNG", "WEBP", "TIFF"):
        data = np.frombuffer(save(MODES["RGB"], format, **({"exif": b"Exif\0\0MM\0*\0\0\0\x08\0\0"} if format != "TIFF" else {})), np.uint8)
        for _ in range(60):
            broken = data.copy()
            broken[generator.integers(0, len(data), 4)] = generator.integers(0, 256, 4)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                try:
                    assert decode_image(broken.tobytes()).pixels.ndim == 3
                except InputError as error:
                    assert "image bytes" in str(error)


@pytest.mark.parametrize("data", [b"", b"\0" * 100, b"hello, this is text", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9", b"GIF89a"])
def test_not_an_image(data: bytes) -> None:
    with pytest.raises(InputError, match="image bytes"):
        decode_image(data)


def test_heif_without_its_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pillow_heif", None)
    with pytest.raises(InputError, match="pip install pillow-heif"):
        decode_image(b"\0\0\0\x18ftypheic" + bytes(40))


def test_too_large_is_refused_from_the_header() -> None:
    bmp = b"BM" + bytes(8) + (54).to_bytes(4, "little") + (40).to_bytes(4, "little")
    header = bmp + (20000).to_bytes(4, "little") * 2 + b"\1\0\x18\0" + bytes(24)
    with pytest.raises(InputError, match="too large"):
        decode_image(header)
    with pytest.raises(InputError, match="37 x 48 pixels"):
        decode_image(save(MODES["RGB"], "PNG"), max_pixels=1000)


def test_files(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(save(MODES["RGB"], "PNG"))
    assert decode_image(path).file_sha256 == decode_image(str(path)).file_sha256 == file_sha256(path)
    with pytest.raises(InputError, match="does not exist"):
        decode_image(tmp_path / "b.png")
    with pytest.raises(InputError, match="folder"):
        decode_image(tmp_path)
    with pytest.raises(InputError):
        file_sha256(tmp_path / "b.png")
    if os.geteuid() == 0:  # root reads everything, so the refusal is simulated

        def refuse(self):
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(type(path), "read_bytes", refuse)
    else:
        path.chmod(0)
    with pytest.raises(InputError, match="permission denied"):
        decode_image(path)


def test_pixel_sha256_depends_on_shape_and_values_only() -> None:
    pixels = smooth(6, 4)
    assert pixel_sha256(pixels) == pixel_sha256(np.asfortranarray(pixels)) != pixel_sha256(pixels.reshape(4, 6, 3))
    assert pixel_sha256(pixels) != pixel_sha256(pixels[::-1])


@pytest.mark.parametrize("pixels", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32), np.zeros((0, 4, 3), np.uint8)])
def test_encode_refuses_other_arrays(pixels: np.ndarray) -> None:
    with pytest.raises(InputError, match="H x W x 3 uint8"):
        encode_image(pixels)


def test_encode_refuses_misfits() -> None:
    with pytest.raises(InputError, match="alpha"):
        encode_image(smooth(10, 10), decode_image(save(MODES["RGBA"], "PNG")))
    with pytest.raises(InputError, match="JPEG, PNG, WEBP"):
        encode_image(smooth(), format="GIF")
