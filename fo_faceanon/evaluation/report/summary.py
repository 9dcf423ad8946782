"""An evaluation in a few sentences, each with what it stands on; shared by the page, the operator and the demo."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from fo_faceanon.evaluation.figures import RECOGNISERS, FigureSpec, figure_spec
from fo_faceanon.evaluation.report.tables import problem_entry
from fo_faceanon.evaluation.report.values import NOTHING, count, interval, label_of, number, spec_of, value_of

#: It guides the choice of donors, so its verdict on them is shown but never decides.
GUIDE = "dlib"
#: Recognisers that guide nothing.
JUDGES = tuple(name for name in RECOGNISERS if name != GUIDE)
#: How many times as badly as all faces a group may fare before it is named (the bar of the design, section 9).
UNEQUAL = 1.25
_TILES = ("detected", "landmark_error", "emotion_kept", "si_mse", "delta_e")


@dataclass(frozen=True, slots=True)
class Statement:
    """One sentence about one topic."""

    topic: str
    words: str


@dataclass(frozen=True, slots=True)
class Headline:
    """One number on top of the page: a label, the value as text, and what it stands on."""

    label: str
    value: str
    note: str


def statements(evaluation: dict[str, Any]) -> list[Statement]:
    """What the evaluation says, in plain words; topics whose figures were withheld are named in the last sentences."""
    figures = evaluation.get("figures") or {}
    found = [*_privacy(figures), *_utility(figures), *_fairness(evaluation), *_left_out(evaluation)]
    return [statement for statement in found if statement.words]


def headlines(evaluation: dict[str, Any]) -> list[Headline]:
    """The few numbers that come first."""
    figures = evaluation.get("figures") or {}
    shown = []
    worst = worst_recogniser(figures)
    if worst is not None:
        shown.append(_headline(f"reidentified_{worst}", figures, "re-identified, worst judge"))
    shown += [_headline(name, figures, figure_spec(name).label) for name in _TILES if value_of(figures.get(name)) is not None]
    return shown


def worst_recogniser(figures: dict[str, Any]) -> str | None:
    """Key of the judge that re-identifies most faces (ties: the highest cosine above its impostors); None without any."""
    keys = [name.replace("-", "_") for name in JUDGES]
    known = [key for key in keys if value_of(figures.get(f"reidentified_{key}")) is not None]
    return max(known, key=lambda key: (value_of(figures[f"reidentified_{key}"]) or 0.0, _excess(figures, key)), default=None)


def recogniser_name(key: str) -> str:
    """``facenet-casia`` of ``facenet_casia``."""
    return next((name for name in RECOGNISERS if name.replace("-", "_") == key), key)


def _excess(figures: dict[str, Any], key: str) -> float:
    own, strangers = value_of(figures.get(f"cosine_{key}")), value_of(figures.get(f"impostor_{key}"))
    return own - strangers if own is not None and strangers is not None else float("-inf")


def _headline(name: str, figures: dict[str, Any], label: str) -> Headline:
    spec, figure = figure_spec(name), figures[name]
    value = value_of(figure)
    spread = interval(figure.get("low"), figure.get("high"), spec.unit, value)
    of = recogniser_name(name.removeprefix("reidentified_")) if name.startswith("reidentified_") else ""
    return Headline(
        label,
        number(value, spec.unit),
        "; ".join(part for part in (of, spread, count(figure.get("n"), "face")) if part not in ("", NOTHING)),
    )


def _privacy(figures: dict[str, Any]) -> Iterator[Statement]:
    key = worst_recogniser(figures)
    if key is None:
        yield Statement("Privacy", "No recogniser could judge: nothing is known about whether people can be recognised.")
        return
    figure = figures[f"reidentified_{key}"]
    judges = sum(value_of(figures.get(f"reidentified_{name.replace('-', '_')}")) is not None for name in JUDGES)
    share, faces = number(value_of(figure), "%"), count(figure.get("n"), "face")
    worst = f"The worst of {count(judges, 'recogniser')} ({recogniser_name(key)})"
    yield Statement(
        "Privacy", f"{worst} takes {share} of {faces} for their original ({_spread(figure, '%')}). Chance alone gives about 0.1 %."
    )
    likest = max((name.replace("-", "_") for name in JUDGES), key=lambda k: _excess(figures, k))
    own, strangers = value_of(figures.get(f"cosine_{likest}")), value_of(figures.get(f"impostor_{likest}"))
    if own is not None and strangers is not None:
        gap = f"{recogniser_name(likest)}, where the gap is widest"
        words = f"Faces resemble their originals with a mean cosine of {number(own)}, strangers with {number(strangers)} ({gap})."
        yield Statement("Likeness", words)


def _utility(figures: dict[str, Any]) -> Iterator[Statement]:
    yield Statement("Faces", _simple(figures, "detected", "A face detector finds {value} of the faces again{floor}."))
    yield Statement(
        "Pictures",
        _simple(
            figures, "fid", "The set differs from the originals by a Fréchet distance of {value} on {n} (fewer make it larger){floor}."
        ),
    )
    yield Statement(
        "Geometry",
        _simple(figures, "landmark_error", "Landmarks lie {value} of the distance between the eyes from where they were{floor}."),
    )
    yield Statement("Expression", _simple(figures, "emotion_kept", "The most probable of seven emotions is the same for {value}{floor}."))
    yield Statement("Light", _simple(figures, "si_mse", "Light and shade differ by {value} (scale-invariant squared error){floor}."))
    yield Statement("Colour", _simple(figures, "delta_e", "Skin differs by {value} (CIEDE2000, mean over its pixels){floor}."))


def _simple(figures: dict[str, Any], name: str, words: str) -> str:
    spec, figure = figure_spec(name), figures.get(name)
    value = value_of(figure)
    if figure is None or value is None:
        return ""
    unit, factor = ("%", 100) if spec.unit == "inter-ocular" else (spec.unit, 1)  # as a share of that distance
    floor = value_of({"value": figure.get("floor")})
    beside = "" if floor is None else f"; merely re-encoded originals: {number(factor * floor, unit)}"
    return words.format(value=number(factor * value, unit), floor=beside, n=count(figure.get("n"), "picture"))


def _spread(figure: dict[str, Any], unit: str) -> str:
    if figure.get("low") is None:
        return "no interval"
    return f"95 % interval {interval(figure.get('low'), figure.get('high'), unit, value_of(figure))}"


def _fairness(evaluation: dict[str, Any]) -> Iterator[Statement]:
    """The widest gaps that are more than chance: the group's interval leaves out the value of all faces. The guide's do not count."""
    figures, groupings = evaluation.get("figures") or {}, evaluation.get("groups") or {}
    gaps = [
        (entry["ratio"], f"{spec.label} is {_of_group(spec, groupings[grouping][entry['group']])} for “{entry['group']}”")
        for grouping, worst in (evaluation.get("worst_ratio") or {}).items()
        for name, entry in worst.items()
        if entry["apart"] and entry["ratio"] > UNEQUAL and (spec := spec_of(name)) is not None and not name.endswith(f"_{GUIDE}")
    ]
    if gaps:
        listed = "; ".join(f"{words} ({ratio:.2f} times as bad as for all)" for ratio, words in sorted(gaps, reverse=True)[:3])
        yield Statement(
            "Groups", f"Not as good for everyone: {listed}. Groups that fare more than {UNEQUAL:g} times as badly: {len(gaps)}."
        )
    elif figures and groupings:
        yield Statement("Groups", f"No group fares more than {UNEQUAL:g} times as badly as all faces, beyond what its interval explains.")


def _of_group(spec: FigureSpec, group: dict[str, Any]) -> str:
    return number(value_of(group["figures"][spec.name]), spec.unit)


def _left_out(evaluation: dict[str, Any]) -> Iterator[Statement]:
    counts, problems = evaluation.get("counts") or {}, evaluation.get("problems") or {}
    undetected = int(counts.get("undetected") or 0)
    total = sum(problem_entry(entry)[0] for entry in problems.values())
    if undetected:
        faces = count(undetected, "face")
        words = f"{faces} of {int(counts.get('faces') or 0):,} could not be found on the anonymized picture; they count as such."
        yield Statement("Not found", words)
    unmeasured = [
        f"{count(counts[key], 'face')} {why}"
        for key, why in (("kept", "kept by consent"), ("without_landmarks", "without landmarks to measure by"))
        if counts.get(key)
    ]
    if unmeasured:
        yield Statement("Not measured", f"{' and '.join(unmeasured)} took no part.")
    if total:
        yield Statement("Problems", f"{count(total, 'picture')} could not be compared as they should: see Problems.")
    withheld = [label_of(name) for name, figure in (evaluation.get("figures") or {}).items() if figure.get("withheld")]
    if withheld:
        yield Statement(
            "Withheld", f"{count(len(withheld), 'figure')} could not be given, among them {', '.join(withheld[:3])}; the tables say why."
        )
