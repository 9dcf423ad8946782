"""Decides at export time, from the files themselves, whether one sample may leave; anything in doubt stays."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fo_faceanon.errors import FaceAnonError
from fo_faceanon.host import fields
from fo_faceanon.host.views import REVIEWABLE
from fo_faceanon.images import DecodedImage, decode_image
from fo_faceanon.records import ACTIONS

#: Fields that :func:`clear` needs, in the order of its arguments.
NEEDED = (
    "filepath",
    fields.MEDIA,
    f"{fields.STATUS}.status",
    f"{fields.STATUS}.reviewed",
    f"{fields.STATUS}.source_sha256",
    f"{fields.STATUS}.output_sha256",
    f"{fields.FACES}.detections.action",
)
#: Actions after which a picture must differ from its original.
_CHANGING = ("generated", "retried", "filled")


@dataclass(frozen=True, slots=True)
class Cleared:
    """A picture that may leave."""

    image: DecodedImage


def clear(
    source: str | None,
    output: str | None,
    status: str | None,
    reviewed: bool | None,
    source_sha256: str | None,
    output_sha256: str | None,
    actions: list[str | None] | None,
) -> Cleared | str:
    """The decoded anonymized picture, or the reason why the sample is withheld."""
    reason = _status_reason(status, reviewed, actions or [])
    if reason:
        return reason
    if not source or not output or not output_sha256 or not source_sha256:
        return "the anonymized picture or its hashes are missing"
    try:
        image = decode_image(_read(output))
        original = decode_image(_read(source))
    except (FaceAnonError, OSError):
        return "the original or the anonymized picture cannot be read, so that nothing can be checked"
    if image.file_sha256 != output_sha256:
        return "the anonymized picture was altered after its verification"
    if original.file_sha256 != source_sha256:
        return "stale: the original changed after it was anonymized"
    if any(action in _CHANGING for action in actions or []) and np.array_equal(image.pixels, original.pixels):
        return "the anonymized picture shows the original"
    return Cleared(image)


def _status_reason(status: str | None, reviewed: bool | None, actions: list[Any]) -> str | None:
    if status is None:
        return "never anonymized"
    if status in REVIEWABLE:
        if reviewed is not True:
            return "no face found, and nobody looked yet" if status == "no_faces" else "waits for review"
    elif status != "ok":
        return "anonymization failed" if status == "failed" else f"status is '{status}'"
    if any(action not in ACTIONS or action == "failed" for action in actions):
        return "a face label was added, or failed: anonymize again"
    return None


def _read(path: str) -> bytes:
    return Path(path).read_bytes()
