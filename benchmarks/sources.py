"""Where the benchmarks' pictures come from: LFW, folders, any method of ours, and the baselines beside them."""

from __future__ import annotations

import argparse
import io
import json
import os
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps

#: Evaluation sets that stand for a folder of originals.
SETS = ("celebahq", "lfw", "london")
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
#: A way to anonymize: pictures and the landmarks of their main faces in, pictures out.
Anonymize = Callable[[Sequence[np.ndarray], Sequence[np.ndarray | None]], list[np.ndarray]]


def shared_folder() -> Path:
    """Where the evaluation images lie: ``FACEANON_SHARED``, else ``../shared`` beside the checkout."""
    folder = Path(os.environ.get("FACEANON_SHARED") or Path(__file__).resolve().parents[2] / "shared")
    if not (folder / "data" / "eval").is_dir():
        raise SystemExit(f"no evaluation images under {folder}; set FACEANON_SHARED to the folder that holds data/eval")
    return folder


def read_files(name: str, limit: int | None = None) -> dict[str, bytes]:
    """The encoded pictures of one evaluation set by file name, in order."""
    files: dict[str, bytes] = {}
    with tarfile.open(shared_folder() / "data" / "eval" / f"{name}.tar") as archive:
        for member in archive:
            if member.isfile() and member.name.lower().endswith(IMAGE_SUFFIXES):
                files[member.name] = archive.extractfile(member).read()  # type: ignore[union-attr]
                if len(files) == limit:
                    break
    return files


def read_tar(name: str, limit: int | None = None) -> dict[str, np.ndarray]:
    """``H x W x 3`` uint8 pictures of one evaluation set by file name, in order."""
    return {file: decode(data) for file, data in read_files(name, limit).items()}


def decode(data: bytes) -> np.ndarray:
    """Oriented RGB pixels of an encoded picture."""
    return np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB"))


def read_folder(folder: Path) -> dict[str, np.ndarray]:
    """Pictures of a folder by relative path without suffix, which an anonymizer may have changed."""
    paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES)
    return {str(p.relative_to(folder).with_suffix("")): decode(p.read_bytes()) for p in paths}


def from_folder(folder: Path, names: Sequence[str]) -> Anonymize:
    """Pictures that another tool anonymized, in the order of ``names``; a missing one is an error, never left out."""

    def anonymize(images: Sequence[np.ndarray], landmarks: Sequence[np.ndarray | None]) -> list[np.ndarray]:
        found = read_folder(folder)
        stems = [str(Path(name).with_suffix("")) for name in names]
        missing = [stem for stem in stems if stem not in found]
        if missing:
            raise SystemExit(f"{folder} lacks {len(missing)} of {len(stems)} pictures, for example {missing[0]}")
        resized = [s for s, image in zip(stems, images, strict=True) if found[s].shape != image.shape]
        if resized:
            raise SystemExit(
                f"{len(resized)} of {len(stems)} pictures in {folder} have another size than their original, for example {resized[0]}"
            )
        return [found[stem] for stem in stems]

    return anonymize


def parse_setting(setting: str) -> tuple[str, dict[str, Any]]:
    """``name`` or ``name:dial=value,dial=value`` as a method and its dials."""
    from fo_faceanon.registry import parse_dials

    name, _, rest = setting.partition(":")
    return name, parse_dials(filter(None, rest.split(",")))


def method(setting: str, seed: int = 0) -> Anonymize:
    """One of our methods with dials: see :func:`parse_setting`."""
    from fo_faceanon import Anonymizer

    name, dials = parse_setting(setting)
    anonymizer = Anonymizer(name, seed=seed, **dials)

    def anonymize(images: Sequence[np.ndarray], landmarks: Sequence[np.ndarray | None]) -> list[np.ndarray]:
        results = []
        for start in range(0, len(images), 16):
            results += [result.pixels for result in anonymizer(list(images[start : start + 16]))]
        return results

    return anonymize


def jpeg95(images: Sequence[np.ndarray], landmarks: Sequence[np.ndarray | None]) -> list[np.ndarray]:
    """The noise floor: the originals, re-encoded."""
    results = []
    for image in images:
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, "JPEG", quality=95)
        results.append(decode(buffer.getvalue()))
    return results


def solid_fill(images: Sequence[np.ndarray], landmarks: Sequence[np.ndarray | None]) -> list[np.ndarray]:
    """The privacy floor: the face with its forehead painted over in its mean colour; not one of its pixels is left."""
    from fo_faceanon.photometry.skin import face_masks

    results = []
    for image, points in zip(images, landmarks, strict=True):
        if points is None:
            results.append(image)
            continue
        hull = face_masks(torch.from_numpy(points)[None].float(), *image.shape[:2]).hull[0, 0].numpy() > 0
        filled = image.copy()
        filled[hull] = np.round(image[hull].mean(0))
        results.append(filled)
    return results


def comparison_parser(description: str | None) -> argparse.ArgumentParser:
    """The command line of a benchmark that compares originals with what anonymizers made of them."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("originals", help=f"a folder of originals, or one of {', '.join(SETS)}")
    parser.add_argument("anonymized", type=Path, nargs="*", help="folders of anonymized pictures with the same relative paths")
    parser.add_argument("--setting", action="append", default=[], help="one of our methods, name:dial=value,...; may be repeated")
    parser.add_argument("--limit", type=int, help="only the first so many pictures")
    parser.add_argument("--out", type=Path, help="where the results go, as JSON")
    return parser


def originals_of(args: argparse.Namespace) -> dict[str, np.ndarray]:
    """The originals that the command line names, by name."""
    named = args.originals in SETS
    pictures = read_tar(args.originals, args.limit) if named else read_folder(Path(args.originals))
    return dict(list(pictures.items())[: args.limit])


def compared(args: argparse.Namespace, names: Sequence[str]) -> dict[str, Anonymize]:
    """The noise floor, the privacy floor, and what the command line names."""
    sources: dict[str, Anonymize] = {"JPEG 95 (noise floor)": jpeg95, "solid fill": solid_fill}
    sources |= {setting: method(setting) for setting in args.setting}
    return sources | {str(folder): from_folder(folder, names) for folder in args.anonymized}


def write_report(path: Path | None, results: dict[str, Any]) -> None:
    """The results as JSON, where a path was given."""
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(results, indent=1) + "\n")
