"""What an attacker recognises who holds other photographs of the same people (LFW).

    python benchmarks/attack_lfw.py --setting donor --setting donor:light_strength=0.5 --cache CACHE --out attack.json
    python benchmarks/attack_lfw.py --anonymized FOLDER          another tool's output, named as in LFW: PERSON/PERSON_0001.png

N people with four photographs each, all from the half of LFW that no threshold was calibrated on. Gallery: every original
photograph but the one under attack. A face that the judge does not find is attacked with the original's alignment. Beside
the settings stand the originals themselves and a solid fill of the face, the floor under which only hair, clothes and
setting are left.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
from embedding import JudgedSet, judge_set, recognisers
from scores import across_photos, half_of
from sources import Anonymize, from_folder, method, read_tar, solid_fill

from fo_faceanon.recognition import Recogniser

PHOTOS = 4


def choose(names: list[str], people: int | None) -> list[str]:
    """Names of four photographs each of the first ``people`` persons of half B, in order; of all with None."""
    photos = defaultdict(list)
    for name in names:
        photos[name.split("/")[0]].append(name)
    able = [person for person in sorted(photos) if half_of(person) == "B" and len(photos[person]) >= PHOTOS]
    return [name for person in able[:people] for name in photos[person][:PHOTOS]]


def attack(pictures: JudgedSet, originals: JudgedSet, people: list[str], networks: list[Recogniser]) -> dict:
    """Scores of one set of pictures per recogniser, and the worst over the recognisers that guide no method."""
    rows = {}
    for network in networks:
        name = network.name
        rows[name] = across_photos(pictures.vectors[name], originals.vectors[name], people, network.threshold)
        rows[name]["judge"] = not network.guide_allowed
    judges = [row for row in rows.values() if row["judge"]] or list(rows.values())
    worst = {key: max(row[key] for row in judges) for key in ("tar", "rank1")}
    return {"detected": pictures.detected, "worst": worst, "recognisers": rows}


def table(results: dict[str, dict], networks: list[Recogniser]) -> str:
    """Markdown: TAR and rank-1 in percent per recogniser."""
    head = " | ".join(f"{n.name}{' (guide)' if n.guide_allowed else ''}" for n in networks)
    lines = [f"| TAR % / rank-1 % | detected % | {head} | worst judge |", "|---" * (len(networks) + 3) + "|"]
    for name, result in results.items():
        cells = [f"{100 * result['recognisers'][n.name]['tar']:.1f} / {100 * result['recognisers'][n.name]['rank1']:.1f}" for n in networks]
        worst = f"{100 * result['worst']['tar']:.1f} / {100 * result['worst']['rank1']:.1f}"
        lines.append(f"| {name} | {100 * result['detected']:.1f} | {' | '.join(cells)} | {worst} |")
    return "\n".join(lines)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", default="60", help="how many people, or all (default 60)")
    parser.add_argument("--setting", action="append", default=[], help="one of our methods, name:dial=value,...; may be repeated")
    parser.add_argument("--anonymized", type=Path, action="append", default=[], help="a folder of anonymized photographs")
    parser.add_argument("--cache", type=Path, help="a folder that keeps what was judged and embedded")
    parser.add_argument("--out", type=Path, help="where the results go, as JSON")
    args = parser.parse_args()
    torch.set_num_threads(1)

    pictures = read_tar("lfw")
    names = choose(list(pictures), None if args.people == "all" else int(args.people))
    people = [name.split("/")[0] for name in names]
    images = [pictures[name] for name in names]
    networks = recognisers()
    originals = judge_set(images, networks, args.cache)
    sources: dict[str, Anonymize] = {"solid fill": solid_fill}
    sources |= {setting: method(setting) for setting in args.setting}
    sources |= {str(folder): from_folder(folder, names) for folder in args.anonymized}

    chance = (PHOTOS - 1) / (len(names) - 1)
    print(f"{len(names)} photographs of {len(set(people))} people; rank-1 by chance {100 * chance:.1f} %", flush=True)
    results = {"originals": attack(originals, originals, people, networks)}
    for name, anonymize in sources.items():
        started = time.perf_counter()
        made = anonymize(images, originals.alignment)
        seconds = (time.perf_counter() - started) / len(images)
        results[name] = attack(judge_set(made, networks, args.cache, originals), originals, people, networks)
        results[name] |= {"seconds_per_image": seconds, "unchanged": _unchanged(images, made)}
    print(table(results, networks))
    if args.out:
        about = {"photographs": len(names), "people": len(set(people)), "chance_rank1": chance, "results": results}
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(about, indent=1) + "\n")


def _unchanged(images: list[np.ndarray], made: list[np.ndarray]) -> int:
    """Pictures that came back as they went in: a missed face, which the attack counts in full."""
    return sum(bool(np.array_equal(a, b)) for a, b in zip(images, made, strict=True))


if __name__ == "__main__":
    main()
