"""The models of FiftyOne's zoo: what ``model_zoo/`` hands on, by name."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import fiftyone.operators.types as types

from fo_faceanon.detection import list_detectors
from fo_faceanon.errors import InputError
from fo_faceanon.host.face_models import FaceDetector, FaceEmbedding, FaceEmotion, FaceLandmarks, FaceModel, Parameters


@dataclass(frozen=True, slots=True)
class _Entry:
    """A model of the manifest: its class, the parameters it knows, and what it needs on disk."""

    model: type[FaceModel]
    parameters: tuple[str, ...]
    weights: tuple[str, ...]


_FINDING = ("device", "detector", "threshold", "min_face")
MODELS = {
    "faceanon/face-detector": _Entry(FaceDetector, _FINDING, ("mtcnn",)),
    "faceanon/face-landmarks": _Entry(FaceLandmarks, (*_FINDING, "faces_field"), ("mtcnn", "dlib-landmarks", "landmarks68")),
    "faceanon/face-embedding": _Entry(
        FaceEmbedding, (*_FINDING, "recogniser"), ("mtcnn", "dlib-landmarks", "landmarks68", "dlib-recognition")
    ),
    "faceanon/face-emotion": _Entry(
        FaceEmotion, (*_FINDING, "faces_field", "per_face"), ("mtcnn", "dlib-landmarks", "landmarks68", "emotion")
    ),
}


def prepare(model_name: str, model_path: str | Path) -> None:
    """Checks the weights that a model needs by their hashes, fetches those that can be, and notes it where FiftyOne looks.

    Raises:
        WeightsError: weights are missing, altered, or cannot be fetched.
    """
    from fo_faceanon.weights import find_weight, get_weight, require_weight

    for name in _entry(model_name).weights:
        if find_weight(name) is None:
            get_weight(name)
        require_weight(name)
    Path(model_path).parent.mkdir(parents=True, exist_ok=True)
    Path(model_path).write_text("the weights come with the package fo-faceanon, or were fetched by it: fo-faceanon weights list\n")


def load(model_name: str, **parameters: Any) -> FaceModel:
    """A model, ready to be applied.

    Args:
        model_name: a key of :data:`MODELS`.
        **parameters: those fields of :class:`Parameters` that the model knows.

    Raises:
        InputError: no such model or parameter, or a value out of range.
        WeightsError: weights are missing.
    """
    entry = _entry(model_name)
    unknown = sorted(set(parameters) - set(entry.parameters))
    if unknown:
        raise InputError(f"{model_name} has no parameter {', '.join(unknown)}; it has {', '.join(entry.parameters)}")
    return entry.model(Parameters(**parameters))


def parameters_form(model_name: str) -> types.Property:
    """The parameters of a model as FiftyOne's operators ask for them."""
    inputs = types.Object()
    known = _entry(model_name).parameters
    defaults = {field.name: field.default for field in fields(Parameters)}
    inputs.enum("detector", [d.name for d in list_detectors() if d.available], default=defaults["detector"], label="Detector")
    inputs.float("threshold", min=0.01, max=0.99, required=False, label="Smallest score", description="Empty: the detector's own")
    inputs.int("min_face", default=defaults["min_face"], min=8, label="Smallest face", description="In pixels")
    inputs.str("device", default=defaults["device"], label="Device", description="auto, cpu, cuda, cuda:1, mps")
    if "faces_field" in known:
        inputs.str("faces_field", required=False, label="Faces from", description="A Detections field; empty: detect them")
    if "recogniser" in known:
        from fo_faceanon.recognition import available_recognisers

        inputs.enum("recogniser", available_recognisers(), default=defaults["recogniser"], label="Recogniser")
    if "per_face" in known:
        inputs.bool("per_face", default=False, label="Every face", description="Detections in place of one Classification")
    return types.Property(inputs)


def _entry(model_name: str) -> _Entry:
    if model_name not in MODELS:
        raise InputError(f"there is no model {model_name!r}; the models are {', '.join(MODELS)}")
    return MODELS[model_name]
