"""All attacks on pairs of pictures, and a report."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np

from fo_faceanon import __version__
from fo_faceanon.attacks import names as n
from fo_faceanon.attacks import outcomes as o
from fo_faceanon.attacks.calibration import Calibration, calibrate_by_fold, default_calibration
from fo_faceanon.attacks.controls import light_alone, shape_vectors, solid_fill
from fo_faceanon.attacks.folds import photos_of
from fo_faceanon.attacks.frames import Frames, cut_frames, embed_frames
from fo_faceanon.attacks.inversion import MIN_FACES, restore_by_folds
from fo_faceanon.attacks.linkability import linked_photos
from fo_faceanon.attacks.outcomes import Gallery, Outcome
from fo_faceanon.attacks.parrot import parrot_searches, plain_searches, together, too_few
from fo_faceanon.attacks.protocols import across_photos
from fo_faceanon.attacks.rates import Rate, summarise
from fo_faceanon.attacks.remember import remembered
from fo_faceanon.attacks.verdict import Verdict, decide
from fo_faceanon.devices import resolve_device
from fo_faceanon.errors import InputError
from fo_faceanon.judging.judged import JudgedFaces, default_workers, judge_pairs
from fo_faceanon.judging.pairs import Pair
from fo_faceanon.recognition import available_recognisers
from fo_faceanon.recognition.recognisers import recogniser_spec

#: Pictures that are attacked at most, and those of them that are painted, restored and learnt from; whole people, by a hash.
LIMIT, LEARNT = 2000, 1000
Progress = Callable[[str, int, int], None]


@dataclass(slots=True)
class AttackReport:
    """What the attacks found.

    Args:
        verdict: what it comes to.
        outcomes: the rates of every attack, recogniser and kind of pictures.
        linked: per recogniser, whether anonymized photographs of one person are alike (probability; .5 is chance), and of the fill.
        restoration: what the inversion reached, per part of the people.
        calibrations: thresholds by recogniser.
        counts: pictures, faces, people, ...
        problems: why pictures were not attacked: reason to names.
        withheld: what was not done, and why.
        seconds: by stage.
    """

    verdict: Verdict
    outcomes: list[Outcome]
    linked: dict[str, dict[str, Rate]]
    restoration: list[dict[str, float]]
    calibrations: dict[str, list[Calibration]]
    counts: dict[str, int]
    problems: dict[str, list[str]]
    withheld: dict[str, str]
    seconds: dict[str, float] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        specs = [recogniser_spec(name) for name in self.calibrations]
        return {
            "format": 1,
            "version": __version__,
            "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "verdict": self.verdict.to_dict(),
            "counts": self.counts,
            "problems": {reason: {"count": len(names), "names": names[:50]} for reason, names in self.problems.items()},
            "withheld": self.withheld,
            "recognisers": [{"name": s.name, "licence": s.licence, "role": o.role_of(s.name)} for s in specs],
            "calibrations": {name: [c.to_dict() for c in rows] for name, rows in self.calibrations.items()},
            "attacks": [outcome.to_dict() for outcome in self.outcomes],
            "linkability": {kind: {name: rate.to_dict() for name, rate in rates.items()} for kind, rates in self.linked.items()},
            "restoration": self.restoration,
            "seconds": {stage: round(value, 1) for stage, value in self.seconds.items()},
        }


def attack_pairs(
    pairs: Sequence[Pair],
    *,
    gallery: Sequence[Pair] = (),
    device: str = "auto",
    workers: int | None = None,
    recognisers: Sequence[str] | None = None,
    controls: bool = True,
    parrot: bool = True,
    inversion: bool = True,
    budget: float | None = None,
    limit: int = LIMIT,
    cache: Path | None = None,
    progress: Progress | None = None,
) -> AttackReport:
    """Attacks anonymized pictures as an adversary would who has the originals, or other photographs of the same people.

    Where people are known (``Pair.person``), the main face of each picture is attacked; else all faces, on the same photograph only.

    Args:
        pairs: originals and what was made of them; see `judging.pairs.pair_folders`.
        gallery: further clear pictures with their persons that the attacker holds.
        device: where networks run.
        workers: processes; by default one per core.
        recognisers: names; by default all whose weights are here.
        controls: also attack a solid fill, the light alone and the shape alone: what the verdict is read against.
        parrot: also learn on other anonymized people.
        inversion: also train a network that restores the originals.
        budget: seconds that it trains; by default 120, on a GPU 300.
        limit: pictures at most; whole people are chosen by a hash.
        cache: a folder that keeps what was seen on originals.
        progress: called with the stage, ``done`` and ``total``.

    Raises:
        InputError: no pairs, no recognisers, or not one face on the originals.
        WeightsError: weights are missing.
    """
    if not pairs:
        raise InputError("there is nothing to attack: no original has an anonymized picture")
    device = resolve_device(device)
    names = list(recognisers) if recognisers is not None else available_recognisers()
    if not [name for name in names if o.role_of(name) == "judge"]:
        raise InputError("no recogniser that may judge is here: run `fo-faceanon weights get edgeface-s` (or another; see `weights list`)")
    chosen = _some_people(list(pairs), limit)
    attack = _Attack(chosen, names, device, default_workers(device, workers), cache, progress or (lambda stage, done, total: None))
    if len(chosen) < len(pairs):
        attack.withheld["pictures"] = (
            f"{len(chosen)} of {len(pairs)} pictures were attacked (--limit), chosen by a hash of the person's name"
        )
    attack.judge(list(gallery))
    attack.plain()
    if controls:
        attack.controls()
    if parrot:
        attack.parrot()
    if inversion:
        attack.inversion(budget if budget is not None else (300.0 if device.startswith("cuda") else 120.0))
    return attack.report()


class _Attack:
    """The state of one attack, filled in stage by stage."""

    def __init__(self, pairs: list[Pair], names: list[str], device: str, workers: int, cache: Path | None, progress: Progress) -> None:
        self.pairs, self.names, self.device, self.workers, self.cache, self.progress = pairs, names, device, workers, cache, progress
        self.known = any(pair.person for pair in pairs)
        self.outcomes: list[Outcome] = []
        self.linked: dict[str, dict[str, Rate]] = {}
        self.restoration: list[dict[str, float]] = []
        self.withheld: dict[str, str] = {}
        self.seconds: dict[str, float] = {}
        self.fill: dict[str, np.ndarray] | None = None
        self._frames: Frames | None = None

    @contextmanager
    def _stage(self, name: str) -> Iterator[Callable[[int, int], None]]:
        start = time.monotonic()
        yield lambda done, total: self.progress(name, done, total)
        self.seconds[name] = time.monotonic() - start

    def _judged(self, pairs: list[Pair], stage: str, **more: Any) -> JudgedFaces:
        with self._stage(stage) as report:
            return judge_pairs(pairs, self.names, self.device, self.workers, self.cache, report, main_face_only=self.known, **more)

    def judge(self, gallery: list[Pair]) -> None:
        """Finds and embeds all faces, and sets thresholds."""
        self.judged = self._judged(self.pairs, "judging the pictures")
        if not len(self.judged):
            raise InputError("not one face was found on the originals that could be attacked")
        held = self._judged(gallery, "judging the gallery") if gallery else None
        people = o.named(self.judged.people, self.judged.keys, self.judged.numbers.tolist())
        own = {name: known for name in self.names if (known := default_calibration(name)) is not None}
        with self._stage("calibrating"):
            here = {name: calibrate_by_fold(self.judged.before[name], people) for name in self.names} if self.known else {}
        more = held.before if held else {}
        more_people = [name or "\0" for name in held.people] if held else []
        self.gallery = Gallery(self.judged.before, people, self._several(people, more_people), more, more_people, own, here)
        self.problems = {**self.judged.problems, **({f"gallery: {k}": v for k, v in held.problems.items()} if held else {})}

    def _several(self, people: list[str], more: list[str]) -> bool:
        """Whether anybody is on more than one picture, so that attacks across photographs can be made."""
        if not self.known:
            self.withheld["across photos"] = "who is on the pictures is not known (--people folder, or a person field): same photo only"
            return False
        counts = photos_of([*people, *more])
        if any(counts[name] > 1 for name in set(people)):
            return True
        self.withheld["across photos"] = f"none of {len(set(people))} people is on more than one picture: same photo only"
        return False

    @property
    def rows(self) -> np.ndarray:
        """The faces that are painted, restored and learnt from."""
        return _some_rows(self.gallery.people, LEARNT)

    def plain(self) -> None:
        """The recognisers as they are."""
        with self._stage("searching"):
            everyone, names = np.arange(len(self.judged)), (n.SAME_PHOTO, n.ACROSS)
            self.outcomes += o.attack_all(self.gallery, self.judged.after, everyone, n.ANONYMIZED, names)
            if self.gallery.known:
                clear = o.attack_all(self.gallery, self.judged.before, everyone, n.ORIGINALS, names)
                self.outcomes += [outcome for outcome in clear if outcome.attack == n.ACROSS]
                self.outcomes += o.at_thresholds_here(self.gallery, self.judged.after, n.ANONYMIZED)
                self.outcomes += o.as_impostors(self.gallery, self.judged.after)
                some = {name: vectors[self.rows] for name, vectors in self.judged.after.items()}  # the gallery that the fill has, too
                self.outcomes += o.among_themselves(self.gallery, some, self.rows, n.ANONYMIZED)
                self.linked[n.ANONYMIZED] = linked_photos(some, [self.gallery.people[i] for i in self.rows])

    def controls(self) -> None:
        """The solid fill, the light alone and the shape alone."""
        rows, names = self.rows, (n.SAME_PHOTO, n.ACROSS)
        self.fill = remembered(self.cache, "solid fill", self._evidence(rows), self._make_fill)
        self.outcomes += o.attack_all(self.gallery, self.fill, rows, n.FILL, names)
        if self.gallery.known:
            if len(rows) == len(self.judged):
                self.outcomes += o.at_thresholds_here(self.gallery, self.fill, n.FILL)
            self.outcomes += o.among_themselves(self.gallery, self.fill, rows, n.FILL)
            self.linked[n.FILL] = linked_photos(self.fill, [self.gallery.people[i] for i in rows])
            self._shape()
        self._light()

    def _evidence(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """What controls depend on: the originals' faces."""
        return {"landmarks": self.judged.landmarks[rows], **{name: vectors[rows] for name, vectors in self.judged.before.items()}}

    def _make_fill(self) -> dict[str, np.ndarray]:
        keys = {self.judged.keys[i] for i in self.rows}
        filled = self._judged([pair for pair in self.pairs if pair.key in keys], "the solid fill", change=solid_fill)
        return _aligned(filled, self.judged, self.rows)

    def _light(self) -> None:
        rows = self.rows
        vectors = remembered(self.cache, "light alone", self._evidence(rows), self._make_light)
        self.outcomes += o.attack_all(self.gallery, vectors, rows, n.LIGHT, (n.SAME_PHOTO, n.ACROSS))

    def _make_light(self) -> dict[str, np.ndarray]:
        frames, rows = self.frames(), self.rows
        pictures, landmarks = light_alone(frames.clear, frames.clear_landmarks)
        placed = np.broadcast_to(landmarks, (len(pictures), 68, 2)).copy()
        with self._stage("the light alone") as report:
            found = embed_frames(pictures, placed, self.names, self.workers, self.device, report)
        vectors = {name: np.full((len(rows), some.shape[1]), np.nan, np.float32) for name, some in found.items()}
        for name, some in found.items():
            vectors[name][np.isin(rows, frames.rows)] = some
        return vectors

    def _shape(self) -> None:
        """From 68 points alone: those of the originals, which a method hands over that keeps them, and those found afterwards."""
        people, count = self.gallery.people, len(self.judged)
        both = shape_vectors(np.concatenate([self.judged.landmarks, self.judged.landmarks_after]))
        for pictures, probes in ((n.SHAPE_BEFORE, both[:count]), (n.SHAPE_AFTER, both[count:])):
            search = across_photos(probes, both[:count], people, {})
            self.outcomes.append(Outcome(n.ACROSS, pictures, n.SHAPE, "judge", n.ITSELF, summarise([search])))
            known = np.isfinite(probes).all(1)
            if too_few([people[i] for i in np.flatnonzero(known)]) is None:
                searches, _ = parrot_searches(both[:count], probes, people)
                self.outcomes.append(Outcome(n.PARROT, pictures, n.SHAPE, "judge", n.ITSELF, summarise(searches)))

    def frames(self) -> Frames:
        """Aligned pictures of the faces in `rows`, cut once."""
        if self._frames is None:
            with self._stage("aligning") as report:
                self._frames = cut_frames(self.pairs, self.judged, self.rows, self.workers, report)
        return self._frames

    def parrot(self) -> None:
        """Heads learnt on other anonymized people, for every recogniser and for all together; the fill's for comparison."""
        rows = self.rows
        people = [self.gallery.people[i] for i in rows]
        reason = too_few(people) if self.gallery.known else self.withheld["across photos"]
        if reason:
            self.withheld["parrot"] = reason
            return
        before = {name: vectors[rows] for name, vectors in self.judged.before.items()}
        sets = {n.ANONYMIZED: {name: vectors[rows] for name, vectors in self.judged.after.items()}}
        sets |= {n.FILL: self.fill} if self.fill else {}
        with self._stage("the parrot attack") as report:
            total = len(sets) * (len(self.names) + 1)
            for pictures, after in sets.items():
                for name, clear, other in [
                    *((name, before[name], after[name]) for name in self.names),
                    (n.EVERY, together(before), together(after)),
                ]:
                    role = "all" if name == n.EVERY else o.role_of(name)
                    searches, _ = parrot_searches(clear, other, people)
                    self.outcomes.append(Outcome(n.PARROT, pictures, name, role, n.ITSELF, summarise(searches)))
                    if name != n.EVERY:
                        plain = summarise(plain_searches(clear, other, people))
                        self.outcomes.append(Outcome(n.PLAIN, pictures, name, role, n.ITSELF, plain))
                    report(sum(x.attack == n.PARROT and x.recogniser != n.SHAPE for x in self.outcomes), total)

    def inversion(self, budget: float) -> None:
        """Restores the originals by networks that saw other people only, and attacks what comes out."""
        frames = self.frames()
        people = [self.gallery.people[i] for i in frames.rows]
        if len(frames.rows) < MIN_FACES or len(set(people)) < 2:
            self.withheld["inversion"] = f"{len(frames.rows)} faces are too few to learn a restoration from: {MIN_FACES} are needed"
            return
        with self._stage("training the inversion") as report:
            restored, self.restoration = restore_by_folds(
                frames.anonymized, frames.original, people, budget=budget, device=self.device, progress=report
            )
        with self._stage("recognising what was restored") as report:
            vectors = embed_frames(restored, frames.landmarks, self.names, self.workers, self.device, report)
        self.outcomes += o.attack_all(self.gallery, vectors, frames.rows, n.ANONYMIZED, (n.RESTORED_SAME, n.RESTORED_ACROSS))

    def report(self) -> AttackReport:
        """What was found."""
        judged, people = self.judged, self.gallery.people
        unchanged = int(judged.unchanged.sum())
        counts = {"pictures": len(self.pairs), "attacked": len(set(judged.keys)), "faces": len(judged)}
        counts |= {"undetected": int((~judged.detected).sum()), "unchanged": unchanged, "learnt": len(self.rows)}
        if self.known:
            several = sum(count > 1 for count in photos_of([*people, *self.gallery.more_people]).values())
            counts |= {"people": len(set(people)), "people_with_several": several, "gallery": len(self.gallery.more_people)}
        calibrations = {name: [self.gallery.own[name], *self.gallery.here.get(name, [])] for name in self.names}
        verdict = decide(self.outcomes, len(judged), unchanged)
        return AttackReport(
            verdict=verdict,
            outcomes=self.outcomes,
            linked=self.linked,
            restoration=self.restoration,
            calibrations=calibrations,
            counts=counts,
            problems=self.problems,
            withheld=self.withheld,
            seconds=self.seconds,
        )


def _aligned(other: JudgedFaces, judged: JudgedFaces, rows: np.ndarray) -> dict[str, np.ndarray]:
    """Another judgement's vectors in the order of some rows; NaN for a face that it does not have."""
    place = {entry: i for i, entry in enumerate(zip(judged.keys, judged.numbers.tolist(), strict=True))}
    into = {row: i for i, row in enumerate(rows.tolist())}
    vectors = {name: np.full((len(rows), found.shape[1]), np.nan, np.float32) for name, found in other.after.items()}
    for i, entry in enumerate(zip(other.keys, other.numbers.tolist(), strict=True)):
        if (row := into.get(place.get(entry, -1))) is not None:
            for name, found in other.after.items():
                vectors[name][row] = found[i]
    return vectors


def _some_people(pairs: list[Pair], limit: int) -> list[Pair]:
    people = [pair.person or f"\0{pair.key}" for pair in pairs]
    return [pairs[i] for i in _some_rows(people, limit)]


def _some_rows(people: Sequence[str], most: int) -> np.ndarray:
    """Rows of whole people in the order of a hash of their names, as long as there are no more than ``most``; in their own order."""
    if len(people) <= most:
        return np.arange(len(people))
    counts, taken, total = photos_of(people), set(), 0
    for name in sorted(counts, key=lambda name: hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()):
        if total + counts[name] > most:
            break
        taken.add(name)
        total += counts[name]
    return np.array([i for i, name in enumerate(people) if name in taken], int)


def gallery_pairs(folder: Path) -> list[Pair]:
    """The pictures of a folder of people (``PERSON/picture``) as an attacker's further gallery.

    Raises:
        InputError: it is no folder, or holds no pictures in folders of people.
    """
    from fo_faceanon.files import list_files
    from fo_faceanon.judging.pairs import SUFFIXES

    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder; give a folder that holds one folder of clear photographs per person")
    names = [name for name in list_files(folder) if Path(name).suffix.lower() in SUFFIXES and Path(name).parent.name]
    if not names:
        raise InputError(f"{folder} holds no pictures in folders of people (PERSON/picture.jpg)")
    return [Pair(name, folder / name, None, Path(name).parent.name) for name in names]
