"""The checks that an output must pass before anyone is told that it is done."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fo_faceanon.errors import InputError
from fo_faceanon.images import DecodedImage, decode_image, encode_image, metadata_residue, written_format
from fo_faceanon.records import ACTIONS, FaceRecord

if TYPE_CHECKING:
    from fo_faceanon.anonymizer import AnonymizedImage

#: Actions that leave new pixels where the face was.
REPLACED = ("generated", "retried", "filled")
#: Grey levels, of 255, by which a replaced face must differ from the original on average over its box.
MIN_CHANGE = 1.0
#: Mean grey levels of coding noise that need no explanation; above, the original is coded the same way for comparison.
CODING_NOISE = 2.0
#: The largest block that JPEG codes as one (4:2:0), in pixels: a changed pixel may change all of its block.
_BLOCK = 16
_STRIPE = 32 * _BLOCK  # rows compared at once, so that huge images need no huge temporaries

_MEANING = {
    "accounted": "a face has no valid action",
    "outside_unchanged": "pixels changed outside of the masks",
    "faces_changed": "a face still has its original pixels",
    "not_recognised": "a face is still recognised as its original",
    "readable": "the written file cannot be read back",
    "same_size": "the written picture has another size",
    "faithful": "the written picture differs from the one that was made",
    "faces_written": "the encoder undid the change of a face",
    "no_metadata": "the written file carries metadata",
}


def check_output(written: Path | bytes, source: DecodedImage, result: AnonymizedImage) -> dict[str, bool]:
    """Every check on one written output; an output is good where all values are true.

    Args:
        written: the encoded file (the temporary one, before it gets its name) or its bytes.
        source: the decoded original.
        result: what the anonymizer made of it.

    Returns:
        ``accounted``: every face has an action, and none of them ``failed``; ``outside_unchanged``: the made pixels equal the
        original's outside of the mask; ``faces_changed``: each replaced face differs by :data:`MIN_CHANGE`;
        ``not_recognised``; ``readable``; ``same_size``; ``faithful``: the file holds the made pixels (exactly, where the format
        is lossless; else, away from the mask, as closely as the same coding keeps the original); ``faces_written``: in the box
        of each replaced face the file is closer to the made pixels than to the original; ``no_metadata``.
    """
    checks = _check_result(source.pixels, result)
    try:
        again = decode_image(written)
    except InputError:
        return {**checks, "readable": False}
    checks["readable"] = True
    checks["same_size"] = again.pixels.shape == source.pixels.shape
    checks["no_metadata"] = not metadata_residue(written)
    if checks["same_size"] and result.pixels.shape == source.pixels.shape:
        checks["faithful"] = _faithful(again.pixels, source, result)
        checks["faces_written"] = all(_closer(again.pixels, result.pixels, source.pixels, face) for face in _replaced(result))
    return checks


def explain(checks: dict[str, bool]) -> str | None:
    """Why an output is withheld, in words; None where every check passed."""
    failed = [_MEANING.get(name, name) for name, passed in checks.items() if not passed]
    return f"withheld: {'; '.join(failed)}" if failed else None


def judge(faces: list[FaceRecord]) -> tuple[str, str | None]:
    """Status and reason of an image whose output passed every check.

    A fill, and a replaced face that no recogniser could judge, want a look. The solid ``mask`` leaves nothing to judge.
    """
    if not faces:
        return "no_faces", None
    filled = sum(face.action == "filled" for face in faces)
    if filled:
        return "needs_review", f"{filled} of {len(faces)} faces could only be filled"
    unjudged = sum(face.action in REPLACED and face.reidentified is None and face.method != "mask" for face in faces)
    if unjudged:
        return "needs_review", f"no recogniser could judge {unjudged} of {len(faces)} faces"
    return "ok", None


def _replaced(result: AnonymizedImage) -> list[FaceRecord]:
    return [face for face in result.faces if face.action in REPLACED]


def _check_result(original: np.ndarray, result: AnonymizedImage) -> dict[str, bool]:
    """The checks that need no file."""
    same = result.pixels.shape == original.shape and result.mask.shape == original.shape[:2]
    return {
        "accounted": all(face.action in ACTIONS and face.action != "failed" for face in result.faces),
        "outside_unchanged": same and not any(_leaks(original[s], result.pixels[s], result.mask[s]) for s in _stripes(original)),
        "faces_changed": same and all(_changed(original, result.pixels, face) for face in _replaced(result)),
        "not_recognised": not any(face.reidentified for face in result.faces if face.action != "kept"),
    }


def _stripes(pixels: np.ndarray) -> Iterator[slice]:
    return (slice(start, start + _STRIPE) for start in range(0, pixels.shape[0], _STRIPE))


def _leaks(a: np.ndarray, b: np.ndarray, mask: np.ndarray) -> bool:
    return bool(((a != b) & ~mask[..., None]).any())  # over all axes at once: one of three elements is slow to reduce


def _distance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Absolute difference of uint8 arrays, as uint8."""
    return np.maximum(a, b) - np.minimum(a, b)


def _inside(face: FaceRecord, pixels: np.ndarray) -> tuple[slice, slice] | None:
    """The face's box as slices of the image; None where it lies outside."""
    height, width = pixels.shape[:2]
    x0, y0 = max(int(face.box[0]), 0), max(int(face.box[1]), 0)
    x1, y1 = min(int(np.ceil(face.box[2])), width), min(int(np.ceil(face.box[3])), height)
    return (slice(y0, y1), slice(x0, x1)) if x1 > x0 and y1 > y0 else None


def _changed(original: np.ndarray, made: np.ndarray, face: FaceRecord) -> bool:
    window = _inside(face, original)
    return window is None or float(_distance(original[window], made[window]).mean()) >= MIN_CHANGE


def _closer(written: np.ndarray, made: np.ndarray, original: np.ndarray, face: FaceRecord) -> bool:
    window = _inside(face, written)
    if window is None:
        return True
    return float(_distance(written[window], made[window]).mean()) < float(_distance(written[window], original[window]).mean())


def _faithful(written: np.ndarray, source: DecodedImage, result: AnonymizedImage) -> bool:
    if written_format(source) == "PNG" or (written_format(source) == "WEBP" and source.lossless):
        return all(np.array_equal(written[rows], result.pixels[rows]) for rows in _stripes(written))
    error = _untouched_error(written, source.pixels, result.mask)
    if error <= CODING_NOISE:
        return True
    # A coarse source: what the same coding does to the original is the yardstick.
    coded = decode_image(encode_image(source.pixels, like=source)).pixels
    return error <= 1.25 * _untouched_error(coded, source.pixels, result.mask) + 0.5


def _untouched_error(written: np.ndarray, original: np.ndarray, mask: np.ndarray) -> float:
    """Mean absolute difference over the coding blocks that hold no masked pixel, in grey levels; 0 where there are none."""
    total, count = 0, 0
    for rows in _stripes(original):
        keep = ~_touched_blocks(mask[rows])
        distance = _distance(written[rows], original[rows])
        total += int((distance * keep[..., None]).sum(dtype=np.int64))
        count += 3 * int(keep.sum())
    return total / count if count else 0.0


def _touched_blocks(mask: np.ndarray) -> np.ndarray:
    """The mask grown to whole coding blocks."""
    height, width = mask.shape
    padded = np.pad(mask, ((0, -height % _BLOCK), (0, -width % _BLOCK)))
    blocks = padded.reshape(padded.shape[0] // _BLOCK, _BLOCK, padded.shape[1] // _BLOCK, _BLOCK).any((1, 3))
    return blocks.repeat(_BLOCK, 0).repeat(_BLOCK, 1)[:height, :width]
