"""The page: one HTML file that asks the network for nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fo_faceanon.evaluation.figures import DIMENSIONS, FIGURES
from fo_faceanon.evaluation.report.attack import attack_section, attack_verdict
from fo_faceanon.evaluation.report.emotion import emotion_section
from fo_faceanon.evaluation.report.groups import grouping_section
from fo_faceanon.evaluation.report.histogram import histogram, histogram_legend
from fo_faceanon.evaluation.report.html import Html, el, join
from fo_faceanon.evaluation.report.privacy import privacy_matrix
from fo_faceanon.evaluation.report.radar import radar_chart, radar_table
from fo_faceanon.evaluation.report.reading import reading_section
from fo_faceanon.evaluation.report.style import CSS
from fo_faceanon.evaluation.report.summary import Statement, headlines, statements, worst_recogniser
from fo_faceanon.evaluation.report.tables import dimension_table, judges_table, problems_table
from fo_faceanon.evaluation.report.values import count
from fo_faceanon.evaluation.report.worst import PicturePair, originals_notice, worst_section

#: Even a browser that misread the page would fetch nothing.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
_NOT_A_PROOF = (
    "These are measurements by the networks named below on the pictures given. They do not prove that nobody can be recognised, "
    "and they are no legal assessment."
)


def render_report(evaluation: dict[str, Any], pictures: Sequence[PicturePair] | None = None, attack: dict[str, Any] | None = None) -> str:
    """The page as text; arguments as of :func:`~fo_faceanon.evaluation.report.write_report`."""
    shown = list(pictures or ())
    sections = _sections(evaluation, shown, attack)
    title = "Evaluation of anonymized faces"
    head = el(
        "head",
        el("meta", charset="utf-8"),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        el("meta", name="referrer", content="no-referrer"),
        el("title", title),
        el("style", Html(CSS)),
    )
    body = el(
        "body", _header(title, evaluation, shown, sections), el("main", [_section(*section) for section in sections]), _footer(evaluation)
    )
    return "<!doctype html>\n" + el("html", head, body, lang="en") + "\n"


def _header(title: str, evaluation: dict[str, Any], pictures: list[PicturePair], sections: list[tuple[str, str, Html]]) -> Html:
    counts = evaluation.get("counts") or {}
    said = f"{count(counts.get('measured'), 'picture')} compared, {count(counts.get('faces'), 'face')}"
    names = [_last_part(evaluation.get(key)) or f"{key} pictures" for key in ("anonymized", "original")]
    compared = [el("strong", names[0]), " against ", el("strong", names[1])]
    made = el(
        "p", compared, el("br"), f"{said}. {evaluation.get('created') or ''}, fo-faceanon {evaluation.get('version') or ''}", cls="meta"
    )
    tiles = el(
        "ul", [el("li", el("small", h.label), el("strong", h.value), el("small", h.note)) for h in headlines(evaluation)], cls="tiles"
    )
    links = el("nav", el("ul", [el("li", el("a", name, href=f"#{key}")) for key, name, _ in sections]), aria_label="Sections")
    return el("header", el("h1", title), made, originals_notice(pictures), tiles, links)


def _last_part(path: object) -> str:
    """A folder's own name: where it lies is nobody's business."""
    return str(path or "").rstrip("/\\").replace("\\", "/").rpartition("/")[2]


def _sections(evaluation: dict[str, Any], pictures: list[PicturePair], attack: dict[str, Any] | None) -> list[tuple[str, str, Html]]:
    """Anchor, title and content of everything that there is something to say about."""
    figures = evaluation.get("figures") or {}
    found: list[tuple[str, str, Html | None]] = [
        ("summary", "In short", _summary(evaluation, attack)),
        ("overview", "At a glance", _radar(evaluation.get("radar") or {})),
        ("figures", "All figures", _figures(figures)),
        ("distributions", "Distributions", _distributions(evaluation.get("distributions") or {})),
        ("groups", "By group", _groups(evaluation)),
        ("emotions", "Emotions", emotion_section(evaluation["emotion"]) if evaluation.get("emotion") else None),
        ("worst", "Faces to look at", worst_section(evaluation["worst"], pictures) if evaluation.get("worst") else None),
        ("problems", "Problems", _problems(evaluation)),
        ("judges", "Judges and licences", judges_table(evaluation["judges"]) if evaluation.get("judges") else None),
        ("attack", "Attacks", attack_section(attack) if attack else None),
        ("reading", "How to read this", reading_section()),
    ]
    return [(key, title, content) for key, title, content in found if content is not None]


def _section(key: str, title: str, content: Html) -> Html:
    return el("section", el("h2", title, id=f"{key}-title"), content, id=key, aria_labelledby=f"{key}-title")


def _summary(evaluation: dict[str, Any], attack: dict[str, Any] | None) -> Html:
    first = [Statement("Attacks", attack_verdict(attack))] if attack else []
    said = el("dl", [[el("dt", s.topic), el("dd", s.words)] for s in (*first, *statements(evaluation))], cls="said")
    return join([said, el("p", _NOT_A_PROOF, cls="caveat")])


def _radar(radar: dict[str, Any]) -> Html | None:
    if not radar:
        return None
    return el("div", el("figure", radar_chart(radar), cls="panel"), el("div", radar_table(radar), cls="scroll"), cls="two")


def _figures(figures: dict[str, Any]) -> Html:
    return join([[el("h3", name.capitalize()), _dimension(name, figures)] for name in DIMENSIONS])


def _dimension(name: str, figures: dict[str, Any]) -> list[Html]:
    """Privacy has four figures for each of six recognisers: these are folded behind one row for each."""
    table = dimension_table(name, figures)
    if name != "privacy":
        return [table]
    return [privacy_matrix(figures), el("details", el("summary", "All privacy figures with noise floor and missing faces"), table)]


def _distributions(distributions: dict[str, Any]) -> Html | None:
    if not distributions:
        return None
    return join([histogram_legend(), el("div", [histogram(name, entry) for name, entry in distributions.items()], cls="grid")])


def _groups(evaluation: dict[str, Any]) -> Html | None:
    groups, figures, worst = (evaluation.get(key) or {} for key in ("groups", "figures", "worst_ratio"))
    if not groups:
        return None
    note = (
        "Groups of the original face, as estimated by networks and from its colour. Bars are 95 % intervals, the dashed line is the "
        "value of all faces. Of the recognisers, the worst judge is drawn; the tables hold all."
    )
    drawn = _drawn(figures)
    sections = [
        grouping_section(name.replace("_", " ").capitalize(), entry, figures, worst.get(name, {}), drawn) for name, entry in groups.items()
    ]
    return join([el("p", note, cls="soft"), sections])


def _drawn(figures: dict[str, Any]) -> set[str]:
    """What gets a panel: of the recognisers' figures, those of the worst judge."""
    worst = worst_recogniser(figures)
    judged = {f"reidentified_{worst}", f"cosine_{worst}"} if worst else set()
    return {spec.name for spec in FIGURES if spec.dimension != "privacy"} | judged


def _problems(evaluation: dict[str, Any]) -> Html:
    counts = el(
        "p",
        "; ".join(
            f"{key.replace('_', ' ')}: {value:,}" for key, value in (evaluation.get("counts") or {}).items() if isinstance(value, int)
        ),
    )
    problems = evaluation.get("problems") or {}
    return join([counts, problems_table(problems) if problems else el("p", "None: every picture could be compared.", cls="soft")])


def _footer(evaluation: dict[str, Any]) -> Html:
    seconds = evaluation.get("seconds")
    took = f" Measured in {seconds:,.0f} s." if isinstance(seconds, (int, float)) else ""
    note = "This page names picture files; look at the names before you pass it on."
    return el("footer", el("p", f"Made by fo-faceanon {evaluation.get('version') or ''}.{took} {note}"))
