"""One attack by one recogniser on one kind of pictures, and its rates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from fo_faceanon.attacks.calibration import Calibration
from fo_faceanon.attacks.folds import fold_numbers
from fo_faceanon.attacks.names import ACROSS, HERE, IMPOSTORS, ITSELF, LINKED, OWN, SOUGHT, TOGETHER
from fo_faceanon.attacks.protocols import across_photos, impostors, rows_of, same_photo
from fo_faceanon.attacks.rates import Rate, Search, standardised, summarise
from fo_faceanon.recognition.recognisers import recogniser_spec

#: A judge guided no method and decides; the guide chose donors and is only shown; ``all`` is all judges taken together.
Role = Literal["judge", "guide", "all"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """The rates of one attack.

    Args:
        attack: what was searched where.
        pictures: what was attacked: the anonymized faces, or a control.
        recogniser: by whom.
        role: whether it decides.
        thresholds: what they were set on.
        rates: by name; see `rates.summarise`.
    """

    attack: str
    pictures: str
    recogniser: str
    role: Role
    thresholds: str
    rates: dict[str, Rate]

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        names = {"attack": self.attack, "pictures": self.pictures, "recogniser": self.recogniser, "role": self.role}
        return {**names, "thresholds": self.thresholds, "rates": {name: rate.to_dict() for name, rate in self.rates.items()}}


@dataclass(slots=True)
class Gallery:
    """What the attacker holds: the originals of all faces in order, who is on them, and further pictures.

    ``people`` has a name of its own for each unknown person; ``known`` says whether any is known, so that attacks across
    photographs make sense. ``calibrations`` by recogniser: the package's own, and by part of the people.
    """

    originals: dict[str, np.ndarray]
    people: list[str]
    known: bool
    more: dict[str, np.ndarray]
    more_people: list[str]
    own: dict[str, Calibration]
    here: dict[str, list[Calibration]]


def role_of(recogniser: str) -> Role:
    """Whether a recogniser decides."""
    return "guide" if recogniser_spec(recogniser).guide_allowed else "judge"


def attack_all(
    gallery: Gallery, probes: Mapping[str, np.ndarray], rows: np.ndarray, pictures: str, names: tuple[str, str]
) -> list[Outcome]:
    """Every recogniser, and all judges together, on the same photographs and, where people are known, on others.

    Args:
        gallery: what the attacker holds.
        probes: per recogniser ``len(rows) x D`` vectors of the faces under attack.
        rows: which faces of the gallery they are.
        pictures: what they are.
        names: of the attack on the same photographs, and of that across photographs.
    """
    outcomes = []
    for name, make in ((names[0], same_search), (names[1], across_search)):
        if name == names[1] and not gallery.known:
            continue
        searches = {r: make(gallery, r, probes[r], rows) for r in probes}
        for recogniser, search in searches.items():
            outcomes.append(Outcome(name, pictures, recogniser, role_of(recogniser), OWN, summarise([search])))
        outcomes += together(name, pictures, searches)
    return outcomes


def same_search(gallery: Gallery, recogniser: str, probes: np.ndarray, rows: np.ndarray) -> Search:
    """Probes against all originals, their own among them."""
    whole = same_photo(_spread(probes, rows, len(gallery.people)), gallery.originals[recogniser], gallery.people, {})
    return rows_of(whole, rows, gallery.own[recogniser].thresholds)


def across_search(gallery: Gallery, recogniser: str, probes: np.ndarray, rows: np.ndarray) -> Search:
    """Probes against all originals but their own, and what else the attacker holds."""
    whole = across_photos(
        *(_spread(probes, rows, len(gallery.people)), gallery.originals[recogniser], gallery.people, {}),
        more=gallery.more.get(recogniser),
        more_people=gallery.more_people,
    )
    return rows_of(whole, rows, gallery.own[recogniser].thresholds)


def at_thresholds_here(gallery: Gallery, probes: Mapping[str, np.ndarray], pictures: str) -> Iterator[Outcome]:
    """Across photographs at thresholds from the originals themselves, each part of the people at the other parts'; all faces.

    Only where both rates' thresholds are known.
    """
    part = fold_numbers(gallery.people)
    for recogniser, vectors in probes.items():
        calibrations = gallery.here.get(recogniser, [])
        if not calibrations or not all(c.thresholds.keys() == {*gallery.own[recogniser].thresholds} for c in calibrations):
            continue
        whole = across_search(gallery, recogniser, vectors, np.arange(len(part)))
        searches = [rows_of(whole, np.flatnonzero(part == k), c.thresholds) for k, c in enumerate(calibrations)]
        yield Outcome(ACROSS, pictures, recogniser, role_of(recogniser), HERE, summarise(searches))


def among_themselves(gallery: Gallery, probes: Mapping[str, np.ndarray], rows: np.ndarray, pictures: str) -> Iterator[Outcome]:
    """Anonymized faces as the gallery: of a known person's clear photograph, and of another anonymized one of the same person."""
    people = [gallery.people[i] for i in rows]
    for recogniser, vectors in probes.items():
        clear = gallery.originals[recogniser][rows]
        for name, given in ((SOUGHT, clear), (LINKED, vectors)):
            search = across_photos(given, vectors, people, gallery.own[recogniser].thresholds)
            yield Outcome(name, pictures, recogniser, role_of(recogniser), OWN, summarise([search]))


def as_impostors(gallery: Gallery, probes: Mapping[str, np.ndarray]) -> Iterator[Outcome]:
    """Across photographs, every face taken for somebody else: what is found without any likeness."""
    for recogniser, vectors in probes.items():
        search = across_search(gallery, recogniser, vectors, np.arange(len(gallery.people)))
        wrong = impostors(search, [*gallery.people, *gallery.more_people])
        yield Outcome(ACROSS, IMPOSTORS, recogniser, role_of(recogniser), OWN, summarise([wrong]))


def together(attack: str, pictures: str, searches: Mapping[str, Search]) -> list[Outcome]:
    """All judges' scores added up in standard deviations of each one's impostor scores."""
    judges = [search for name, search in searches.items() if role_of(name) == "judge"]
    if len(judges) < 2:
        return []
    scores = np.mean([standardised(search) for search in judges], 0)
    first = judges[0]
    return [Outcome(attack, pictures, TOGETHER, "all", ITSELF, summarise([Search(scores, first.same, first.ignored, first.people)]))]


def named(people: Sequence[str | None], keys: Sequence[str], numbers: Sequence[int]) -> list[str]:
    """Who is on each face: the given name, or one of its own (which no folder can have) for a person whom nobody named."""
    return [name or f"\0{key}#{number}" for name, key, number in zip(people, keys, numbers, strict=True)]


def _spread(vectors: np.ndarray, rows: np.ndarray, n: int) -> np.ndarray:
    """``n x D`` with the vectors in their rows and NaN in the others."""
    spread = np.full((n, vectors.shape[1]), np.nan, np.float32)
    spread[rows] = vectors
    return spread
