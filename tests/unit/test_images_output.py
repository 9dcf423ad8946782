"""What is written: nothing but pixels, and either whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms, PngImagePlugin

from fo_faceanon.errors import InputError, OutputError
from fo_faceanon.images import decode_image, encode_image, metadata_residue, write_atomic

PIXELS = np.random.default_rng(0).integers(0, 255, (40, 56, 3), np.uint8)
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><secret/></x:xmpmeta>'
ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def exif_block() -> bytes:
    exif = Image.Exif()
    exif[0x010F] = "Camera"
    exif.get_ifd(0x8825)[2] = (1.0, 2.0, 3.0)
    return exif.tobytes()


def segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def save(format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(PIXELS).save(buffer, format=format, **options)
    return buffer.getvalue()


def planted_jpeg() -> bytes:
    thumbnail = io.BytesIO()
    Image.fromarray(PIXELS[:16, :16]).save(thumbnail, "JPEG")
    data = save("JPEG", icc_profile=ICC, comment=b"taken by me", progressive=True)
    parts = segment(0xE1, exif_block() + thumbnail.getvalue()) + segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + XMP)
    parts += segment(0xE2, b"MPF\0" + bytes(20)) + segment(0xED, b"Photoshop 3.0\x008BIM\x04\x04" + bytes(20)) + segment(0xEB, b"private")
    return data[:2] + parts + data[2:] + b"a depth image"


def planted_png() -> bytes:
    info = PngImagePlugin.PngInfo()
    info.add_text("Author", "me")
    info.add_itxt("XML:com.adobe.xmp", XMP.decode())
    info.add_text("Raw profile type iptc", "8BIM", zip=True)
    info.add(b"tIME", bytes([7, 230, 1, 1, 1, 1, 1]))
    data = save("PNG", pnginfo=info, exif=exif_block(), icc_profile=ICC, dpi=(72, 72))
    body = b"priVsecret"
    chunk = struct.pack(">I", 6) + body + struct.pack(">I", zlib.crc32(body))
    return data[:-12] + chunk + data[-12:] + b"tail"


def test_jpeg_residue_is_listed_and_gone_from_our_output() -> None:
    source = planted_jpeg()
    listed = {"exif", "thumbnail", "xmp", "mpf", "iptc", "app11", "comment", "trailing data"}
    assert set(metadata_residue(source)) == listed
    decoded = decode_image(source)
    for format in ("JPEG", "PNG", "WEBP"):
        ours = encode_image(decoded.pixels, decoded, format=format)
        assert metadata_residue(ours) == []
        assert b"Camera" not in ours and b"secret" not in ours
        assert decode_image(ours).icc_profile == ICC


def test_png_residue_is_listed_and_gone_from_our_output() -> None:
    source = planted_png()
    assert set(metadata_residue(source)) == {"text", "xmp", "iptc", "time", "exif", "chunk priV", "trailing data"}
    decoded = decode_image(source)
    assert metadata_residue(encode_image(decoded.pixels, decoded)) == []


def test_webp_residue_is_listed_and_gone_from_our_output() -> None:
    source = save("WEBP", exif=exif_block(), xmp=XMP, icc_profile=ICC)
    assert metadata_residue(source) == ["exif", "xmp"]
    assert metadata_residue(source + b"tail") == ["exif", "xmp", "trailing data"]
    decoded = decode_image(source)
    assert metadata_residue(encode_image(decoded.pixels, decoded)) == []


def test_jfif_thumbnail_is_seen() -> None:
    data = save("JPEG")
    header = segment(0xE0, b"JFIF\0\1\1\0\0\1\0\1\1\1" + b"rgb")
    assert metadata_residue(data[:2] + header + data[2 + 18 :]) == ["thumbnail"]


def test_segments_between_scans_are_seen() -> None:
    data = save("JPEG", progressive=True)
    last_scan = data.rindex(b"\xff\xda")
    assert metadata_residue(data) == []
    assert metadata_residue(data[:last_scan] + segment(0xFE, b"hidden") + data[last_scan:]) == ["comment"]


def test_animation_and_unknown_containers_are_not_clean() -> None:
    frames = [Image.fromarray(np.roll(PIXELS, i, 0)) for i in range(2)]
    for format in ("PNG", "WEBP"):
        buffer = io.BytesIO()
        frames[0].save(buffer, format, save_all=True, append_images=frames[1:])
        assert metadata_residue(buffer.getvalue()) == ["animation"]
    assert metadata_residue(save("BMP")) == metadata_residue(b"") == ["unknown container"]


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_cut_files_are_reported(format: str) -> None:
    data = save(format)
    for length in range(12, len(data) - 1, max(1, len(data) // 50)):
        assert "truncated" in metadata_residue(data[:length])


def test_residue_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "x.jpg"
    path.write_bytes(planted_jpeg())
    assert "exif" in metadata_residue(path)
    with pytest.raises(InputError):
        metadata_residue(tmp_path / "missing.jpg")


def test_write_is_checked_before_it_has_its_name(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "out.png"
    seen = []

    def check(path: Path) -> None:
        assert not target.exists() and path.name.startswith(".") and path.suffix == ".part"
        seen.append(path.read_bytes())

    assert write_atomic(target, b"data", check) == hashlib.sha256(b"data").hexdigest()
    assert seen == [b"data"] and target.read_bytes() == b"data"
    assert os.listdir(target.parent) == ["out.png"]


@pytest.mark.parametrize("error", [OutputError("not equal"), ValueError("odd"), KeyboardInterrupt()])
def test_failed_check_leaves_the_old_file(tmp_path: Path, error: BaseException) -> None:
    target = tmp_path / "out.png"
    target.write_bytes(b"old")

    def check(path: Path) -> None:
        raise error

    with pytest.raises(type(error)):
        write_atomic(target, b"new", check)
    assert target.read_bytes() == b"old" and os.listdir(tmp_path) == ["out.png"]


@pytest.mark.parametrize(
    ("function", "code", "words"),
    [("fsync", errno.ENOSPC, "disk is full"), ("replace", errno.EACCES, "permission"), ("replace", errno.EROFS, "read-only")],
)
def test_operating_system_faults_leave_nothing(tmp_path: Path, monkeypatch, function: str, code: int, words: str) -> None:
    def fail(*args: object, **options: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, function, fail)
    with pytest.raises(OutputError, match=words):
        write_atomic(tmp_path / "out.png", b"data")
    assert os.listdir(tmp_path) == []


def test_target_that_cannot_be_a_file(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError):
        write_atomic(tmp_path / "folder", b"data")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError):
        write_atomic(tmp_path / "file" / "below.png", b"data")
    assert sorted(os.listdir(tmp_path)) == ["file", "folder"]
