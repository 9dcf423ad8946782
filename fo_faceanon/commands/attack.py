"""``fo-faceanon attack``: what an adversary recognises on anonymized pictures, whoever made them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from fo_faceanon.attacks.names import ANONYMIZED, FILL, HERE
from fo_faceanon.commands import show

if TYPE_CHECKING:
    from fo_faceanon.attacks.outcomes import Outcome
    from fo_faceanon.attacks.rates import Rate
    from fo_faceanon.attacks.run import AttackReport

EXIT_CODES = (
    "Exit codes: 0 not recognised; 1 an error stopped it; 2 wrong usage; 3 exposed; 4 borderline, or too little to decide; 130 interrupted."
)
_COLOURS = {"exposed": "bold red", "borderline": "bold yellow", "not recognised": "bold green", None: "bold yellow"}


class People(str, Enum):
    """Where the people on the pictures are known from."""

    folder = "folder"
    none = "none"


def attack(
    original: Annotated[Path, typer.Argument(metavar="ORIG", help="the folder of originals")],
    anonymized: Annotated[Path, typer.Argument(metavar="ANON", help="the folder of anonymized pictures, by anyone, with the same paths")],
    people: Annotated[People, typer.Option(help="folder: each original's folder is a person (PERSON/picture)")] = People.none,
    gallery: Annotated[Path | None, typer.Option(help="further clear photographs that the attacker holds: PERSON/picture")] = None,
    inversion: Annotated[bool, typer.Option("--inversion/--no-inversion", help="train a network that restores the originals")] = True,
    parrot: Annotated[bool, typer.Option("--parrot/--no-parrot", help="learn on anonymized faces of other people")] = True,
    controls: Annotated[
        bool, typer.Option("--controls/--no-controls", help="measure a solid fill beside it, light and shape alone")
    ] = True,
    budget: Annotated[float | None, typer.Option(min=1, help="seconds of training the inversion (default: 120, on a GPU 300)")] = None,
    limit: Annotated[int, typer.Option(min=1, help="pictures at most; whole people are chosen by a hash")] = 2000,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps")] = "auto",
    workers: Annotated[int | None, typer.Option(min=1, help="processes (default: one per core)")] = None,
    cache: Annotated[Path | None, typer.Option(help="a folder that keeps what was seen on originals, for the next run")] = None,
    out: Annotated[Path | None, typer.Option(help="write the whole report there, as JSON")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="the report as JSON on stdout, no progress bar")] = False,
) -> None:
    """Attack anonymized pictures as an adversary would: same photograph, other photographs, learnt heads, restoration.

    Pictures are paired by relative path, or by the mapping that `fo-faceanon anonymize` left. Where people are known, attackers
    who hold other photographs of the same people are tried too; without, the verdict says `same photo only`.
    """
    from fo_faceanon.attacks.run import attack_pairs, gallery_pairs
    from fo_faceanon.judging.pairs import pair_folders

    held = gallery_pairs(gallery) if gallery else []
    known = People.folder if held else people
    pairing = pair_folders(original, anonymized, people=known.value)
    with show.progress_bar(quiet=as_json) as bar:
        report = attack_pairs(
            pairing.pairs,
            gallery=held,
            device=device,
            workers=workers,
            controls=controls,
            parrot=parrot,
            inversion=inversion,
            budget=budget,
            limit=limit,
            cache=cache,
            progress=show.named_tasks(bar),
        )
    report.problems = {**pairing.problems, **report.problems}
    values = {**report.to_dict(), "original": str(original), "anonymized": str(anonymized), "exit_code": exit_code(report)}
    if out:
        from fo_faceanon.images import write_atomic

        write_atomic(out, (json.dumps(values, indent=1) + "\n").encode())
    if as_json:
        show.print_json(values)
    else:
        print_attack(report)
    show.finish(exit_code(report))


def exit_code(report: AttackReport) -> int:
    """0 not recognised, 3 exposed, 4 everything between."""
    return {"not recognised": show.OK, "exposed": show.FAILED}.get(report.verdict.level or "", show.REVIEW)


def print_attack(report: AttackReport) -> None:
    """The verdict in one line, what decided it, then a table per attack; `--out` has every figure."""
    verdict = report.verdict
    show.out.print(escape(verdict.text), style=_COLOURS[verdict.level], soft_wrap=True)
    _lines([f"note: {note}" for note in verdict.notes])
    _lines([", ".join(f"{count} {name.replace('_', ' ')}" for name, count in report.counts.items())])
    if verdict.findings:
        _print_findings(report)
    made = [outcome for outcome in report.outcomes if outcome.pictures == ANONYMIZED]
    for name in dict.fromkeys(outcome.attack for outcome in made):
        _print_attack(name, report)
    _print_controls(report)
    _print_linked(report)
    show.out.print()
    for part in report.restoration:
        error = f"{part['error_before']:.4f} to {part['error_after']:.4f}"
        _lines([f"restoration: {part['steps']:.0f} steps in {part['seconds']:.0f} s took the error from {error}"])
    _lines([f"not done: {what}: {reason}" for what, reason in report.withheld.items()])
    reasons = dict.fromkeys(rate.withheld for x in made for name, rate in x.rates.items() if name != "impostor" and rate.withheld)
    _lines([f"rates withheld (-): {reason}" for reason in reasons])
    _lines([f"pictures left out: {len(names)} {reason} (for example {names[0]})" for reason, names in report.problems.items()])


def _print_findings(report: AttackReport) -> None:
    table = _titled("What decides, worst first", ["", "attack", "by", "rate"], ["%", "95 %", "n", "fill", "fine to", "exposed"])
    for finding in report.verdict.findings:
        rate, metric = finding.rate, finding.metric.replace("tar@0.001", "accepted").replace("rank1", "rank-1")
        bounds = (_percent(finding.fill.value if finding.fill else None), f"{100 * finding.fine:.1f}", f"> {100 * finding.limit:.1f}")
        table.add_row(finding.level, finding.attack, finding.recogniser, metric, *_cells(rate), str(rate.n), *bounds)
    show.out.print(table)


def _print_attack(attack: str, report: AttackReport) -> None:
    """One attack on the anonymized faces, worst first, the solid fill's figures beside it."""
    made = [x for x in report.outcomes if x.attack == attack and x.pictures == ANONYMIZED]
    fills = {(x.recogniser, x.thresholds): x for x in report.outcomes if x.attack == attack and x.pictures == FILL}
    pairs, searches = made[0].rates["tar@0.001"].n, made[0].rates["rank1"]
    title = f"{attack}: accepted of {pairs} pairs; right person first in {searches.n} searches, guessing {_percent(searches.chance)} %"
    table = _titled(title, ["by"], ["accepted %", "95 %", "fill", "at 1e-2", "rank-1 %", "95 %", "fill", "rank-5", "rank-10"])
    for outcome in sorted(made, key=lambda x: -(x.rates["rank1"].value or 0.0)):
        rates, fill = outcome.rates, fills.get((outcome.recogniser, outcome.thresholds))
        beside = [_percent(fill.rates[name].value if fill else None) for name in ("tar@0.001", "rank1")]
        accepted = [*_cells(rates["tar@0.001"]), beside[0], _percent(rates["tar@0.01"].value)]
        found = [*_cells(rates["rank1"]), beside[1], *(_percent(rates[name].value) for name in ("rank5", "rank10"))]
        by = (
            outcome.recogniser
            + (" (guide)" if outcome.role == "guide" else "")
            + (", thresholds here" if outcome.thresholds == HERE else "")
        )
        table.add_row(by, *accepted, *found)
    show.out.print(table)


def _print_controls(report: AttackReport) -> None:
    """Of each control the recogniser that does best, the guide left out."""
    groups: dict[tuple[str, str], list[Outcome]] = {}
    for outcome in report.outcomes:
        if outcome.pictures != ANONYMIZED and outcome.role != "guide":
            groups.setdefault((outcome.pictures, outcome.attack), []).append(outcome)
    if not groups:
        return
    title = "Controls, each by the recognisers that do best"
    table = _titled(title, ["pictures", "attack", "accepted by", "first by"], ["accepted %", "rank-1 %", "guessing"])
    for (pictures, attack), outcomes in groups.items():
        by, shares = [], []
        for name in ("tar@0.001", "rank1"):
            known = [(value, x.recogniser) for x in outcomes if (value := x.rates[name].value) is not None]
            value, recogniser = max(known, default=(None, "-"))
            by.append(recogniser)
            shares.append(_percent(value))
        table.add_row(pictures, attack, *by, *shares, _percent(outcomes[0].rates["rank1"].chance))
    show.out.print(table)


def _print_linked(report: AttackReport) -> None:
    if not report.linked:
        return
    table = _titled("Are the photographs of one person alike? (probability in %; 50 is chance)", ["by"], list(report.linked))
    for name in dict.fromkeys(name for rates in report.linked.values() for name in rates):
        table.add_row(name, *(_percent(rates[name].value) if name in rates else "-" for rates in report.linked.values()))
    show.out.print(table)


def _lines(lines: Iterable[str]) -> None:
    """Lines of text as they are, for the terminal to break."""
    for line in lines:
        show.out.print(escape(line), soft_wrap=True)


def _titled(title: str, texts: Iterable[str], numbers: Iterable[str]) -> Table:
    """A table under a printed title: columns of text, then of numbers."""
    show.out.print(f"\n[bold]{escape(title)}[/bold]", soft_wrap=True)
    table = Table(box=None, padding=(0, 2, 0, 0))
    for column in texts:
        table.add_column(column, overflow="fold")
    for column in numbers:
        table.add_column(column, justify="right", no_wrap=True)
    return table


def _cells(rate: Rate) -> tuple[str, str]:
    between = f"{100 * rate.low:.1f}-{100 * rate.high:.1f}" if rate.low is not None and rate.high is not None else "-"
    return _percent(rate.value), between


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"
