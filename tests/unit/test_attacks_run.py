"""All attacks on synthetic evidence and on a few pictures of nobody; the command's options, output and exit codes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from fo_faceanon.attacks import names as n
from fo_faceanon.attacks import run
from fo_faceanon.attacks.run import attack_pairs, gallery_pairs
from fo_faceanon.cli import app
from fo_faceanon.errors import InputError
from fo_faceanon.judging.judged import JudgedFaces
from fo_faceanon.judging.pairs import Pair
from fo_faceanon.recognition import available_recognisers

DEMO = Path(run.__file__).parents[1] / "data" / "demo"


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


class Looks:
    """Stands in for the judge: recognisers whose anonymized vectors hold as much of the original's as is wanted."""

    def __init__(self, kept: float) -> None:
        self.kept = kept
        self.calls: list[dict[str, Any]] = []

    def __call__(self, pairs: list[Pair], names: list[str], *_: object, **more: Any) -> JudgedFaces:
        self.calls.append({"pairs": len(pairs), **more})
        rng = np.random.default_rng(1)
        people = [pair.person for pair in pairs]
        index = {name: i for i, name in enumerate(dict.fromkeys(p or pair.key for p, pair in zip(people, pairs, strict=True)))}
        centres = rng.normal(size=(len(index), 32))
        before = {
            name: unit(np.stack([centres[index[p.person or p.key]] for p in pairs]) + 0.5 * rng.normal(size=(len(pairs), 32)))
            for name in names
        }
        kept = 0.0 if more.get("change") else self.kept
        after = {name: unit(kept * before[name] + unit(rng.normal(size=(len(pairs), 32)))) for name in names}
        landmarks = rng.normal(size=(len(pairs), 68, 2)).astype(np.float32) * 20
        count = len(pairs)
        boxes, flags = np.zeros((count, 4)), np.ones(count, bool)
        keys = [pair.key for pair in pairs]
        return JudgedFaces(keys, np.zeros(count, int), people, boxes, np.ones(count), landmarks, landmarks, flags, ~flags, before, after)


def pairs(people: int, photos: int, known: bool = True) -> list[Pair]:
    names = [(f"p{i:02d}", k) for i in range(people) for k in range(photos)]
    return [Pair(f"{p}/{k}.png", Path(f"{p}/{k}.png"), Path("other"), p if known else None) for p, k in names]


def attacked(monkeypatch: pytest.MonkeyPatch, kept: float, made: list[Pair], **options: Any) -> run.AttackReport:
    monkeypatch.setattr(run, "judge_pairs", Looks(kept))
    monkeypatch.setattr(run._Attack, "_light", lambda self: None)
    options = {"recognisers": ["edgeface-s", "dlib"], "inversion": False, **options}
    return attack_pairs(made, device="cpu", workers=1, **options)


@pytest.mark.parametrize(("kept", "level"), [(0.0, "not recognised"), (3.0, "exposed")])
def test_all_of_it(monkeypatch: pytest.MonkeyPatch, kept: float, level: str) -> None:
    report = attacked(monkeypatch, kept, pairs(40, 3))
    assert report.verdict.level == level, report.verdict.text
    values = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    made = {(a["attack"], a["pictures"]) for a in values["attacks"]}
    assert {(n.SAME_PHOTO, n.ANONYMIZED), (n.ACROSS, n.FILL), (n.PARROT, n.ANONYMIZED), (n.PARROT, n.FILL)} <= made
    assert {(n.ACROSS, n.IMPOSTORS), (n.ACROSS, n.ORIGINALS), (n.LINKED, n.ANONYMIZED), (n.ACROSS, n.SHAPE_BEFORE)} <= made
    assert values["counts"]["people"] == 40 and values["counts"]["faces"] == 120
    assert {a["recogniser"]: a["role"] for a in values["attacks"]}["dlib"] == "guide"
    rates = [rate for a in values["attacks"] for rate in a["rates"].values()]
    assert all((rate["value"] is None) == bool(rate["withheld"]) for rate in rates)


def test_unknown_people_are_attacked_on_the_same_photograph_only(monkeypatch: pytest.MonkeyPatch) -> None:
    report = attacked(monkeypatch, 0.0, pairs(30, 1, known=False))
    assert {outcome.attack for outcome in report.outcomes} == {n.SAME_PHOTO} and report.verdict.strength == "same photo only"
    assert "not known" in report.withheld["across photos"] and report.withheld["parrot"] and "people" not in report.counts


def test_one_photograph_each_needs_a_gallery(monkeypatch: pytest.MonkeyPatch) -> None:
    once = pairs(30, 1)
    assert "none of 30 people" in attacked(monkeypatch, 0.0, once).withheld["across photos"]
    more = [Pair(f"other{i}", Path("x"), None, pair.person) for i, pair in enumerate(once)]
    report = attacked(monkeypatch, 3.0, once, gallery=more)
    assert report.verdict.strength == "same photo and across photos" and "people have several" not in report.withheld.get(
        "across photos", ""
    )
    assert "at least 40" in report.withheld["parrot"] and report.counts["gallery"] == 30


def test_whole_people_are_chosen_where_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    report = attacked(monkeypatch, 0.0, pairs(30, 3), limit=50, parrot=False)
    assert report.counts["attacked"] == 48 and report.counts["people"] == 16 and "48 of 90" in report.withheld["pictures"]


def test_one_person_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    report = attacked(monkeypatch, 3.0, pairs(1, 8))
    assert report.verdict.level == "exposed"
    assert report.verdict.findings[0].attack == n.SAME_PHOTO and "20 are needed" in (report.outcomes[0].rates["rank1"].withheld or "")


def test_controls_are_made_once_for_the_same_originals(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    looks = Looks(0.0)
    reports = []
    monkeypatch.setattr(run, "judge_pairs", looks)
    monkeypatch.setattr(run._Attack, "_light", lambda self: None)
    for made in (pairs(8, 3), pairs(8, 3), pairs(9, 3)):
        reports.append(attack_pairs(made, device="cpu", workers=1, recognisers=["edgeface-s", "dlib"], inversion=False, cache=tmp_path))
    assert [bool(call.get("change")) for call in looks.calls] == [False, True, False, False, True]
    one, two = ([o for o in report.outcomes if o.pictures == n.FILL] for report in reports[:2])
    assert [o.to_dict() for o in one] == [o.to_dict() for o in two]
    for path in tmp_path.iterdir():
        path.write_bytes(b"torn")
    attack_pairs(pairs(8, 3), device="cpu", workers=1, recognisers=["edgeface-s", "dlib"], inversion=False, cache=tmp_path)
    assert looks.calls[-1].get("change")


def test_nothing_to_attack(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nothing to attack"):
        attack_pairs([])
    with pytest.raises(InputError, match="no recogniser that may judge"):
        attack_pairs(pairs(2, 2), recognisers=["dlib"])
    with pytest.raises(InputError, match="not a folder"):
        gallery_pairs(tmp_path / "none")
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(InputError, match="no pictures in folders of people"):
        gallery_pairs(tmp_path)


def demo_folders(tmp_path: Path) -> tuple[Path, Path]:
    """Six portraits of nobody, each a person's folder, and the same once more."""
    for folder in ("orig", "anon"):
        for i, path in enumerate(sorted(DEMO.glob("portrait_*.jpg"))[:6]):
            (tmp_path / folder / f"p{i}").mkdir(parents=True)
            shutil.copy(path, tmp_path / folder / f"p{i}" / "1.jpg")
    return tmp_path / "orig", tmp_path / "anon"


def test_the_command_says_that_copies_are_exposed(tmp_path: Path) -> None:
    if not [name for name in available_recognisers() if name != "dlib"]:
        pytest.skip("no recogniser that judges is here: fo-faceanon weights get edgeface-s")
    orig, anon = demo_folders(tmp_path)
    out = tmp_path / "report.json"
    quick = ["--no-inversion", "--no-parrot", "--no-controls", "--workers", "1", "--device", "cpu"]
    result = CliRunner().invoke(app, ["attack", str(orig), str(anon), "--people", "folder", *quick, "--out", str(out)])
    assert result.exit_code == 3, result.output
    assert "exposed: 6 of 6 faces show the pixels of their original" in result.stdout
    assert "none of 6 people is on more than one picture" in result.stdout
    assert "rates withheld (-): 6 trials are too few: at least 20 are needed" in result.stdout
    values = json.loads(out.read_text())
    assert values["verdict"]["level"] == "exposed" and values["exit_code"] == 3 and values["counts"]["unchanged"] == 6
    accepted = [a["rates"]["tar@0.001"] for a in values["attacks"] if a["role"] == "judge"]
    assert accepted and all(rate["value"] is None and rate["hits"] == 6 and rate["withheld"] for rate in accepted)


@pytest.mark.parametrize(("kept", "code"), [(0.0, 0), (3.0, 3)])
def test_the_command_prints_the_verdict_and_sets_the_exit_code(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kept: float, code: int
) -> None:
    report = attacked(monkeypatch, kept, pairs(20, 3), parrot=False)
    seen: dict[str, Any] = {}
    monkeypatch.setattr(run, "attack_pairs", lambda made, **options: seen.update(options, pairs=made) or report)
    orig, anon = demo_folders(tmp_path)
    (anon / "p5" / "1.jpg").unlink()
    base = ["attack", str(orig), str(anon), "--gallery", str(orig), "--budget", "7", "--limit", "9", "--no-parrot"]
    result = CliRunner().invoke(app, base)
    assert result.exit_code == code, result.output
    assert result.stdout.startswith(report.verdict.level or "") and "1 no anonymized picture (for example p5/1.jpg)" in result.stdout
    assert seen["budget"] == 7 and seen["limit"] == 9 and seen["parrot"] is False and len(seen["gallery"]) == 6
    assert [pair.person for pair in seen["pairs"]] == [f"p{i}" for i in range(5)]  # a gallery of people means that they are known
    values = json.loads(CliRunner().invoke(app, [*base, "--json"]).stdout)
    assert values["exit_code"] == code and values["problems"]["no anonymized picture"]["names"] == ["p5/1.jpg"]
