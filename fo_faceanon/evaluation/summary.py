"""From what was measured face by face to the figures of an evaluation."""

from __future__ import annotations

import numpy as np

from fo_faceanon.evaluation.collect import SECOND_SPACE, Collected, Gathered
from fo_faceanon.evaluation.feature_sets import distance_figure, distance_figures
from fo_faceanon.evaluation.figures import FIGURES, RECOGNISERS, Figure, figure_spec
from fo_faceanon.evaluation.statistics import MIN_FACES, bootstrap_intervals, figure_of
from fo_faceanon.metrics.privacy import impostor_scores, nearest_is_own

#: Which meter a figure needs, where it is one that may be missing.
_NEEDS = {
    "landmark_error_mesh": "mesh",
    "head_pose_error": "mesh",
    "blendshape_error": "mesh",
    "emotion_kept": "emotion",
    "emotion_distance": "emotion",
    "emotion_kept_second": "face_api",
    "fid": "inception",
    "fid_face": "inception",
    "kid": "inception",
    "kid_face": "inception",
}
#: Impostor pairs that are looked at.
_IMPOSTORS = 200_000


def withheld_reasons(missing: dict[str, str], recognisers: tuple[str, ...]) -> dict[str, str]:
    """Why figures have no value whatever was measured, by name.

    Args:
        missing: why meters are not here (`meters.missing_weights`).
        recognisers: those that took part.
    """
    reasons = {name: missing[meter] for name, meter in _NEEDS.items() if meter in missing}
    for name in RECOGNISERS:
        if name not in recognisers:
            weight = "dlib-recognition" if name == "dlib" else name
            why = f"{name} took no part: its weights are not here (fo-faceanon weights get {weight}), or it was left out"
            reasons |= {f"{kind}_{name.replace('-', '_')}": why for kind in ("cosine", "impostor", "reidentified", "rank1")}
    if SECOND_SPACE not in recognisers:
        reasons["frechet_facenet"] = reasons[f"cosine_{SECOND_SPACE.replace('-', '_')}"]
    return reasons


def mark_nearest(collected: Collected) -> None:
    """Writes ``rank1_...`` into every row: only the whole set tells whose original is the nearest."""
    for name in collected.anonymized.before:
        before, after = collected.anonymized.vectors_of(name)
        _write(collected.anonymized, f"rank1_{_key(name)}", nearest_is_own(after, before))
        if collected.floor.rows:
            index = np.array(collected.floor_index)
            _write(collected.floor, f"rank1_{_key(name)}", nearest_is_own(collected.floor.vectors_of(name)[1], before, index))


def _write(gathered: Gathered, name: str, hits: np.ndarray) -> None:
    for row, hit in zip(gathered.rows, hits.tolist(), strict=True):
        row[name] = hit


def _key(name: str) -> str:
    return name.replace("-", "_")


def impostors_of(gathered: Gathered) -> dict[str, np.ndarray]:
    """Per recogniser, cosines of anonymized faces with other people's originals."""
    people = [row.get("person") for row in gathered.rows]
    result = {}
    for name in gathered.before:
        before, after = gathered.vectors_of(name)
        result[name] = impostor_scores(after, before, people if any(people) else None, most=_IMPOSTORS)
    return result


def figures_of(collected: Collected, impostors: dict[str, np.ndarray], reasons: dict[str, str]) -> dict[str, Figure]:
    """Every figure of `figures.FIGURES`, in its order."""
    figures = _per_face(collected, reasons)
    made, floor = collected.anonymized, collected.floor
    figures |= distance_figures("", made.whole, floor.whole, reasons.get("fid"))
    figures |= distance_figures("_face", made.windows, floor.windows, reasons.get("fid_face"))
    figures["frechet_facenet"] = distance_figure(made.vectors, floor.vectors, withheld=reasons.get("frechet_facenet"))
    strangers = impostors_of(floor)
    for name in RECOGNISERS:
        figure = f"impostor_{_key(name)}"
        figures[figure] = _impostor_figure(impostors.get(name), strangers.get(name), collected, reasons.get(figure))
    return {spec.name: figures[spec.name] for spec in FIGURES}


def _impostor_figure(scores: np.ndarray | None, floor: np.ndarray | None, made: Collected, withheld: str | None) -> Figure:
    faces, base = len(made.anonymized.rows), len(made.floor.rows)
    if withheld is None and (scores is None or not scores.size or faces < MIN_FACES):
        withheld = f"only {faces} {'face' if faces == 1 else 'faces'} could be measured, and a mean needs {MIN_FACES}"
    if withheld is not None or scores is None:
        return Figure(None, faces, withheld=withheld)
    if floor is None or not floor.size:
        return Figure(float(scores.mean()), faces)
    return Figure(float(scores.mean()), faces, floor=float(floor.mean()), floor_n=base)


def _per_face(collected: Collected, reasons: dict[str, str]) -> dict[str, Figure]:
    """One set of resamples for all of them."""
    names = [spec.name for spec in FIGURES if spec.per_face]
    made, floor, clusters = collected.anonymized, collected.floor, collected.clusters
    columns = {name: made.column(name) for name in names}
    if not made.rows:
        return {name: figure_of(np.zeros(0), withheld=reasons.get(name)) for name in names}
    low, high = bootstrap_intervals(np.stack(list(columns.values()), 1), clusters)
    figures = {}
    for i, name in enumerate(names):
        counts = made.column("steady") == 1 if name.endswith("_steady") else np.ones(len(made.rows), bool)
        figures[name] = figure_of(
            columns[name][counts],
            clusters[counts],
            share=figure_spec(name).unit == "%",
            floor=floor.column(name),
            withheld=reasons.get(name),
            interval=(float(low[i]), float(high[i])),
        )
    return figures
