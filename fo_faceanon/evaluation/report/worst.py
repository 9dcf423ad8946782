"""The faces to look at first: names and values always, their pictures only where somebody asked for them."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from fo_faceanon.errors import InputError
from fo_faceanon.evaluation.figures import FigureSpec
from fo_faceanon.evaluation.report.html import Html, el, scrolling
from fo_faceanon.evaluation.report.tables import worst_table
from fo_faceanon.evaluation.report.values import count, number, spec_of
from fo_faceanon.images import decode_image, encode_image

#: Longer side of an embedded picture, in pixels, and its JPEG quality.
_SIDE, _QUALITY = 200, 80


@dataclass(frozen=True, slots=True)
class PicturePair:
    """Original beside anonymized, one face that fared badly.

    ``figure``: in which figure. ``key``, ``number``, ``value``: as in the evaluation's ``worst``. ``original``, ``anonymized``:
    ``H x W x 3`` uint8.
    """

    figure: str
    key: str
    number: int
    value: float
    original: np.ndarray
    anonymized: np.ndarray


def worst_pictures(evaluation: dict[str, Any], find: Callable[[str], tuple[str | Path, str | Path] | None], most: int) -> list[PicturePair]:
    """The pictures of the worst faces, cut around the face where the entry says where it is.

    Args:
        evaluation: as :func:`write_report` takes it; entries of ``worst`` may hold a ``box`` (x0, y0, x1, y1 in pixels).
        find: gives original and anonymized file of a key, or None where they are gone.
        most: how many faces per figure.
    """
    pairs = []
    for figure, entries in (evaluation.get("worst") or {}).items():
        for entry in entries[: max(most, 0)]:
            files = find(entry["key"])
            pictures = _read(files, entry.get("box")) if files is not None else None
            if pictures is not None:
                pairs.append(PicturePair(figure, entry["key"], entry["number"], entry["value"], *pictures))
    return pairs


def worst_section(worst: dict[str, list[dict[str, Any]]], pictures: Iterable[PicturePair]) -> Html:
    """Tables of the worst faces by figure, folded; with their pictures above where there are any."""
    shown = list(pictures)
    parts = []
    for figure, entries in worst.items():
        spec = spec_of(figure)
        if spec is None or not entries:
            continue
        own = [pair for pair in shown if pair.figure == figure]
        gallery = el("div", [_pair(pair, spec) for pair in own], cls="pairs") if own else None
        title = el("summary", f"{spec.label}: from {number(entries[0].get('value'), spec.unit)}")
        parts.append(el("details", title, gallery, scrolling(worst_table(entries, spec), spec.label), open=bool(own)))
    return el("div", parts or el("p", "None listed.", cls="soft"))


def originals_notice(pictures: list[PicturePair]) -> Html | None:
    """The warning that belongs on top of a page with pictures of people."""
    if not pictures:
        return None
    contained = f"This file contains {count(len(pictures), 'picture')} of original, identifiable people."
    words = f"{contained} Handle it like the originals: do not pass it on with the anonymized pictures."
    return el("p", el("strong", "Contains originals. "), words, role="note", cls="alarm")


def _pair(pair: PicturePair, spec: FigureSpec) -> Html:
    where = f"{pair.key}, face {pair.number}"
    images = [
        el("span", el("img", src=_embedded(picture), alt=f"{kind}: {where}"), el("small", kind), cls="shot")
        for kind, picture in (("original", pair.original), ("anonymized", pair.anonymized))
    ]
    return el("figure", images, el("figcaption", where, el("small", f"{spec.label} {number(pair.value, spec.unit)}")), cls="pair")


def _embedded(picture: np.ndarray) -> str:
    ratio = min(_SIDE / max(picture.shape[:2]), 1.0)
    size = (max(round(picture.shape[1] * ratio), 1), max(round(picture.shape[0] * ratio), 1))
    small = np.ascontiguousarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA))
    return "data:image/jpeg;base64," + base64.b64encode(encode_image(small, format="JPEG", quality=_QUALITY)).decode()


def _read(files: tuple[str | Path, str | Path], box: Any) -> tuple[np.ndarray, np.ndarray] | None:
    try:
        first, second = (decode_image(file).pixels for file in files)
    except InputError:  # moved since it was measured
        return None
    return (_around(first, box), _around(second, box)) if box is not None and first.shape == second.shape else (first, second)


def _around(picture: np.ndarray, box: Any) -> np.ndarray:
    """A square of twice the face's size, as far as the picture reaches."""
    x0, y0, x1, y1 = (float(value) for value in box)
    half = max(x1 - x0, y1 - y0, 8.0)
    left, top = max(round((x0 + x1) / 2 - half), 0), max(round((y0 + y1) / 2 - half), 0)
    cut = picture[top : round((y0 + y1) / 2 + half), left : round((x0 + x1) / 2 + half)]
    return cut if cut.size else picture
