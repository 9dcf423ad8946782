"""What is written down about every face, every image and every run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

#: What can happen to a face. ``generated + retried + filled + kept + failed`` is the number of faces found.
ACTIONS = ("generated", "retried", "filled", "kept", "failed")
#: What can happen to an image.
STATUSES = ("ok", "no_faces", "needs_review", "failed")


@dataclass(slots=True)
class FaceRecord:
    """One face: where it was, what was done, and how the result was judged.

    ``box`` and ``landmarks`` are in pixels of the oriented image. ``method`` is the one that made the final pixels (not
    always the one asked for: ``reason`` then says why). ``identity_similarity`` is the highest verification score
    (cosine) over the recognisers named in ``recognisers``; None where no recogniser could run.
    """

    box: tuple[float, float, float, float]
    score: float
    detector: str
    action: str
    method: str
    seed: int
    key: str | None = None
    reason: str | None = None
    model_sha256: str | None = None
    identity_similarity: float | None = None
    reidentified: bool | None = None
    recognisers: list[str] = field(default_factory=list)
    landmarks: list[list[float]] | None = None


@dataclass(slots=True)
class ImageRecord:
    """One image: its outcome, the hashes that tie input and output together, and its faces."""

    key: str
    status: str
    method: str
    reason: str | None = None
    source_sha256: str | None = None
    output_sha256: str | None = None
    output: str | None = None
    width: int | None = None
    height: int | None = None
    faces: list[FaceRecord] = field(default_factory=list)
    checks: dict[str, bool] = field(default_factory=dict)
    seconds: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """A JSON-serializable dictionary."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> ImageRecord:
        """The record that :meth:`to_dict` wrote."""
        faces = [FaceRecord(**{**f, "box": tuple(f["box"])}) for f in values.get("faces", [])]
        return cls(**{**values, "faces": faces})


@dataclass(slots=True)
class RunReport:
    """The exposure ledger of a run: counts that add up."""

    run_key: str
    method: str
    images: dict[str, int] = field(default_factory=dict)
    faces: dict[str, int] = field(default_factory=dict)
    faces_found: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0

    @classmethod
    def from_records(cls, run_key: str, method: str, records: Iterable[ImageRecord], seconds: float = 0.0) -> RunReport:
        """Counts images by status, faces by action, and failures by reason."""
        images: Counter[str] = Counter()
        faces: Counter[str] = Counter()
        reasons: Counter[str] = Counter()
        found = 0
        for record in records:
            images[record.status] += 1
            found += len(record.faces)
            faces.update(face.action for face in record.faces)
            if record.reason:
                reasons[record.reason] += 1
        return cls(run_key, method, dict(images), dict(faces), found, dict(reasons), seconds)

    @property
    def adds_up(self) -> bool:
        """True where every face found has exactly one known action."""
        return set(self.faces) <= set(ACTIONS) and sum(self.faces.values()) == self.faces_found

    def to_dict(self) -> dict[str, Any]:
        """A JSON-serializable dictionary."""
        return {**asdict(self), "adds_up": self.adds_up}
