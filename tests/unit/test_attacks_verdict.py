"""The verdict's rules, on figures made up for each of them."""

from __future__ import annotations

import pytest

from fo_faceanon.attacks import names as n
from fo_faceanon.attacks.outcomes import Outcome, Role
from fo_faceanon.attacks.rates import Rate
from fo_faceanon.attacks.verdict import BOTH, SAME_ONLY, decide

NONE = Rate(None, 0, withheld="too few")


def outcome(
    tar: float | None,
    rank1: float | None = 0.01,
    attack: str = n.ACROSS,
    pictures: str = n.ANONYMIZED,
    name: str = "edgeface-s",
    role: Role = "judge",
    spread: float = 0.01,
    thresholds: str = n.OWN,
) -> Outcome:
    def rate(value: float | None, chance: float) -> Rate:
        if value is None:
            return NONE
        return Rate(value, 500, 50, max(value - spread, 0), min(value + spread, 1), chance, hits=value * 500)

    rates = {"tar@0.001": rate(tar, 1e-3), "tar@0.01": NONE, "rank1": rate(rank1, 0.01)}
    return Outcome(attack, pictures, name, role, thresholds, {**rates, "rank5": NONE, "rank10": NONE, "cosine": NONE, "impostor": NONE})


@pytest.mark.parametrize(
    ("tar", "fill", "level"),
    [
        (0.9, 0.01, "exposed"),
        (0.06, 0.0, "exposed"),  # above 5 %
        (0.03, 0.0, "exposed"),  # above 2 %, and twice a fill that is never found
        (0.015, 0.0, "borderline"),
        (0.008, 0.0, "not recognised"),
        (0.03, 0.025, "not recognised"),  # what is left around the face, within the fill's interval
        (0.04, 0.02, "borderline"),
        (0.06, 0.02, "exposed"),
        (0.10, 0.10, "not recognised"),
        (0.20, 0.10, "exposed"),
        (0.03, None, "exposed"),
        (0.008, None, "not recognised"),
    ],
)
def test_accepted_pairs(tar: float, fill: float | None, level: str) -> None:
    made = [outcome(tar)] + ([] if fill is None else [outcome(fill, pictures=n.FILL)])
    verdict = decide(made, 500)
    assert verdict.level == level and verdict.strength == BOTH
    assert verdict.text.startswith(f"{level}: ")


@pytest.mark.parametrize(
    ("rank1", "fill", "level"),
    [
        (0.30, 0.30, "not recognised"),
        (0.5, 0.30, "borderline"),
        (0.9, 0.30, "exposed"),
        (0.1, 0.0, "exposed"),
        (0.018, None, "not recognised"),
        (0.1, None, "exposed"),
    ],
)
def test_right_person_first(rank1: float, fill: float | None, level: str) -> None:
    made = [outcome(0.0, rank1)] + ([] if fill is None else [outcome(0.0, fill, pictures=n.FILL)])
    verdict = decide(made, 500)
    assert verdict.level == level and verdict.findings[0].metric == "rank1" and "guessing: 1.0 %" in verdict.text


def test_the_worst_attack_by_the_worst_judge_decides() -> None:
    quiet = [outcome(0.0), outcome(0.0, pictures=n.FILL), outcome(0.0, attack=n.SAME_PHOTO)]
    assert decide(quiet, 500).level == "not recognised"
    for attack in (n.SAME_PHOTO, n.ACROSS, n.PARROT, n.RESTORED_SAME, n.RESTORED_ACROSS):
        verdict = decide([*quiet, outcome(0.5, attack=attack, name="mobilefacenet")], 500)
        assert verdict.level == "exposed" and verdict.findings[0].attack == attack and "mobilefacenet" in verdict.text
    assert decide([*quiet, outcome(0.0, 0.9, attack=n.SOUGHT)], 500).level == "exposed"


def test_the_guide_and_linkability_never_decide() -> None:
    made = [
        outcome(0.0),
        outcome(0.9, name="dlib", role="guide"),
        outcome(0.9, 0.9, attack=n.LINKED),
        outcome(0.9, pictures=n.SHAPE_BEFORE),
    ]
    assert decide(made, 500).level == "not recognised"


def test_thresholds_on_own_impostors_are_compared_with_the_same() -> None:
    """All judges together, at a threshold of their own, find a fill far more often: that must not excuse single judges."""
    fills = [outcome(0.0, pictures=n.FILL), outcome(0.2, pictures=n.FILL, name=n.TOGETHER, role="all", thresholds=n.ITSELF)]
    made = [outcome(0.1), outcome(0.15, name=n.TOGETHER, role="all", thresholds=n.ITSELF)]
    verdict = decide([*made, *fills], 500)
    assert verdict.level == "exposed" and verdict.findings[0].recogniser == "edgeface-s"
    assert [f.level for f in verdict.findings if f.recogniser == n.TOGETHER and f.metric != "rank1"] == ["not recognised"]


def test_without_people_the_verdict_says_same_photo_only() -> None:
    verdict = decide([outcome(0.0, attack=n.SAME_PHOTO)], 500)
    assert (
        verdict.level == "not recognised" and verdict.strength == SAME_ONLY and verdict.text.startswith("not recognised (same photo only)")
    )
    assert any("across photographs could not be made" in note for note in verdict.notes)


def test_original_pixels_expose_whatever_the_rest_says() -> None:
    verdict = decide([outcome(0.0)], 500, unchanged=1)
    assert verdict.level == "exposed" and "1 of 500 faces" in verdict.text


def test_too_little_data_can_expose_but_never_acquit() -> None:
    few = outcome(None, None, attack=n.SAME_PHOTO)
    for hits, level in ((0.0, None), (1.0, None), (3.0, "exposed")):
        few.rates["tar@0.001"] = Rate(None, 6, 6, chance=1e-3, withheld="6 trials are too few", hits=hits)
        verdict = decide([few], 6)
        assert verdict.level == level, hits
    assert decide([], 3).level is None and "too few" in decide([], 3).text


def test_judges_that_do_not_know_the_originals_are_no_proof() -> None:
    verdict = decide([outcome(0.0), outcome(0.2, pictures=n.ORIGINALS)], 500)
    assert verdict.level == "not recognised" and any("hardly know the originals" in note for note in verdict.notes)
    assert verdict.to_dict()["findings"][0]["sentence"]
