"""The report: it says everything, asks the network for nothing, escapes what it did not write, and keeps originals out."""

from __future__ import annotations

import html
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from evaluation_sample import GROUPS, WITHHELD, figure, ratios, sample_attack, sample_evaluation

from fo_faceanon.errors import InputError, OutputError
from fo_faceanon.evaluation.figures import DIMENSIONS, FIGURES
from fo_faceanon.evaluation.report import (
    PicturePair,
    load_report_json,
    render_report,
    statements,
    worst_pictures,
    write_json,
    write_report,
)
from fo_faceanon.evaluation.report.html import Html, el
from fo_faceanon.evaluation.report.summary import worst_recogniser
from fo_faceanon.evaluation.report.svg import scale, ticks
from fo_faceanon.evaluation.report.tables import problem_entry
from fo_faceanon.evaluation.report.values import NOTHING, count, interval, number
from fo_faceanon.images import encode_image

VOID = {"meta", "img", "br"}


class Outline(HTMLParser):
    """Collects text, and notices elements that are not closed in order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open[-1] == tag, f"</{tag}> closes {self.open[-3:]}"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def ids(self) -> list[str]:
        return [attributes["id"] or "" for _, attributes in self.tags if "id" in attributes]


@pytest.fixture(scope="module")
def page() -> str:
    return render_report(sample_evaluation())


@pytest.fixture(scope="module")
def outline(page: str) -> Outline:
    return Outline(page)


def test_the_page_is_well_formed_and_its_links_lead_somewhere(outline: Outline) -> None:
    assert outline.open == [] and len(set(outline.ids())) == len(outline.ids())
    links = [attributes["href"] for tag, attributes in outline.tags if tag == "a"]
    assert links and {str(link)[1:] for link in links} <= set(outline.ids())


def test_every_figure_dimension_and_group_is_on_the_page(outline: Outline) -> None:
    wanted = [spec.label for spec in FIGURES] + [name.capitalize() for name in DIMENSIONS] + [g for names in GROUPS.values() for g in names]
    assert [label for label in wanted if label not in outline.text] == []


def test_it_asks_the_network_for_nothing(page: str, outline: Outline) -> None:
    assert not re.search(r"https?:|//[a-z]|url\(|@import|<script|<link|<iframe|<object", page)
    assert not [attributes for _, attributes in outline.tags if {"src", "srcset", "action", "onclick", "onload"} & attributes.keys()]
    policy = next(a["content"] for t, a in outline.tags if t == "meta" and a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None and policy.startswith("default-src 'none'")


def test_originals_are_only_there_when_asked_for(page: str) -> None:
    assert "base64" not in page and "<img" not in page and "Contains originals" not in page
    pixels = np.full((300, 200, 3), 90, np.uint8)
    pair = PicturePair("delta_e", "group/0000.jpg", 0, 14.0, pixels, pixels)
    shown = render_report(sample_evaluation(), [pair])
    assert shown.count("data:image/jpeg;base64,") == 2 and "Contains originals" in shown
    assert Outline(shown).open == []


def test_what_others_wrote_is_escaped() -> None:
    evil = "<script>alert('x')</script>\"'&.jpg"
    evaluation = sample_evaluation()
    evaluation.update(original=evil, anonymized=evil, version=evil, created=evil)
    evaluation["problems"] = {evil: [evil]}
    evaluation["judges"] = [{"name": evil, "licence": evil, "role": evil}]
    evaluation["worst"] = {"delta_e": [{"key": evil, "number": 0, "value": 1.0}]}
    evaluation["groups"] = {
        evil: {evil: {"n": 30, "figures": {"delta_e": figure(4.0)}}, "b": {"n": 3, "figures": {"delta_e": figure(None, withheld=evil)}}}
    }
    evaluation["worst_ratio"] = {evil: {"delta_e": {"group": evil, "ratio": 3.0, "apart": True}}}
    evaluation["figures"]["fid"] = figure(None, withheld=evil)
    evaluation["emotion"]["names"][0] = evil
    evaluation["radar"][evil] = {"score": 0.5, "from": [evil]}
    shown = render_report(evaluation, [PicturePair("delta_e", evil, 0, 1.0, *[np.zeros((9, 9, 3), np.uint8)] * 2)])
    assert "<script" not in shown.lower() and html.escape(evil) in shown
    outline = Outline(shown)
    assert outline.open == [] and "script" not in {tag for tag, _ in outline.tags}


def test_withheld_figures_say_why_and_show_no_number(outline: Outline) -> None:
    assert outline.text.count(f"withheld: {WITHHELD}") == 3
    assert "only 8 faces: fewer than 20" in outline.text


def test_a_page_of_nothing_is_still_a_page(tmp_path: Path) -> None:
    bare = Outline(render_report({"format": 1, "figures": {}, "counts": {}}))
    assert bare.open == [] and "No recogniser could judge" in bare.text and "not part of this evaluation" in bare.text
    withheld = {spec.name: figure(None, withheld="too few") for spec in FIGURES}
    assert "too few" in Outline(render_report({"format": 1, "figures": withheld, "groups": {"sex": {}}})).text


def test_the_attack_comes_last_and_its_verdict_first(outline: Outline) -> None:
    assert "Attacks" not in outline.text
    shown = Outline(render_report(sample_evaluation(), attack=sample_attack()))
    assert shown.open == [] and shown.text.count("not recognised: 0.4 % of 720 pairs") == 2
    assert shown.text.index("Attacks not recognised") < shown.text.index("Privacy The worst")
    for said in ("12 faces are too few", "no solid fill was measured", "Across photos", "0.1 to 0.9 %", "decides nothing", "x.jpg"):
        assert said in shown.text
    nothing = Outline(render_report(sample_evaluation(), attack={"verdict": {"level": None, "text": "undecided: too few"}}))
    assert nothing.open == [] and "undecided: too few" in nothing.text


def test_no_claim_of_anonymity_is_made(outline: Outline) -> None:
    assert not re.search(r"\b(is|are|fully|completely|guarantee\w*) anonymous|GDPR.compliant|\bsafe\b", outline.text)
    assert "do not prove that nobody can be recognised" in outline.text


def test_every_chart_says_in_words_what_it_shows(outline: Outline) -> None:
    charts = [attributes for tag, attributes in outline.tags if tag == "svg"]
    assert len(charts) > 20 and all(a.get("role") == "img" and len(a.get("aria-label") or "") > 20 for a in charts)
    tables = sum(tag == "table" for tag, _ in outline.tags)
    assert tables == sum(tag == "caption" for tag, _ in outline.tags)
    assert all(attributes.get("scope") for tag, attributes in outline.tags if tag == "th")


def test_the_worst_judge_decides_and_the_guide_never_does() -> None:
    figures = sample_evaluation()["figures"]
    assert worst_recogniser(figures) == "edgeface_s"
    figures["reidentified_dlib"] = figure(90.0)
    assert worst_recogniser(figures) == "edgeface_s"
    figures["reidentified_edgeface_s"] = figure(None, withheld="not here")
    figures["cosine_facenet_casia"] = figure(0.3)
    assert worst_recogniser(figures) == "facenet_casia"  # as many re-identified, but more alike
    words = " ".join(s.words for s in statements(sample_evaluation()))
    assert "worst of 5 recognisers (edgeface-s) takes 2.4 % of 583 faces" in words


def test_gaps_are_told_where_they_are_wide_and_more_than_chance() -> None:
    evaluation = sample_evaluation()

    def said(male: float, low: float, name: str = "delta_e") -> str:
        two = {"female": figure(4.62), "male": {**figure(male), "low": low}}
        evaluation["groups"] = {"sex": {group: {"n": 99, "figures": {name: entry}} for group, entry in two.items()}}
        evaluation["figures"][name] = figure(4.62)
        evaluation["worst_ratio"] = ratios(evaluation["groups"], evaluation["figures"])
        return next(s.words for s in statements(evaluation) if s.topic == "Groups")

    assert "dE2000, skin is 6.93 for “male” (1.50 times as bad as for all)" in said(6.93, 6.0)
    assert "No group fares" in said(5.5, 5.0)  # not wide
    assert "No group fares" in said(6.93, 4.0)  # its interval holds the value of all
    assert "No group fares" in said(6.93, 6.0, "cosine_dlib")  # the guide's


def test_panels_are_drawn_for_the_worst_judge_only(page: str) -> None:
    drawn = [a["aria-label"] or "" for t, a in Outline(page).tags if t == "svg" and "by group" in (a.get("aria-label") or "")]
    assert any(label.startswith("re-identified, edgeface-s by group") for label in drawn)
    evaluation = sample_evaluation()
    evaluation["figures"]["reidentified_dlib"] = figure(90.0)
    evaluation["figures"]["reidentified_facenet_casia"] = figure(50.0)
    assert "re-identified, edgeface-s by group" not in render_report(evaluation)


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [
        (0.0213, "", "0.0213"),
        (98.49, "%", "98.5 %"),
        (2.4, "degrees", "2.40°"),
        (1234.5, "", "1,234"),
        (5.312, "", "5.31"),
        (0.0, "", "0.0"),
        (0.0000123, "", "0.00001"),
    ],
)
def test_numbers(value: float, unit: str, shown: str) -> None:
    assert number(value, unit) == shown


def test_folders_are_called_by_their_own_name_only() -> None:
    evaluation = {**sample_evaluation(), "original": "/data/jane/photographs/", "anonymized": "D:\\jane\\out"}
    text = Outline(render_report(evaluation)).text
    assert "out against photographs" in text and "jane" not in text


def test_no_number_is_invented() -> None:
    assert number(None) == number(float("nan")) == interval(None, 1.0, "%") == NOTHING
    assert count(1, "face") == "1 face" and count(1200, "face") == "1,200 faces" and count(None, "face") == "0 faces"
    assert problem_entry(3) == (3, []) and problem_entry(["a"]) == (1, ["a"]) and problem_entry({"count": 9, "names": ["a"]}) == (9, ["a"])


def test_elements_escape_text_and_attributes() -> None:
    assert (
        el("p", "a < b", Html("<b>c</b>"), None, [1, "&"], cls='x"y', hidden=True, id=None)
        == '<p class="x&quot;y" hidden>a &lt; b<b>c</b>1&amp;</p>'
    )


def test_scales_and_ticks() -> None:
    place = scale(0.0, 2.0, 100, 200)
    assert [place(v) for v in (-1, 0, 1, 2, 9)] == [100, 100, 150, 200, 200]
    for low, high in ((0, 1), (-0.4, 1.0), (0, 0.0321), (57.3, 61.8), (0, 1234)):
        marks = ticks(low, high)
        assert 2 <= len(marks) <= 8 and low <= marks[0] and marks[-1] <= high + 1e-9
    assert ticks(3.0, 3.0) == [3.0]


def test_written_and_read_again(tmp_path: Path) -> None:
    evaluation = sample_evaluation()
    assert load_report_json(write_json(evaluation, tmp_path / "e.json")) == evaluation
    evaluation["worst"]["delta_e"][0]["key"] = "\udcff.jpg"  # a name that is no text
    assert write_report(evaluation, tmp_path / "r.html").read_text("utf-8").startswith("<!doctype html>")
    with pytest.raises(ValueError, match="JSON"):
        write_json({"format": 1, "x": float("nan")}, tmp_path / "nan.json")
    assert not (tmp_path / "nan.json").exists()
    (tmp_path / "other.json").write_text(json.dumps({"format": 7}))
    for name in ("other.json", "missing.json"):
        with pytest.raises(InputError, match=r"evaluation"):
            load_report_json(tmp_path / name)
    with pytest.raises(OutputError):
        write_report(evaluation, tmp_path / "e.json" / "r.html")


def test_pictures_of_the_worst_are_cut_around_the_face(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        (tmp_path / f"{name}.png").write_bytes(encode_image(rng.integers(0, 255, (120, 160, 3), dtype=np.uint8)))
    entries = [{"key": k, "number": 0, "value": 2.0, "box": [60, 40, 80, 60]} for k in ("one", "gone", "deleted")] + [
        {"key": "one", "number": 1, "value": 1.0}
    ]
    files = {"one": (tmp_path / "a.png", tmp_path / "b.png"), "deleted": (tmp_path / "a.png", tmp_path / "x.png")}
    found = worst_pictures({"worst": {"delta_e": entries}}, files.get, 9)
    assert [(p.key, p.number, p.original.shape) for p in found] == [("one", 0, (40, 40, 3)), ("one", 1, (120, 160, 3))]
    assert worst_pictures({"worst": {"delta_e": entries}}, files.get, 0) == []
