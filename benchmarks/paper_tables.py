"""The comparison that the paper makes (Celona et al. 2025, Tables II to VI), with every method of ours, and the dials' curves.

    python benchmarks/paper_tables.py --work WORK --out benchmarks/results/paper_tables.md
    python benchmarks/paper_tables.py --work WORK --limit 100 --tables III,VI          some tables, on the first 100 pictures

Each setting anonymizes the evaluation pictures of CelebA-HQ into a folder under WORK, which `fo_faceanon.evaluation` then measures, and
240 photographs of 60 people of LFW, on which `fo_faceanon.attacks` gives the cost: the worst recogniser across photographs. What is
done already is not done again, so an interrupted run goes on. Published figures stand apart: they come from other pictures and meters.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from attack_lfw import choose
from published import ABLATION, COLOUR, COMMON, EXPRESSION, LIGHTING
from sources import parse_setting, read_files
from tables import Column, attack_columns, figure_columns, markdown

from fo_faceanon.errors import WeightsError

CLASSICAL = ("mask", "blur", "pixelate", "noise")
OURS = ("donor", "ksame:k=2", "ksame:k=8", "landmark68", "sparse7", "mesh478")
#: The paper's ablation, and colour: what is handed over, on the donor's pixels and on the generators'.
_OFF = "light=none,pyramid=0,colour_strength=0"
ABLATED = {
    "{}:" + _OFF: ("none", "no", "no"),
    "{}:light=none,pyramid=0": ("none", "no", "yes"),
    "{}:light=intrinsic,bandwidth=0.06,pyramid=0,colour_strength=0": ("intrinsic", "no", "no"),
    "{}:light=intrinsic,bandwidth=0.06,pyramid=0": ("intrinsic", "no", "yes"),
    "{}:light=intrinsic,bandwidth=0.06,pyramid=1,colour_strength=0": ("intrinsic", "yes", "no"),
    "{}:light=intrinsic,bandwidth=0.06,pyramid=1": ("intrinsic", "yes", "yes"),
    "{}:light=harmonics,pyramid=0": ("harmonics", "no", "yes"),
    "{}:light=harmonics,pyramid=1": ("harmonics", "yes", "yes"),
}
DIALS = {
    "shape": [f"donor:shape={v}" for v in (0, 0.3, 0.5, 0.8, 1)],
    "light": [f"donor:light_strength={v}" for v in (0, 0.5, 1)] + [f"donor:bandwidth={v}" for v in (0.12, 0.06)],
    "colour": [f"donor:colour_strength={v}" for v in (0, 0.5, 1)],
    "k": [f"ksame:k={v}" for v in (2, 4, 8)],
}
#: Where the time that an anonymization took is kept, beside its journal.
_SECONDS = "seconds-per-image.json"
TABLES: dict[str, tuple[str, ...]] = {
    "II": (
        *("fid", "fid_face", "frechet_facenet", "detected", "cosine_facenet_vggface2", "cosine_facenet_casia"),
        *("landmark_error", "landmark_error_steady", "landmark_error_mesh", "head_pose_error"),
    ),
    "III": ("expression_error", "expression_error_steady", "emotion_kept", "emotion_kept_second", "emotion_distance", "blendshape_error"),
    "IV": ("si_mse", "si_mse_encoded", "si_l2", "shading_sine"),
    "V": ("delta_l", "delta_c", "delta_h", "delta_e", "tone_delta_e", "albedo_delta_e"),
    "VI": (
        *("fid", "frechet_facenet", "detected", "cosine_facenet_vggface2", "cosine_facenet_casia"),
        *("landmark_error_steady", "emotion_kept", "si_mse", "delta_e"),
    ),
}
PUBLISHED = {
    "II": (COMMON, ("FID", "FID CLIP", "face found %", "cos VGGFace2", "cos CASIA", "pose, 68 landmarks", "s / image")),
    "III": (EXPRESSION, ("51 landmarks", "expression kept %")),
    "IV": (LIGHTING, ("Si-MSE", "Si-L2")),
    "V": (COLOUR, ("dE2000 of albedo",)),
}
TITLES = {
    "II": "Image quality, detection, identity, pose",
    "III": "Expression",
    "IV": "Light",
    "V": "Skin colour",
    "VI": "Ablation: relighting, Laplacian pyramid, colour",
}


class Laboratory:
    """Runs settings over the two sets of pictures, and keeps what came out.

    Args:
        work: folder of pictures, results and caches.
        limit: pictures of CelebA-HQ.
        people: people of LFW.
        device: where everything runs.
    """

    def __init__(self, work: Path, limit: int | None, people: int, device: str) -> None:
        self.work, self.device = work, device
        self.faces = _exported(work / f"celebahq{limit or ''}", lambda: read_files("celebahq", limit))
        self.photos = _exported(work / f"lfw{people}", lambda: lfw_people(people))

    def evaluation(self, setting: str) -> dict[str, Any]:
        """The evaluation of one setting on CelebA-HQ; ``error`` where it cannot be made."""
        return self._kept("evaluation", setting, self.faces, self._evaluate)

    def attack(self, setting: str) -> dict[str, Any]:
        """The attack on one setting on LFW; ``error`` where it cannot be made."""
        return self._kept("attack", setting, self.photos, self._attack)

    def _kept(self, kind: str, setting: str, source: Path, make: Callable[[Path, Path], dict[str, Any]]) -> dict[str, Any]:
        path = self.work / kind / source.name / f"{slug(setting)}.json"
        if not path.exists():
            print(f"{time.strftime('%H:%M:%S')} {kind} of {setting}", flush=True)
            try:
                result = make(source, anonymized(setting, source, self.work, self.device))
                result["seconds_per_image"] = self._seconds(setting, source)
            except WeightsError as error:
                return {"error": str(error)}  # not kept: the weights may come
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(result, indent=1) + "\n")
        return json.loads(path.read_text())

    def _seconds(self, setting: str, source: Path) -> float | None:
        path = _journal_of(_folder_of(setting, source, self.work)) / _SECONDS
        return json.loads(path.read_text()) if path.exists() else None

    def _evaluate(self, source: Path, made: Path) -> dict[str, Any]:
        from fo_faceanon.evaluation.run import evaluate_pairs
        from fo_faceanon.judging.pairs import pair_folders

        return evaluate_pairs(pair_folders(source, made), device=self.device, main_face_only=True, cache=self.work / "cache").to_dict()

    def _attack(self, source: Path, made: Path) -> dict[str, Any]:
        from fo_faceanon.attacks.run import attack_pairs
        from fo_faceanon.judging.pairs import pair_folders

        pairing = pair_folders(source, made, people="folder")
        return attack_pairs(pairing.pairs, device=self.device, inversion=False, cache=self.work / "cache").to_dict()


def slug(setting: str) -> str:
    """A file name for a setting."""
    return setting.replace(":", "-").replace(",", "-").replace("=", "")


def _folder_of(setting: str, source: Path, work: Path) -> Path:
    return work / "pictures" / source.name / slug(setting)


def _journal_of(output: Path) -> Path:
    return output.with_name(output.name + ".faceanon")


def anonymized(setting: str, source: Path, work: Path, device: str) -> Path:
    """The folder of a setting's pictures, made where it is not whole; ``original`` is the source itself."""
    from fo_faceanon.commands.folder import FolderJob
    from fo_faceanon.engine import Options

    if setting == "original":
        return source
    name, dials = parse_setting(setting)
    output = _folder_of(setting, source, work)
    options = Options(method=name, dials=dials, device=device)
    job = FolderJob(source, output, options, _journal_of(output), same_names=True)
    result = job.run(lambda record: None)
    if not result.resumed:
        seconds = result.report.seconds / max(sum(result.report.images.values()), 1)
        (job.journal / _SECONDS).write_text(json.dumps(seconds))
    return output


def _exported(folder: Path, pictures: Callable[[], dict[str, bytes]]) -> Path:
    """The pictures as files."""
    if not (folder / ".complete").exists():
        for name, data in pictures().items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        (folder / ".complete").touch()
    return folder


def lfw_people(people: int) -> dict[str, bytes]:
    """Four photographs each of people of LFW's half B, on whom no threshold was calibrated."""
    files = read_files("lfw")
    return {name: files[name] for name in choose(list(files), people)}


def method_table(laboratory: Laboratory, number: str, settings: Sequence[str]) -> str:
    """One of the paper's tables: ours on top, what was published below, apart."""
    columns = figure_columns(TABLES[number])
    if number == "II":
        columns.append(Column("s / image, start included", lambda result: f"{result.get('seconds_per_image') or float('nan'):.2f}"))
    rows = {"noise floor (JPEG 95)": _floor(laboratory.evaluation("donor"))}
    rows |= {setting: laboratory.evaluation(setting) for setting in settings}
    text = f"## Table {number}: {TITLES[number]}\n\n{markdown(rows, columns)}\n"
    if number in PUBLISHED:
        figures, heads = PUBLISHED[number]
        lines = [f"| published | {' | '.join(heads)} |", "|---" * (len(heads) + 1) + "|"]
        lines += [f"| {name} | {' | '.join(map(str, values))} |" for name, values in figures.items()]
        text += "\nPublished (other pictures, other meters):\n\n" + "\n".join(lines) + "\n"
    return text


def ablation_table(laboratory: Laboratory, methods: Sequence[str]) -> str:
    """Table VI: what each part of the correction does, by method; then the paper's."""
    columns = figure_columns(TABLES["VI"])
    rows = {}
    for pattern, (light, pyramid, colour) in ABLATED.items():
        for method in methods:
            rows[f"{method}: {light}, pyramid {pyramid}, colour {colour}"] = laboratory.evaluation(pattern.format(method))
    heads = ("FID", "FID CLIP", "face found %", "cos VGGFace2", "cos CASIA", "pose", "expression %", "Si-MSE", "dE2000")
    lines = [f"| published: 68 landmarks, relighting, pyramid | {' | '.join(heads)} |", "|---" * (len(heads) + 1) + "|"]
    lines += [f"| {', '.join(key)} | {' | '.join(map(str, values))} |" for key, values in ABLATION.items()]
    return f"## Table VI: {TITLES['VI']}\n\n{markdown(rows, columns)}\n\nPublished:\n\n" + "\n".join(lines) + "\n"


def dial_table(laboratory: Laboratory, dials: Sequence[str]) -> str:
    """What each dial buys on the same photograph, and what it costs across photographs."""
    names = ("landmark_error_steady", "expression_error_steady", "emotion_kept", "si_mse", "delta_e", "cosine_facenet_vggface2")
    columns = [*figure_columns(names), *attack_columns()]
    settings = ["donor", *(setting for dial in dials for setting in DIALS[dial])]
    rows = {setting: {**laboratory.evaluation(setting), "attack": laboratory.attack(setting)} for setting in settings}
    return f"## Dials: what they keep, and what they cost\n\n{markdown(rows, columns)}\n"


def attack_table(laboratory: Laboratory, settings: Sequence[str]) -> str:
    """Across photographs: every method against the worst recogniser, parrot included."""
    rows = {setting: {"attack": laboratory.attack(setting)} for setting in ("original", *settings)}
    return f"## Across photographs\n\n{markdown(rows, attack_columns())}\n"


def _floor(evaluation: dict[str, Any]) -> dict[str, Any]:
    """The noise floor of an evaluation in the place of its figures."""
    figures = evaluation.get("figures", {})
    return {"figures": {name: {**f, "value": f["floor"], "n": f["floor_n"], "withheld": None} for name, f in figures.items()}}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder of pictures, results and caches; kept for the next run")
    parser.add_argument("--out", type=Path, help="where the tables go, as Markdown (default: the screen only)")
    parser.add_argument("--tables", default="II,III,IV,V,VI,attack,dials", help="which (default: all)")
    parser.add_argument("--limit", type=int, help="pictures of CelebA-HQ (default: all)")
    parser.add_argument("--people", type=int, default=60, help="people of LFW (default 60)")
    parser.add_argument("--device", default="auto")
    args = parser.parse_args()
    laboratory = Laboratory(args.work, args.limit, args.people, args.device)
    settings = [*CLASSICAL, *OURS]
    texts = []
    for table in args.tables.split(","):
        if table in PUBLISHED:
            texts.append(method_table(laboratory, table, settings))
        elif table == "VI":
            texts.append(ablation_table(laboratory, ("donor", "landmark68")))
        elif table == "attack":
            texts.append(attack_table(laboratory, settings))
        elif table == "dials":
            texts.append(dial_table(laboratory, tuple(DIALS)))
        else:
            raise SystemExit(f"there is no table {table!r}; the tables are {', '.join((*TABLES, 'attack', 'dials'))}")
        print(texts[-1], flush=True)
    if args.out:
        args.out.write_text("# The paper's tables\n\n" + "\n".join(texts))


if __name__ == "__main__":
    main()
