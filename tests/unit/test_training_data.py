"""Training data: the codec, shards, sources and preparation."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from training_faces import drawn_faces, pack, smooth_pictures

from fo_faceanon.donors.bank import DonorBank
from fo_faceanon.errors import InputError
from fo_faceanon.faces import Face
from fo_faceanon.training.codec import decode_pictures, encode_pictures
from fo_faceanon.training.mesh_points import add_mesh
from fo_faceanon.training.packed import Faces, put_mesh, read_faces, read_header, write_shard
from fo_faceanon.training.pictures import sheet, write_png
from fo_faceanon.training.prepare import as_dict, known_pixels, prepare_faces
from fo_faceanon.training.sources import parse_source, read_pictures


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / np.mean((a.astype(float) - b) ** 2)))


def test_the_codec_loses_what_a_jpeg_loses() -> None:
    pictures = smooth_pictures(6, 64)
    ours = decode_pictures(encode_pictures(pictures, 90), 6, 64, 90).permute(0, 2, 3, 1).numpy()
    jpegs = []
    for picture in pictures:
        buffer = io.BytesIO()
        Image.fromarray(picture).save(buffer, "JPEG", quality=90)
        jpegs.append(np.asarray(Image.open(buffer)))
    assert ours.shape == pictures.shape and ours.dtype == np.uint8
    assert psnr(ours, pictures) > psnr(np.stack(jpegs), pictures) - 0.5


def test_flat_colours_come_back() -> None:
    flat = np.broadcast_to(np.array([[200, 90, 30], [0, 0, 0], [255, 255, 255]], np.uint8)[:, None, None], (3, 32, 32, 3)).copy()
    again = decode_pictures(encode_pictures(flat, 90), 3, 32, 90).permute(0, 2, 3, 1).numpy()
    assert np.abs(again.astype(int) - flat).max() <= 4


def test_packed_pictures_are_small() -> None:
    pictures = smooth_pictures(40, 64)
    assert len(encode_pictures(pictures)) < pictures.nbytes / 6


def test_damaged_pictures_are_refused() -> None:
    data = encode_pictures(smooth_pictures(2, 32))
    with pytest.raises(InputError, match="damaged"):
        decode_pictures(data[:40], 2, 32)
    with pytest.raises(InputError, match="instead of"):
        decode_pictures(data, 3, 32)
    with pytest.raises(InputError, match="uint8"):
        encode_pictures(np.zeros((1, 30, 30, 3), np.uint8))


def test_a_shard_holds_what_was_put_in(tmp_path: Path) -> None:
    faces = drawn_faces(5, 32)
    faces.landmarks[1][:, 0] -= 200.0  # landmarks may leave the crop
    write_shard(tmp_path / "omi-000.npz", faces, "omi", True, quality=95)
    again = read_faces(tmp_path)
    assert len(again) == 5 and again.sets == ["omi"] and again.synthetic == {"omi"} and again.mesh is None
    assert np.allclose(again.landmarks.numpy(), np.stack(faces.landmarks), atol=1 / 64)
    assert psnr(again.pictures.permute(0, 2, 3, 1).numpy(), np.stack(faces.pictures)) > 25


class HalfCertain:
    """A mesh landmarker that is sure of every other face."""

    def mark_windows(self, windows: torch.Tensor, landmarks: torch.Tensor, boxes: torch.Tensor) -> tuple[torch.Tensor, ...]:
        points = landmarks.mean(1, keepdim=True).expand(-1, 478, -1)
        return torch.cat([points, points[..., :1]], -1), torch.arange(len(windows)) % 2 * 1.0, torch.zeros(len(windows), 52)


def test_mesh_points_are_added_to_shards(tmp_path: Path) -> None:
    pack(tmp_path)
    assert add_mesh(tmp_path, HalfCertain()) == {"ffhq_256-000.npz": 30, "omi-000.npz": 40, "omi-001.npz": 20}  # type: ignore[arg-type]
    faces = read_faces(tmp_path)
    assert faces.mesh is not None and len(faces) == 180
    known = faces.mesh.isfinite().all(-1).all(-1)
    assert known.sum() == 90
    middle = faces.landmarks.mean(1, keepdim=True).expand(-1, 478, -1)
    assert torch.allclose(faces.mesh[known], middle[known], atol=1 / 32)
    with pytest.raises(InputError, match="60 faces"):
        put_mesh(tmp_path / "ffhq_256-000.npz", np.zeros((59, 478, 2)))
    with pytest.raises(InputError, match="no packed faces"):
        add_mesh(tmp_path / "empty", HalfCertain())  # type: ignore[arg-type]


def test_sets_are_chosen_and_counted(tmp_path: Path) -> None:
    pack(tmp_path)
    assert read_faces(tmp_path).counts() == {"ffhq_256": 60, "omi": 120}
    assert read_faces(tmp_path, ["omi"]).counts() == {"omi": 120}
    assert read_faces(tmp_path).synthetic == {"omi"}
    with pytest.raises(InputError, match=r"no shards of nowhere.*ffhq_256, omi"):
        read_faces(tmp_path, ["omi", "nowhere"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="none"):
        read_faces(tmp_path / "empty")
    with pytest.raises(InputError, match="no shard"):
        read_faces(tmp_path / "nowhere")


def test_faces_of_too_little_picture_are_left_out(tmp_path: Path) -> None:
    write_shard(tmp_path / "omi-000.npz", drawn_faces(4), "omi", True)  # 30 of 32 rows are known
    assert len(read_faces(tmp_path, min_known=0.9)) == 4
    assert len(read_faces(tmp_path, min_known=0.95)) == 0


def test_faces_are_reduced_with_their_landmarks(tmp_path: Path) -> None:
    pack(tmp_path, size=64)
    faces = read_faces(tmp_path)
    half = faces.reduced(32)
    assert half.pictures.shape[-1] == 32
    assert torch.allclose(half.landmarks, (faces.landmarks + 0.5) / 2 - 0.5)
    with pytest.raises(InputError, match="reduced to 48"):
        faces.reduced(48)


def test_shards_of_different_sizes_or_of_something_else_are_refused(tmp_path: Path) -> None:
    write_shard(tmp_path / "omi-000.npz", drawn_faces(2, 32), "omi", True)
    write_shard(tmp_path / "omi-001.npz", drawn_faces(2, 64), "omi", True)
    with pytest.raises(InputError, match=r"32, 64"):
        read_faces(tmp_path)
    (tmp_path / "x.npz").write_bytes(b"no archive")
    with pytest.raises(InputError, match="no shard"):
        read_header(tmp_path / "x.npz")
    with pytest.raises(InputError, match="no faces"):
        write_shard(tmp_path / "y.npz", Faces(), "omi", True)


def test_sources_are_tars_folders_and_stacks(tmp_path: Path) -> None:
    pictures = smooth_pictures(3, 32)
    folder, stacks = tmp_path / "faces", tmp_path / "stacks"
    folder.mkdir()
    stacks.mkdir()
    for i, picture in enumerate(pictures):
        Image.fromarray(picture).save(folder / f"{i}.png")
    (folder / "notes.txt").write_text("no picture")
    (folder / "broken.jpg").write_bytes(b"no picture either")
    with tarfile.open(tmp_path / "omi.tar", "w") as tar:
        tar.add(folder, "omi")
    for name in ("1", "2"):
        np.save(stacks / f"{name}.npy", pictures)
    (stacks / "1.done").touch()  # the other is still being written
    for text, synthetic in ((str(folder), False), (str(tmp_path / "omi.tar"), True), (f"mobilestylegan={stacks}", True)):
        source = parse_source(text)
        assert source.synthetic == synthetic
        assert np.array_equal(np.stack(list(read_pictures(source))), pictures)
    with pytest.raises(InputError, match="no training data"):
        parse_source("omi=/nowhere")


class WholePicture:
    """A detector that finds the one face of an aligned picture."""

    name = "whole"

    def __call__(self, images: Sequence[np.ndarray]) -> list[list[Face]]:
        return [[Face(tuple(v * image.shape[0] / 256 for v in (71, 68, 185, 194)))] for image in images]


def test_faces_are_prepared_set_by_set(tmp_path: Path) -> None:
    bank = DonorBank()
    pictures = (bank.pictures(torch.arange(0, 12, 2)) * 255).round().byte().permute(0, 2, 3, 1).numpy()
    pictures = np.pad(pictures, ((0, 0), (64, 64), (64, 64), (0, 0)), mode="reflect")  # the bank's are cut close
    stacks = tmp_path / "stacks"
    stacks.mkdir()
    np.save(stacks / "1.npy", np.concatenate([pictures, np.zeros_like(pictures[:1])]))
    (stacks / "1.done").touch()
    sources = [parse_source(f"mobilestylegan={stacks}")]
    out = tmp_path / "packed"
    reports = prepare_faces(sources, out, WholePicture(), 64)
    report = as_dict(reports)["mobilestylegan"]
    assert report["pictures"] == 7 and report["kept"] >= 5
    faces = read_faces(out)
    assert faces.counts() == {"mobilestylegan": report["kept"]} and faces.synthetic == {"mobilestylegan"}
    span = faces.landmarks.amax(1) - faces.landmarks.amin(1)
    assert bool((span.amax(-1) < 0.62 * 64).all()) and bool((span.amax(-1) > 0.3 * 64).all())
    assert prepare_faces(sources, out, WholePicture(), 64) == {}  # it is there already
    with pytest.raises(InputError, match="another size"):
        prepare_faces(sources, out, WholePicture(), 128)
    with pytest.raises(InputError, match="64, 128, 256"):
        prepare_faces(sources, out, WholePicture(), 100)


def test_pixels_beyond_the_picture_are_known_to_be_unknown() -> None:
    frame = torch.tensor([[[1.0, 0.0, 4.0], [0.0, 1.0, 0.0]]])  # the picture lies four pixels to the right
    known = known_pixels(frame, 16, 8, 16)
    assert not known[:, :4].any() and known[:, 4:12].all() and not known[:, 12:].any()


def test_sheets_are_pictures(tmp_path: Path) -> None:
    a = torch.rand(5, 3, 8, 8) * 2 - 1
    pixels = sheet([a, -a], faces_per_row=2)
    assert pixels.shape == (2 * 8, 4 * 8, 3)  # the fifth face fills no row
    write_png(tmp_path / "sheet.png", pixels)
    read = cv2.imread(str(tmp_path / "sheet.png"))
    assert read is not None and np.array_equal(read[..., ::-1], pixels)
    expected = ((a[1].permute(1, 2, 0) + 1) * 127.5).round().byte().numpy()
    assert np.array_equal(pixels[:8, 16:24], expected)
