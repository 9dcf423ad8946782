"""Privacy against light, colour and expression, drawn from what the two evaluations measured.

    python benchmarks/plot_tradeoff.py results/same_photo.json results/attack_lfw.json --out results/tradeoff.png

Both must have been run with the same ``--setting`` lists. One curve per dial: settings that differ in one dial only are joined.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

#: Panels: title, where the figure lies in a same-photo result, and a factor.
PANELS = (
    ("Si-MSE (linear light)", ("light_and_colour", "si_mse"), 1.0),
    ("CIEDE2000 of skin", ("light_and_colour", "delta_e_skin"), 1.0),
    ("emotion kept, %", ("expression", "emotion_agreement"), 100.0),
    ("landmark error (51)", ("geometry", "lm51"), 1.0),
)
BASELINES = ("solid fill",)


def dial_of(setting: str) -> str:
    """The dials that a setting names, without their values: settings of one curve share it."""
    _, _, dials = setting.partition(":")
    return ", ".join(part.partition("=")[0] for part in dials.split(",")) or "defaults"


def worst_rank1(result: dict[str, Any]) -> tuple[float, str]:
    """Highest rank-1 over the recognisers that never guide, and whose it is."""
    judges = {name: row for name, row in result["recognisers"].items() if row["judge"]}
    name = max(judges, key=lambda n: judges[n]["rank1"])
    return 100 * judges[name]["rank1"], name


def figure(value: dict[str, Any], path: tuple[str, ...], factor: float) -> float:
    """One figure of a same-photo result."""
    for key in path:
        value = value[key]
    return factor * float(value)  # type: ignore[arg-type]


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("same_photo", type=Path)
    parser.add_argument("attack", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    kept = json.loads(args.same_photo.read_text())
    attacked = json.loads(args.attack.read_text())["results"]
    settings = [name for name in kept if name in attacked and (":" in name or name == "donor")]
    floor, by = worst_rank1(attacked["solid fill"])

    figure_, axes = plt.subplots(1, len(PANELS), figsize=(5 * len(PANELS), 4.2), sharey=True)
    for axis, (title, path, factor) in zip(axes, PANELS, strict=True):
        for dial in dict.fromkeys(map(dial_of, settings)):
            points = [(figure(kept[s], path, factor), worst_rank1(attacked[s])[0], s) for s in settings if dial_of(s) == dial]
            axis.plot([p[0] for p in points], [p[1] for p in points], "o-", label=dial)
            for x, y, name in points:
                axis.annotate(
                    name.partition(":")[2].replace("light=lowpass,", "") or "default",
                    (x, y),
                    fontsize=7,
                    xytext=(3, 3),
                    textcoords="offset points",
                )
        axis.axhline(floor, color="grey", linestyle="--", label=f"solid fill ({by})")
        axis.set_xlabel(title)
    axes[0].set_ylabel("rank-1 across photos, %, worst judge")
    axes[0].legend(fontsize=8)
    figure_.tight_layout()
    figure_.savefig(args.out, dpi=110)


if __name__ == "__main__":
    main()
