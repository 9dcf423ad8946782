"""How to read the report, and what it does not promise."""

from __future__ import annotations

from fo_faceanon.evaluation.figures import DIMENSIONS, FIGURES
from fo_faceanon.evaluation.report.html import Html, el

_TERMS = (
    (
        "Value",
        "The mean over the faces that could be measured, or a share of them. Figures of whole sets (FID, KID) have one value per set.",
    ),
    (
        "95 % interval",
        "Had other pictures of the same kind been measured, the value would lie in here about 19 times out of 20 (bootstrap over "
        "pictures).",
    ),
    (
        "Noise floor",
        "The same figure for the originals, merely saved again as JPEG. No anonymizer can do better, and a difference smaller than "
        "this says nothing. For figures of identity it is the other end: how alike a face is to itself.",
    ),
    (
        "Measured, missing",
        "On how many faces or pictures the value stands, and how many should have counted but could not be measured. Missing ones are "
        "never dropped silently.",
    ),
    ("Withheld", "Too few faces, or a network that is not installed here. A number that nothing stands on is not shown."),
    (
        "Threshold",
        "The cosine that one pair of strangers in a thousand exceeds. A face is called re-identified by a recogniser where its cosine "
        "with its own original lies above. Two strangers pass this test now and then as well: about 0.1 % is what chance gives.",
    ),
    (
        "Strangers",
        "Anonymized faces compared with the originals of other people. A perfect anonymizer makes its own originals look like "
        "strangers too.",
    ),
    (
        "Worst group",
        "The group whose value is worst, as a multiple of the value over all faces (for shares that should be high: of what is lacking). "
        "Small groups have wide intervals: read the two together.",
    ),
    (
        "FID, KID, Fréchet distances",
        "Distances between two sets of pictures as a network sees them. FID and its like are too large with few pictures (thousands are "
        "customary): compare them only between sets of the same size. KID has no such bias.",
    ),
    ("Groups", "Of the original face, as networks and colour measurements estimate them. They are no statement about any person."),
    (
        "Radar plot",
        "Each dimension's figures, brought onto one scale: 1 is as good as re-encoding, 0 a fixed bad value. The scale is ours; "
        "compare plots of this report only with each other.",
    ),
)
_LIMITS = (
    "The figures say what these networks saw on these pictures. Other networks, better ones, and people who know the person may see more.",
    "A face that no recogniser here recognises may still be given away by what is not a face: clothes, place, caption, company, a tattoo.",
    "Comparing an anonymized picture with its own original is one attack of many. Other photographs of the same person, and attackers "
    "trained on anonymized faces, are tested by the attack report.",
    "Whether a data set may be shared is a legal question. No figure here answers it.",
)


def reading_section() -> Html:
    """Terms, limits, and every figure in a sentence."""
    terms = el("dl", [[el("dt", term), el("dd", words)] for term, words in _TERMS])
    limits = el("ul", [el("li", words) for words in _LIMITS])
    figures = [
        el("div", el("h4", name.capitalize()), el("dl", [[el("dt", s.label), el("dd", s.what)] for s in FIGURES if s.dimension == name]))
        for name in DIMENSIONS
    ]
    every = el("details", el("summary", "Every figure in a sentence"), figures)
    return el("div", terms, el("h3", "What this report does not promise"), limits, every)
