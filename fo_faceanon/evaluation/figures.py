"""Every figure of an evaluation: its name, what it says, its unit, and which way is better.

One table, so that summary, report, fields and benchmarks call a thing by the same name.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

Better = Literal["lower", "higher", "neither"]
#: The paper's six dimensions (Celona et al. 2025, Table I), in its order.
DIMENSIONS = ("image quality", "privacy", "geometry", "expression", "lighting", "colour")


@dataclass(frozen=True, slots=True)
class Figure:
    """One number and what it stands on.

    Args:
        value: None where it was withheld.
        n: faces (or pictures) that it was measured on.
        low: lower end of its 95 % bootstrap interval, None where there is none.
        high: the upper end.
        missing: faces that should have counted but could not be measured (undetected, no landmarks, unreadable).
        floor: the same figure of the originals re-encoded, the meter's noise; None where that was not measured.
        floor_n: on how many.
        withheld: why there is no value: too few, weights not here, ...
    """

    value: float | None
    n: int
    low: float | None = None
    high: float | None = None
    missing: int = 0
    floor: float | None = None
    floor_n: int = 0
    withheld: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class FigureSpec:
    """What a figure is called and means.

    ``name``: its key in JSON and fields. ``label``: for people. ``per_face``: whether each face has one (else it is of a set).
    """

    name: str
    label: str
    dimension: str
    unit: str
    better: Better
    what: str
    per_face: bool = True


def _recogniser_specs(name: str) -> tuple[FigureSpec, ...]:
    key = name.replace("-", "_")
    return (
        FigureSpec(
            *(f"cosine_{key}", f"identity cosine, {name}", "privacy", "", "lower"),
            "cosine between original and anonymized face; strangers have the impostor value",
        ),
        FigureSpec(
            *(f"impostor_{key}", f"impostors' cosine, {name}", "privacy", "", "neither"),
            "mean cosine between anonymized faces and other people's originals",
            per_face=False,
        ),
        FigureSpec(
            *(f"reidentified_{key}", f"re-identified, {name}", "privacy", "%", "lower"),
            "share of faces whose cosine with their original is above the threshold of one false accept in a thousand",
        ),
        FigureSpec(
            *(f"rank1_{key}", f"rank-1 on the same photo, {name}", "privacy", "%", "lower"),
            "share of faces whose most alike original, among all of the set, is their own",
        ),
    )


#: Recognisers, in the order of reports. dlib's guides the choice of donors: it is shown, and never decides.
RECOGNISERS = ("facenet-vggface2", "facenet-casia", "arcface-w600k-mbf", "edgeface-s", "mobilefacenet", "dlib")

FIGURES: tuple[FigureSpec, ...] = (
    FigureSpec(
        "fid",
        "FID, whole picture",
        "image quality",
        "",
        "lower",
        "Fréchet Inception distance to the originals; the fewer pictures, the larger",
        False,
    ),
    FigureSpec("fid_face", "FID, face", "image quality", "", "lower", "the same of the window around the face", False),
    FigureSpec("kid", "1000 KID, whole picture", "image quality", "", "lower", "kernel Inception distance, unbiased, times 1000", False),
    FigureSpec("kid_face", "1000 KID, face", "image quality", "", "lower", "the same of the window around the face", False),
    FigureSpec(
        *("frechet_facenet", "Fréchet distance, FaceNet", "image quality", "", "lower"),
        "Fréchet distance between FaceNet (VGGFace2) vectors: a second feature space, in place of CLIP's, whose weights cannot be had",
        per_face=False,
    ),
    FigureSpec("detected", "face found, MTCNN", "image quality", "%", "higher", "share of original faces that are found again as a face"),
    FigureSpec("detected_second", "face found, second detector", "image quality", "%", "higher", "the same by another detector"),
    *(spec for name in RECOGNISERS for spec in _recogniser_specs(name)),
    FigureSpec(
        *("landmark_error", "landmark error, 68 points", "geometry", "inter-ocular", "lower"),
        "mean absolute coordinate error of dlib's 68 points over the distance of the eye centres",
    ),
    FigureSpec(
        *("landmark_error_steady", "68 points, steady faces", "geometry", "inter-ocular", "lower"),
        "only faces on whose original dlib's points hold when its box is moved by 3 %",
    ),
    FigureSpec(
        *("landmark_error_mesh", "landmark error, 478 points", "geometry", "inter-ocular", "lower"),
        "MediaPipe's points: an independent landmarker, which no donor is placed by",
    ),
    FigureSpec(
        *("head_pose_error", "head pose", "geometry", "degrees", "lower"),
        "angle of the rotation between the head poses of original and anonymized face (MediaPipe)",
    ),
    FigureSpec(
        *("expression_error", "landmark error, 51 points", "expression", "inter-ocular", "lower"),
        "without the jaw line: brows, eyes, nose, mouth",
    ),
    FigureSpec(
        *("expression_error_steady", "51 points, steady faces", "expression", "inter-ocular", "lower"),
        "only faces on whose original dlib's points hold",
    ),
    FigureSpec(
        *("emotion_kept", "emotion kept", "expression", "%", "higher"),
        "share of faces with the same most probable of seven emotions by our network, which guides nothing; undetected: not kept",
    ),
    FigureSpec(
        *("emotion_kept_second", "emotion kept, face-api", "expression", "%", "higher"),
        "the same by face-api.js's network",
    ),
    FigureSpec(
        *("emotion_distance", "emotion distribution", "expression", "", "lower"),
        "mean Jensen-Shannon distance (base 2) between the emotion probabilities before and after",
    ),
    FigureSpec("blendshape_error", "blendshapes", "expression", "", "lower", "mean absolute difference of MediaPipe's 52 blendshapes"),
    FigureSpec("si_mse", "Si-MSE", "lighting", "", "lower", "scale-invariant squared error of linear light in the face"),
    FigureSpec("si_mse_encoded", "Si-MSE, encoded", "lighting", "", "lower", "the same on gamma-encoded values"),
    FigureSpec("si_l2", "Si-L2 of shading", "lighting", "", "lower", "scale-invariant error of our own shadings (not SfSNet's)"),
    FigureSpec("shading_sine", "sine of shading", "lighting", "", "lower", "the same, free of either's brightness: 0 to 1"),
    FigureSpec("delta_l", "dL, skin", "colour", "", "lower", "CIE lightness difference over skin"),
    FigureSpec("delta_c", "dC, skin", "colour", "", "lower", "chroma difference over skin"),
    FigureSpec("delta_h", "dH, skin", "colour", "", "lower", "metric hue difference over skin"),
    FigureSpec("delta_e", "dE2000, skin", "colour", "", "lower", "CIEDE2000 over skin"),
    FigureSpec("albedo_delta_l", "dL, albedo", "colour", "", "lower", "on our own albedo (the paper: on SfSNet's)"),
    FigureSpec("albedo_delta_c", "dC, albedo", "colour", "", "lower", "on the albedo"),
    FigureSpec("albedo_delta_h", "dH, albedo", "colour", "", "lower", "on the albedo"),
    FigureSpec("albedo_delta_e", "dE2000, albedo", "colour", "", "lower", "on the albedo"),
    FigureSpec("tone_delta_e", "dE2000 of mean skin", "colour", "", "lower", "CIEDE2000 between the two mean skin colours"),
)


def figure_spec(name: str) -> FigureSpec:
    """The specification of a figure; KeyError where there is none of that name."""
    return _BY_NAME[name]


_BY_NAME = {spec.name: spec for spec in FIGURES}
