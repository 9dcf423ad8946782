"""Who searches for whom: the same photograph or another one, in clear or anonymized galleries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from fo_faceanon.attacks.rates import Search
from fo_faceanon.judging.scores import same_person


def same_photo(probes: np.ndarray, originals: np.ndarray, people: Sequence[str], thresholds: Mapping[float, float]) -> Search:
    """The attacker holds the very originals: each probe is to be matched with its own.

    Other photographs of the same person are ignored.

    Args:
        probes: ``N x D`` unit vectors of the anonymized faces, NaN where there is none.
        originals: ``N x D`` of the originals, in the same order.
        people: who is on each; where nobody knows, one name per photograph.
        thresholds: by false-accept rate.
    """
    own = np.eye(len(probes), dtype=bool)
    return Search(cosines(probes, originals), own, same_person(people, people) & ~own, people, thresholds)


def across_photos(
    probes: np.ndarray,
    gallery: np.ndarray,
    people: Sequence[str],
    thresholds: Mapping[float, float],
    *,
    more: np.ndarray | None = None,
    more_people: Sequence[str] = (),
) -> Search:
    """The attacker holds other photographs: each probe is to be matched with them, its own original left out.

    With originals as the gallery this is the attack; with anonymized faces as both, linkability; with originals as probes and
    anonymized faces as the gallery, somebody who looks for a known person in the data.

    Args:
        probes: ``N x D`` unit vectors.
        gallery: ``N x D``, in the same order.
        people: who is on each.
        thresholds: by false-accept rate.
        more: ``M x D``: further pictures that the attacker holds.
        more_people: who is on these.
    """
    scores, same = cosines(probes, gallery), same_person(people, people)
    ignored = np.eye(len(probes), dtype=bool)
    if more is not None and len(more):
        scores = np.concatenate([scores, cosines(probes, more)], 1)
        same = np.concatenate([same, same_person(people, more_people)], 1)
        ignored = np.concatenate([ignored, np.zeros((len(probes), len(more)), bool)], 1)
    return Search(scores, same, ignored, people, thresholds)


def impostors(search: Search, gallery: Sequence[str]) -> Search:
    """The same search with each probe taken for the next person (by name): what a wrong person's face reaches.

    Args:
        search: the probes' own search, whose mates are ignored here.
        gallery: who is on each picture of its gallery.
    """
    names = sorted(set(search.people))
    following = dict(zip(names, names[1:] + names[:1], strict=True))
    wanted = same_person([following[name] for name in search.people], gallery)
    return Search(search.scores, wanted, search.ignored | (search.same & ~wanted), search.people, search.thresholds)


def rows_of(search: Search, rows: np.ndarray, thresholds: Mapping[float, float]) -> Search:
    """The search for some of the probes, at other thresholds."""
    people = [search.people[i] for i in rows]
    return Search(search.scores[rows], search.same[rows], search.ignored[rows], people, thresholds)


def cosines(probes: np.ndarray, gallery: np.ndarray) -> np.ndarray:
    """``P x G`` inner products; NaN where either has no vector."""
    return probes @ gallery.T
