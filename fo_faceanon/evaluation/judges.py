"""Who judged: every network of an evaluation, its role, and the licence of its weights."""

from __future__ import annotations

from collections.abc import Sequence

from fo_faceanon.errors import WeightsError
from fo_faceanon.recognition.recognisers import recogniser_spec
from fo_faceanon.weights import describe_weight, find_weight

#: Weights by what they judge, and the meter that is missing without them.
_ROLES = (
    ("MediaPipe face landmarker", "face-landmarker", "478 points, head pose, blendshapes", "mesh"),
    ("our emotion network", "emotion", "emotions", "emotion"),
    ("face-api.js", "expression", "emotions, second opinion", "face_api"),
    ("Inception 2015", "fid-inception", "image quality (FID, KID)", "inception"),
    ("our attribute network", "attributes", "groups: apparent age, sex, pose", ""),
)


def judges_of(recognisers: Sequence[str], missing: dict[str, str]) -> list[dict[str, str]]:
    """``[{"name", "licence", "role"}]`` of all that took part.

    Args:
        recognisers: their names.
        missing: meters that took no part (`meters.missing_weights`).
    """
    judges = [
        {"name": "MTCNN (facenet-pytorch)", "licence": "MIT", "role": "finds faces"},
        {"name": "dlib, 68 points", "licence": _licence("dlib-landmarks"), "role": "landmarks"},
        _second(),
    ]
    for name in recognisers:
        spec = recogniser_spec(name)
        role = "identity; guides the choice of donors, so it is shown and never decides" if spec.guide_allowed else "identity"
        judges.append({"name": name, "licence": spec.licence, "role": role})
    return judges + [
        {"name": name, "licence": _licence(weight), "role": role} for name, weight, role, meter in _ROLES if meter not in missing
    ]


def _second() -> dict[str, str]:
    if find_weight("yunet") is not None:
        return {"name": "YuNet", "licence": _licence("yunet"), "role": "finds faces, second opinion"}
    return {"name": "dlib, histograms of gradients", "licence": "BSL-1.0", "role": "finds faces, second opinion"}


def _licence(weight: str) -> str:
    try:
        return describe_weight(weight).licence
    except WeightsError:
        return "unknown"
