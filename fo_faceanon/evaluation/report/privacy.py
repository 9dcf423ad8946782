"""One row per recogniser: how alike, how often taken for the same person, beside what strangers reach."""

from __future__ import annotations

from typing import Any

from fo_faceanon.evaluation.figures import RECOGNISERS, figure_spec
from fo_faceanon.evaluation.report.html import Html, el
from fo_faceanon.evaluation.report.summary import GUIDE
from fo_faceanon.evaluation.report.values import NOTHING, interval, number, value_of

_COLUMNS = {
    "reidentified": "Re-identified",
    "rank1": "Rank-1, same photo",
    "cosine": "Cosine to the original",
    "impostor": "Cosine of strangers",
}


def privacy_matrix(figures: dict[str, Any]) -> Html:
    """The recognisers' figures side by side; roles as in :func:`~fo_faceanon.evaluation.report.tables.dimension_table`."""
    titles = ["Recogniser", *_COLUMNS.values(), "Faces"]
    head = el("tr", [el("th", t, scope="col", role="columnheader", cls="num" if i else None) for i, t in enumerate(titles)], role="row")
    rows = [_row(name, name.replace("-", "_"), figures) for name in RECOGNISERS]
    caption = el("caption", "Privacy by recogniser", cls="hidden")
    return el("table", caption, el("thead", head, role="rowgroup"), el("tbody", rows, role="rowgroup"), cls="figures", role="table")


def _row(name: str, key: str, figures: dict[str, Any]) -> Html:
    found = {column: figures.get(f"{column}_{key}") or {} for column in _COLUMNS}
    note = "guides the choice of donors: shown, decides nothing" if name == GUIDE else None
    title = el("th", el("span", name, cls="name"), el("small", note) if note else None, scope="row", role="rowheader")
    if all(value_of(figure) is None for figure in found.values()):
        why = next((figure["withheld"] for figure in found.values() if figure.get("withheld")), "not part of this evaluation")
        return el("tr", title, el("td", el("em", "withheld: "), why, colspan=len(_COLUMNS) + 1, role="cell", cls="withheld"), role="row")
    cells = [el("td", _cell(column, key, figure), role="cell", cls="num", data_label=_COLUMNS[column]) for column, figure in found.items()]
    faces = max(int(figure.get("n") or 0) for figure in found.values())
    return el("tr", title, cells, el("td", f"{faces:,}", role="cell", cls="num", data_label="Faces"), role="row")


def _cell(column: str, key: str, figure: dict[str, Any]) -> list[Html | str]:
    value, unit = value_of(figure), figure_spec(f"{column}_{key}").unit
    if value is None:
        return [el("span", "withheld", title=figure.get("withheld"), cls="soft")]
    spread = interval(figure.get("low"), figure.get("high"), unit, value)
    return [el("strong", number(value, unit)), el("small", spread) if spread != NOTHING else ""]
