"""Whether the labels that a run went by still say the same: a consent that was withdrawn since holds at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import fiftyone as fo

from fo_faceanon.errors import FaceAnonError
from fo_faceanon.host import fields, runs
from fo_faceanon.host.inputs import FaceSource, current_fingerprint


class LabelCheck:
    """Compares each sample's face labels with those that it was anonymized by.

    Calling it gives the reason to withhold a sample, or None. ``needed`` names the fields whose values it is called with.
    """

    def __init__(self, dataset: fo.Dataset) -> None:
        keys = dataset.distinct(f"{fields.STATUS}.run_key")
        self._sources: dict[str, FaceSource | None] = {key: runs.face_source(dataset, key) for key in keys}
        named = {source.field for source in self._sources.values() if source is not None and source.field is not None}
        self._label_fields = sorted(name for name in named if dataset.has_field(name))
        digest = [f"{fields.STATUS}.faces_digest", f"{fields.FACES}.detections.id", f"{fields.FACES}.detections.bounding_box"]
        self.needed = [f"{fields.STATUS}.run_key", f"{fields.STATUS}.fingerprint", *digest, *self._label_fields]

    def __call__(self, path: Path, values: list[Any]) -> str | None:
        run_key, fingerprint, digest, face_ids, boxes, *labels = values
        if digest is not None and digest != fields.faces_digest(zip(face_ids or [], boxes or [], strict=True)):
            return "faces were moved, added or deleted: anonymize again"
        source = self._sources.get(run_key)
        if source is None:
            return "its run is no longer registered: anonymize again"
        by_field = dict(zip(self._label_fields, labels, strict=True))
        if source.field is not None and source.field not in by_field:
            return "the face labels that it was anonymized by are gone: anonymize again"
        try:
            now = current_fingerprint(run_key, source, path, by_field.get(source.field or ""))
        except FaceAnonError:
            now = None
        return None if now == fingerprint else "face labels or consent changed: anonymize again"
