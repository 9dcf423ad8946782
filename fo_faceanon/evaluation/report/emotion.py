"""Which emotion became which, and how far the network that says so can be trusted."""

from __future__ import annotations

from typing import Any

from fo_faceanon.evaluation.report.html import Html, el, scrolling
from fo_faceanon.evaluation.report.values import count, number


def emotion_section(emotion: dict[str, Any]) -> Html:
    """The confusion matrix in shares of each row, counts beneath, and the classifier's own accuracy.

    Args:
        emotion: ``names`` (K), ``confusion`` (``K x K`` counts: original by anonymized) and ``accuracy`` of the classifier.
    """
    names, confusion = emotion.get("names") or [], emotion.get("confusion") or []
    if not names or not any(sum(row) for row in confusion):
        return el("p", "Emotions were not measured: ", emotion.get("withheld") or "no face was found on both pictures.", cls="soft")
    total = sum(sum(row) for row in confusion)
    head = el(
        "tr",
        el("th", "original ↓ anonymized →", scope="col"),
        [el("th", name, scope="col", cls="num") for name in names],
        el("th", "faces", scope="col", cls="num"),
    )
    rows = [_row(index, name, row) for index, (name, row) in enumerate(zip(names, confusion, strict=False))]
    table = el(
        "table",
        el("caption", f"Most probable emotion before and after, {count(total, 'face')}; rows add up to 100 %"),
        el("thead", head),
        el("tbody", rows),
        cls="confusion",
    )
    return el("div", scrolling(table, "Emotions before and after"), _accuracy(emotion.get("accuracy")))


def _row(index: int, name: str, row: list[int]) -> Html:
    total = sum(row)
    cells = []
    for column, value in enumerate(row):
        share = value / total if total else 0.0
        shade = "kept" if column == index else "changed"
        cells.append(
            el(
                "td",
                f"{100 * share:.0f}" if value else "·",
                el("small", f"{value:,}") if value else None,
                style=f"--share:{100 * share:.0f}%",
                cls=f"num {shade}",
            )
        )
    return el("tr", el("th", name, scope="row"), cells, el("td", f"{total:,}", cls="num soft"))


def _accuracy(accuracy: Any) -> Html:
    """The classifier's own figures: one share, or several by name; whatever else the model card says as it stands."""
    if accuracy is None:
        return el("p", "How often this network itself is right is not known here: agreement says nothing without it.", cls="warn")
    if isinstance(accuracy, (int, float)):
        said = f"On labelled faces, the network itself is right {_share(accuracy)} of the time."
    elif isinstance(accuracy, dict):
        parts = [f"{key.replace('_', ' ')}: {_share(v)}" for key, v in accuracy.items() if not isinstance(v, (dict, list))]
        said = f"The network's own accuracy on labelled faces: {'; '.join(parts)}."
    else:
        said = f"The network's own accuracy: {accuracy}"
    return el(
        "p",
        said,
        " A change of label may be the network's mistake as well as the anonymizer's; the noise floor of ",
        el("em", "emotion kept"),
        " says how often.",
    )


def _share(value: Any) -> str:
    """A fraction in per cent; anything else as it stands."""
    return number(100 * value, "%") if isinstance(value, float) and 0 <= value <= 1 else str(value)
