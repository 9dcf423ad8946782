"""Images in and out: one oriented decode, a metadata-free encode, hashes, and writes that are whole or not there."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import secrets
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, ImageFile, JpegImagePlugin

from fo_faceanon.errors import InputError, OutputError
from fo_faceanon.image_metadata import metadata_residue

__all__ = [
    "DecodedImage",
    "decode_image",
    "encode_image",
    "file_sha256",
    "metadata_residue",
    "output_suffix",
    "pixel_sha256",
    "write_atomic",
    "written_format",
]

#: Formats that are read. Others are refused even where Pillow knows them: some run outside programs (EPS) or have no signature.
_READABLE = ("JPEG", "MPO", "PNG", "WEBP", "GIF", "BMP", "DIB", "TIFF", "JPEG2000", "AVIF", "HEIF", "PPM")
#: Source formats that keep their format; every other one is written as PNG, which loses nothing.
_WRITTEN = {"JPEG": "JPEG", "MPO": "JPEG", "PNG": "PNG", "WEBP": "WEBP"}
_SUFFIXES = {"JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp"}
_QUALITY = 95  # of lossy formats where the source's own quality is not known
_PNG_LEVEL = 2  # zlib level: a third of the time of 6 for about a tenth more bytes
_HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1")
_EXIF_ORIENTATION = 0x0112
_TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_OS_WORDS = {
    errno.ENOSPC: "the disk is full; free some space and run the same command again",
    errno.EDQUOT: "the disk quota is used up; free some space and run the same command again",
    errno.EROFS: "the file system is read-only; choose another output folder",
    errno.EACCES: "permission denied; choose a folder that you may write to",
    errno.EPERM: "permission denied; choose a folder that you may write to",
}


@dataclass(frozen=True, eq=False, slots=True)
class DecodedImage:
    """An image in the frame that everything else works in, and what is needed to write its like.

    Args:
        pixels: ``H x W x 3`` uint8 RGB, oriented by EXIF, C-contiguous, writable.
        alpha: ``H x W`` uint8, or None for an opaque image.
        format: the container it came in, as Pillow names it: ``JPEG``, ``MPO``, ``PNG``, ``WEBP``, ``TIFF``, ...
        icc_profile: an RGB profile that fits ``pixels``; None where there is none or the pixels were converted to sRGB.
        jpeg_tables: the source's quantisation tables (64 numbers each), or None.
        jpeg_subsampling: 0 (4:4:4), 1 (4:2:2), 2 (4:2:0), or None.
        lossless: whether the container stored the pixels without loss.
        grey: whether the source had one colour channel.
        file_sha256: hex digest of the bytes that were decoded.
    """

    pixels: np.ndarray
    alpha: np.ndarray | None
    format: str
    icc_profile: bytes | None
    jpeg_tables: tuple[tuple[int, ...], ...] | None
    jpeg_subsampling: int | None
    lossless: bool
    grey: bool
    file_sha256: str


def decode_image(source: str | Path | bytes, *, max_pixels: int = 178_000_000) -> DecodedImage:
    """Decodes one still image to oriented 8-bit RGB.

    Deeper pixels are scaled to 8 bits; CMYK, L*a*b* and profiled grey are converted to sRGB; the first picture of a
    multi-picture JPEG (MPO, as phones write) is taken. Only EXIF orients: viewers ignore the orientation that XMP may hold.

    Args:
        source: a path, or the bytes of a file.
        max_pixels: larger images are refused from their header, before memory is spent. Above 178,956,970 pixels, Pillow's
            own ``Image.MAX_IMAGE_PIXELS`` has to be raised as well.

    Raises:
        InputError: missing, unreadable, empty, not an image, damaged, truncated, animated, of several pages, or too large.
    """
    data, where = (source, "image bytes") if isinstance(source, bytes) else (_read(Path(source)), str(source))
    if not data:
        raise InputError(f"{where} is empty; restore the file or leave it out")
    try:
        with _open(data, where, max_pixels) as image:
            decoded = _decode(image, data)
        if ImageFile.LOAD_TRUNCATED_IMAGES and "truncated" in metadata_residue(data):  # other packages set this for the whole process
            raise EOFError("its end is missing")
        return decoded
    except InputError:
        raise
    except Exception as error:  # decoders raise whatever they like on damaged data, and all of it means the same
        raise InputError(f"{where} is damaged or truncated and cannot be decoded ({error}); restore the file or leave it out") from error


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist; check the path") from error
    except IsADirectoryError as error:
        raise InputError(f"{path} is a folder, not an image file") from error
    except PermissionError as error:
        raise InputError(f"{path} cannot be read: permission denied; give the user that runs this read access") from error
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {error}") from error


def _open(data: bytes, where: str, max_pixels: int) -> Image.Image:
    """The image with only its header read; refuses what is too large or moves."""
    if data[4:8] == b"ftyp" and data[8:12] in _HEIF_BRANDS:
        _enable_heif(where)
    Image.init()
    try:
        image = Image.open(io.BytesIO(data), formats=[name for name in _READABLE if name in Image.OPEN])
    except Image.DecompressionBombError as error:
        raise InputError(f"{where} is too large to decode safely: {error} Scale it down or leave it out") from error
    except Image.UnidentifiedImageError as error:
        raise InputError(f"{where} is not an image in a format that can be read ({', '.join(_READABLE)})") from error
    if image.width * image.height > max_pixels:
        size = f"{image.width} x {image.height} pixels"
        raise InputError(f"{where} is too large: {size}, and the limit is {max_pixels:,} pixels; scale it down or raise max_pixels")
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.format != "MPO":
        raise InputError(f"{where} holds {frames} frames or pages; only still images are anonymized: split it into single images first")
    return image


def _enable_heif(where: str) -> None:
    try:
        from pillow_heif import register_heif_opener
    except ImportError as error:
        raise InputError(f"{where} is a HEIF image, which needs one more package: pip install pillow-heif") from error
    register_heif_opener()


def _decode(image: Image.Image, data: bytes) -> DecodedImage:
    tables, subsampling = _jpeg_quality(image)
    image.load()
    orientation = _orientation(image)
    flat, icc_profile = _to_8bit_rgb(image)
    if orientation in _TRANSPOSE:
        flat = flat.transpose(_TRANSPOSE[orientation])
    alpha = np.array(flat.getchannel("A")) if flat.mode in ("LA", "RGBA") else None
    return DecodedImage(
        pixels=np.array(flat if flat.mode == "RGB" else flat.convert("RGB")),
        alpha=alpha,
        format=image.format or "PNG",
        icc_profile=icc_profile,
        jpeg_tables=tables,
        jpeg_subsampling=subsampling,
        lossless=image.format in ("PNG", "BMP", "DIB", "GIF", "PPM") or (image.format == "WEBP" and _webp_is_lossless(data)),
        grey=flat.mode in ("L", "LA"),
        file_sha256=hashlib.sha256(data).hexdigest(),
    )


def _jpeg_quality(image: Image.Image) -> tuple[tuple[tuple[int, ...], ...] | None, int | None]:
    if not isinstance(image, JpegImagePlugin.JpegImageFile):
        return None, None
    tables = tuple(tuple(image.quantization[key]) for key in sorted(image.quantization))
    sampling = JpegImagePlugin.get_sampling(image)  # -1 for schemes that cannot be written; full resolution loses nothing
    return tables or None, max(sampling, 0)


def _webp_is_lossless(data: bytes) -> bool:
    """Whether the chunk that holds the picture is ``VP8L``; chunks before it are few and short."""
    position = 12
    while position + 8 <= len(data):
        name = data[position : position + 4]
        if name in (b"VP8 ", b"VP8L"):
            return name == b"VP8L"
        length = int.from_bytes(data[position + 4 : position + 8], "little")
        position += 8 + length + (length & 1)
    return False


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8. Pillow has already turned a TIFF, and pillow-heif a HEIF, when this is asked."""
    block = image.info.get("exif")
    if not isinstance(block, bytes) or image.format in ("TIFF", "HEIF"):
        return 1
    exif = Image.Exif()
    with suppress(Exception):  # a broken EXIF block orients nothing, as in every viewer
        exif.load(block)
        return int(exif.get(_EXIF_ORIENTATION, 1))
    return 1


def _to_8bit_rgb(image: Image.Image) -> tuple[Image.Image, bytes | None]:
    """The image in one of the modes L, LA, RGB, RGBA, and the RGB profile that fits it."""
    profile = image.info.get("icc_profile")
    if not isinstance(profile, bytes) or profile[36:40] != b"acsp":
        profile = b""
    space = profile[16:20]
    if image.mode in ("I", "F") or image.mode.startswith("I;"):
        return Image.fromarray(_scale_to_8bit(np.asarray(image))), None
    if image.mode == "CMYK":
        return _convert_to_srgb(image, profile if space == b"CMYK" else None), None
    if image.mode == "LAB":
        return _convert_to_srgb(image, ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()), None
    transparent = image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info
    grey = image.mode in ("1", "L", "LA", "La")
    if grey:
        flat = image.convert("LA" if transparent else "L")
        return (_grey_to_srgb(flat, profile) if space == b"GRAY" else flat), None
    mode = "RGBA" if transparent else "RGB"
    return image if image.mode == mode else image.convert(mode), profile if space == b"RGB " else None


def _scale_to_8bit(values: np.ndarray) -> np.ndarray:
    """Deep grey values as uint8.

    The white level is the smallest customary one that holds the brightest pixel: 1 (floating point only), 255, 65535, or
    the largest 32-bit number; 16-bit data is always out of 65535. Negative values and NaN become black.
    """
    if values.dtype.kind == "f":
        values = np.nan_to_num(values.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    top = float(values.max(initial=0))
    levels = (65535.0,) if values.dtype.itemsize == 2 else (1.0, 255.0, 65535.0) if values.dtype.kind == "f" else (255.0, 65535.0)
    white = next((level for level in levels if top <= level), max(top, 2.0**31 - 1))
    return (np.clip(values.astype(np.float64) / white, 0, 1) * 255 + 0.5).astype(np.uint8)


def _convert_to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Colour-managed where the profile can be used, else the plain formula."""
    if profile is not None:
        with suppress(ImageCms.PyCMSError, OSError):
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
            if converted is not None:
                return converted
    return image.convert("RGB")


def _grey_to_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    """A profiled grey image with sRGB's tone curve; neutral in, neutral out, so one channel says it all."""
    tone = _convert_to_srgb(image.getchannel("L"), profile).getchannel("G")
    return Image.merge("LA", (tone, image.getchannel("A"))) if image.mode == "LA" else tone


def pixel_sha256(pixels: np.ndarray) -> str:
    """Hex SHA-256 of an array's values, shape and type; the memory layout does not matter."""
    digest = hashlib.sha256(f"{pixels.shape}{pixels.dtype.str}".encode())
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.hexdigest()


def file_sha256(path: str | Path) -> str:
    """Hex SHA-256 of a file's bytes, read in pieces.

    Raises:
        InputError: the file cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from error
    return digest.hexdigest()


def written_format(like: DecodedImage) -> str:
    """The format that an image's output gets: its own where it can be written cleanly, else PNG."""
    return _WRITTEN.get(like.format, "PNG")


def output_suffix(format: str) -> str:
    """The file name suffix, with its dot, of a format that :func:`encode_image` writes.

    Raises:
        InputError: the format is not written.
    """
    try:
        return _SUFFIXES[format.upper()]
    except KeyError:
        raise InputError(f"images are written as {', '.join(_SUFFIXES)}, but got format {format!r}") from None


def encode_image(pixels: np.ndarray, like: DecodedImage | None = None, format: str | None = None, quality: int | None = None) -> bytes:
    """Encodes pixels with nothing but pixels and an ICC profile in the file.

    Args:
        pixels: ``H x W x 3`` uint8 RGB.
        like: the decoded source. Its format, quality (JPEG tables and subsampling; lossless WebP), profile and alpha are kept
            where the output format has them. A grey source whose pixels are still neutral is written as grey.
        format: ``JPEG``, ``PNG`` or ``WEBP``; by default what :func:`written_format` says, and PNG without ``like``.
        quality: 1 to 100, for lossy formats, in place of the source's own; 95 where nothing else is known.

    Raises:
        InputError: the pixels have another shape or type, or the alpha channel of ``like`` is of another size.
    """
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8 or 0 in pixels.shape:
        raise InputError(f"pixels must be a non-empty H x W x 3 uint8 array, but got shape {pixels.shape} of {pixels.dtype}")
    format = (format or (written_format(like) if like else "PNG")).upper()
    output_suffix(format)
    image = _assemble(pixels, like, with_alpha=format != "JPEG")
    options = _save_options(format, like, quality)
    if like is not None and like.icc_profile and image.mode in ("RGB", "RGBA"):
        options["icc_profile"] = like.icc_profile
    buffer = io.BytesIO()
    image.save(buffer, format=format, **options)
    return buffer.getvalue()


def _assemble(pixels: np.ndarray, like: DecodedImage | None, with_alpha: bool) -> Image.Image:
    alpha = like.alpha if like is not None and with_alpha else None
    if alpha is not None and alpha.shape != pixels.shape[:2]:
        raise InputError(f"pixels of {pixels.shape[:2]} do not fit the source's alpha channel of {alpha.shape}")
    grey = like is not None and like.grey and np.array_equal(pixels[..., :1].repeat(3, -1), pixels)
    colour = pixels[..., :1] if grey else pixels
    bands = colour if alpha is None else np.concatenate([colour, alpha[..., None]], -1)
    return Image.fromarray(np.ascontiguousarray(bands[..., 0] if bands.shape[-1] == 1 else bands))


def _save_options(format: str, like: DecodedImage | None, quality: int | None) -> dict[str, object]:
    if format == "PNG":
        return {"compress_level": _PNG_LEVEL}
    if format == "WEBP" and quality is None and like is not None and like.lossless:
        return {"lossless": True, "exact": True, "quality": 50, "method": 0}  # exact: colours under full transparency stay too
    if format == "WEBP":
        return {"quality": quality or _QUALITY, "method": 2}
    if quality is None and like is not None and like.jpeg_tables:
        return {"qtables": [list(table) for table in like.jpeg_tables], "subsampling": like.jpeg_subsampling or 0}
    return {"quality": quality or _QUALITY, "subsampling": 0}


def write_atomic(path: str | Path, data: bytes, check: Callable[[Path], None] | None = None) -> str:
    """Writes a file so that it is there whole and checked, or not at all.

    The bytes go to a hidden temporary name in the same folder (made where missing), reach the disk, pass ``check``, and take
    the final name in one step; an older file of that name stays until then.

    Args:
        path: where the file goes.
        data: its bytes.
        check: called with the temporary path; whatever it raises is raised, and nothing is left behind.

    Returns:
        The hex SHA-256 of ``data``.

    Raises:
        OutputError: the operating system refused; the message says why.
    """
    path = Path(path)
    temporary = path.parent / f".{secrets.token_hex(8)}.part"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if check is not None:
            check(temporary)
        os.replace(temporary, path)
        _sync_folder(path.parent)
    except OSError as error:
        words = _OS_WORDS.get(error.errno or 0, str(error.strerror or error))
        raise OutputError(f"cannot write {path}: {words}") from error
    finally:
        with suppress(OSError):
            temporary.unlink()
    return hashlib.sha256(data).hexdigest()


def _sync_folder(folder: Path) -> None:
    """Makes the new name durable, where folders can be synchronised (not on Windows, nor on every network file system)."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
